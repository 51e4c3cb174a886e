export type { ShardProblem, ShardSolution } from './problem.js';
export { ShardProblemBuilder, shardCost } from './problem.js';
export { solveByElimination } from './eliminate.js';
