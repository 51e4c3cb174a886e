/** ONNX graphs of known architectures. */
export { zooConfig, zooNames } from './catalog.js';
export { completeConfig } from './complete.js';
export type { ArchConfig, ArchSketch, Family, MlaConfig, MoeConfig } from './config.js';
export { configFromHuggingFace } from './huggingface.js';
export { buildIrregular } from './irregular.js';
export type { IrregularOptions } from './irregular.js';
export { applyOverrides } from './options.js';
export type { ArchOverrides, ZooOptions } from './options.js';
export { parameterCount } from './parameters.js';
export type { ParameterCount } from './parameters.js';
export { buildZoo } from './zoo.js';
