/** Placement of profiled graphs: problems, readers, solvers and judges. */
export { readPlaceProblem, workloadFormat } from './read.js';
export { deviceKinds, deviceNames } from './problem.js';
export type { DeviceKind, PlaceProblem } from './problem.js';
export { judgeLatency, judgePlacement } from './judge.js';
export { judgePiper, readPiperProblem } from './piperProblem.js';
export type { PiperProblem, PiperStage } from './piperProblem.js';
export { placeForThroughput } from './throughput.js';
export type { PlaceOptions, Placement } from './throughput.js';
export { placeForLatency } from './latency.js';
export { placeForPiper } from './piper.js';
