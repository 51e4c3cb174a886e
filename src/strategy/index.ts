/** Sharding strategies of layer classes, and the cost tables made from them. */
export { StrategyBook } from './book.js';
export type { BookOptions } from './book.js';
export type { Passing, SequenceParallel, ShardingPoint } from './sharder.js';
export { describeStrategy, roleName, tensorLayouts } from './shardings.js';
export type { ShardingAxis, TensorLayout } from './shardings.js';
export type { Boundary, LayerCollective, LayerStrategy } from './solve.js';
export { modelFacts } from './facts.js';
export type { ModelFacts } from './facts.js';
