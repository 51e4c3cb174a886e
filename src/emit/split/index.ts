/** A model cut into the sub-models of a plan's stages and ranks, and the proof that they compute the same. */
export { splitModel, MANIFEST_NAME } from './split.js';
export type { SplitRequest as SplitModelRequest } from './split.js';
export type {
  ManifestPiece,
  ManifestSharding,
  ManifestStep,
  ManifestTensor,
  SplitManifest,
} from './manifest.js';
export { splitFacts } from './facts.js';
export type { SplitFacts } from './facts.js';
export { loadRuntime } from './runtime.js';
export type { Runtime, RuntimeTensor } from './runtime.js';
export { runSplit, runWhole } from './execute.js';
export { givenInputs } from './givenInputs.js';
export { runtimeType } from './elements.js';
export { seededInputs } from './seededInputs.js';
export { defaultTolerance, difference } from './difference.js';
export type { OutputDifference } from './difference.js';
