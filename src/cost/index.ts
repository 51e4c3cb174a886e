/** What work costs: kernels, collectives, memory, energy. */
export * from './calibration.js';
export * from './collective.js';
export * from './compute.js';
export * from './energy.js';
export * from './memory.js';
export * from './stack.js';
export * from './types.js';
