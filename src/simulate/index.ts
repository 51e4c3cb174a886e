/** Prices of candidates: the fast estimate, the exact event engine, and what explains them. */
export * from './types.js';
export { createEstimate, createSimulator } from './estimate.js';
export { createEngine } from './engine.js';
export type { Engine, EngineRun } from './engine.js';
export { explain, exposedSum } from './explain.js';
export type { Explanation, RankEnergy, RankExplanation, TermSec, TimeSplit } from './explain.js';
export * from './terms.js';
export { Timeline } from './timeline.js';
export { counters } from './counters.js';
export type { RankCounters, StepFunction } from './counters.js';
export { memoryTimeline } from './memoryTimeline.js';
export type { MemoryTimeline, RankMemoryTimeline } from './memoryTimeline.js';
export { chromeTrace } from './trace.js';
export { CHAKRA_RANKS, MOST_CHAKRA_RANKS, chakraTraces } from './chakra.js';
export type { ChakraFile, ChakraRanks } from './chakra.js';
