/** Every operator family, listed in one place: one import and one array line each. */
import { family as matmul } from './matmul.js';
import { family as conv } from './conv.js';
import { family as pool } from './pool.js';
import { family as norm } from './norm.js';
import { family as softmax } from './softmax.js';
import { family as dropout } from './dropout.js';
import type { OpFamily } from './types.js';

export const FAMILIES: readonly OpFamily[] = [matmul, conv, pool, norm, softmax, dropout];
