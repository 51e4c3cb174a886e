/** The vocabulary of parallel training: degrees, mesh, ZeRO, recomputation, context exchange, schedules. */
export * from './context.js';
export * from './degrees.js';
export * from './mesh.js';
export * from './recompute.js';
export * from './schedule.js';
export * from './zero.js';
