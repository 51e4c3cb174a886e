/** The vocabulary of parallel training: degrees, mesh, ZeRO, recomputation, schedules. */
export * from './degrees.js';
export * from './mesh.js';
export * from './recompute.js';
export * from './schedule.js';
export * from './zero.js';
