/** Methods by name, and the portfolio that takes the best of them. */
export * from './auto.js';
export * from './compare.js';
export * from './registry.js';
