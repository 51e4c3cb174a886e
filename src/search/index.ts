/** Solvers that need no learning, the space they search, and bounds on what any of them can find. */
export * from './bound.js';
export * from './cutRules.js';
export * from './cuts.js';
export * from './evaluator.js';
export { exhaustiveSolver } from './exhaustive.js';
export * from './feasibility.js';
export { greedySolver } from './greedy.js';
export * from './memo.js';
export { partitionGraph } from './multilevel.js';
export type { MultilevelOptions, Partition } from './multilevel.js';
export * from './objective.js';
export { opGraph } from './opGraph.js';
export { MOST_DRAWS_PER_PRICE, randomPlan, randomSolver } from './random.js';
export * from './registry.js';
export * from './space.js';
export type * from './types.js';
export * from './weightedGraph.js';
