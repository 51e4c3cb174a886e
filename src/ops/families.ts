/** Every operator family, listed in one place: one import and one array line each. */
import type { OpFamily } from './types.js';

export const FAMILIES: readonly OpFamily[] = [];
