/**
 * What an agent sees when it chooses which neighbourhood of a sharding problem to open next: every arm with what it is and
 * what it bought lately, in a context of how the search stands. All of it is relative, so that it means the same on any instance.
 */
import type { NeighbourhoodContext, ShardCore } from '../shard/index.js';
import { NEIGHBOURHOODS, NEIGHBOURHOOD_KINDS } from '../shard/neighbourhood.js';
import type { EnvironmentSpec, Observation } from './environment.js';

/** Kind (one of five), size, share of recent draws, success, rate and work of late. */
const OPTION_FEATURES = NEIGHBOURHOOD_KINDS.length + 5;
const CONTEXT_FEATURES = 7;

export const NEIGHBOURHOOD_SPEC: EnvironmentSpec = {
  name: 'neighbourhoods',
  optionFeatures: OPTION_FEATURES,
  contextFeatures: CONTEXT_FEATURES,
  maxSteps: 400,
};

/** What an older observation weighs when a newer one comes. */
const MEMORY = 0.98;

/** Keeps the record of the arms and shows it. */
export class NeighbourhoodArms {
  private readonly gain = new Float64Array(NEIGHBOURHOODS.length);
  private readonly work = new Float64Array(NEIGHBOURHOODS.length);
  private readonly drawn = new Float64Array(NEIGHBOURHOODS.length);
  private readonly won = new Float64Array(NEIGHBOURHOODS.length);
  private readonly mask = new Uint8Array(NEIGHBOURHOODS.length).fill(1);
  private readonly shape: readonly number[];

  constructor(private readonly core: Pick<ShardCore, 'count' | 'start' | 'edgeStart' | 'rowCount'>) {
    const { count, start, edgeStart, rowCount } = core;
    this.shape = [
      Math.log2(1 + count) / 16,
      edgeStart[count] / Math.max(1, count) / 8,
      start[count] / Math.max(1, count) / 16,
      rowCount > 0 ? 1 : 0,
    ];
  }

  /** Notes what an arm bought; see `NeighbourhoodChoice.learn`. */
  learn(arm: number, gain: number, work: number): void {
    const { gain: gains, work: works, drawn, won } = this;
    for (let a = 0; a < gains.length; a++) {
      gains[a] *= MEMORY;
      works[a] *= MEMORY;
      drawn[a] *= MEMORY;
      won[a] *= MEMORY;
    }
    gains[arm] += gain;
    works[arm] += work;
    drawn[arm]++;
    if (gain > 0) won[arm]++;
  }

  observe(context: NeighbourhoodContext): Observation {
    const { gain, work, drawn, won, core, mask, shape } = this;
    const arms = NEIGHBOURHOODS.length;
    let allGain = 0;
    let allWork = 0;
    let allDrawn = 0;
    for (let a = 0; a < arms; a++) {
      allGain += gain[a];
      allWork += work[a];
      allDrawn += drawn[a];
    }
    const meanRate = allWork > 0 ? allGain / allWork : 0;
    const meanWork = allDrawn > 0 ? allWork / allDrawn : 0;
    const options = new Float32Array(arms * OPTION_FEATURES);
    for (let a = 0; a < arms; a++) {
      const { kind, size } = NEIGHBOURHOODS[a];
      let at = a * OPTION_FEATURES;
      options[at + NEIGHBOURHOOD_KINDS.indexOf(kind)] = 1;
      at += NEIGHBOURHOOD_KINDS.length;
      options[at++] = Math.log2(Math.min(size, core.count)) / 8;
      options[at++] = allDrawn > 0 ? drawn[a] / allDrawn : 0;
      options[at++] = drawn[a] > 0.1 ? won[a] / drawn[a] : 0;
      // Rates span many powers of ten: against the mean of all arms, -1 to 1 as they are far below or above.
      options[at++] = work[a] > 0 && meanRate > 0 ? squash(gain[a] / work[a] / meanRate) : 0;
      options[at] = drawn[a] > 0.1 && meanWork > 0 ? squash(work[a] / drawn[a] / meanWork) : 0;
    }
    return {
      optionCount: arms,
      options,
      mask,
      context: Float32Array.of(
        context.overfull ? 1 : 0,
        Math.log10(1 + context.sinceImprovement) / 3,
        context.progress,
        ...shape,
      ),
    };
  }
}

/** 1 to 0; 0 to -1, infinity to 1. */
function squash(ratio: number): number {
  return (ratio - 1) / (ratio + 1);
}
