export type { ShardProblem, ShardSolution } from './problem.js';
export { ShardProblemBuilder, shardCost } from './problem.js';
export { solveByElimination } from './eliminate.js';
export type { ShardInstance, ShardVerdict } from './instance.js';
export { judgeShard, leastPeak } from './instance.js';
export { ContestReader } from './readContest.js';
export { reduceInstance } from './reduce.js';
