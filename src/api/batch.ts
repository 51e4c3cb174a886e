/** The global batch when the user names none. */
import type { Phase } from '../cost/types.js';

/** Tokens per optimizer step that large runs use, of the order of 4 million (Llama 3, section 3.3.2: 4M to 16M). */
const TOKENS_PER_STEP = 4 * 2 ** 20;
/** Images or other samples per step where there is no sequence axis. */
const SAMPLES_PER_STEP = 4096;
/** Sequences served at once per device. */
const SERVED_PER_DEVICE = 8;

/**
 * Sequences per step: about 4M tokens, as a power of two times the odd part of the device count, so that every
 * data-parallel degree that divides the devices can divide it too.
 */
export function defaultGlobalBatch(devices: number, sequenceLength: number, phase: Phase): number {
  let odd = devices;
  while (odd % 2 === 0) odd /= 2;
  if (phase === 'inference') return devices * SERVED_PER_DEVICE;
  const wanted = sequenceLength > 1 ? TOKENS_PER_STEP / sequenceLength : Math.max(SAMPLES_PER_STEP, devices);
  // A very odd device count would ask for an enormous batch: then the batch stays a power of two.
  const factor = odd <= wanted ? odd : 1;
  return factor * 2 ** Math.max(0, Math.round(Math.log2(wanted / factor)));
}
