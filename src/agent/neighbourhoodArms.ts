/**
 * What an agent sees when it chooses which neighbourhood of a sharding problem to open next: every arm with what it is and
 * what it bought lately, in a context of how the search stands. All of it is relative, so that it means the same on any
 * instance; the time that is left is not shown, so that it means the same under any limit.
 *
 * A decision is about a slice of work and not about one block, which may take a hundred microseconds or a second: whoever
 * shares out blocks evenly gives nearly all the time to the dearest arms.
 */
import type { NeighbourhoodContext, ShardCore } from '../shard/index.js';
import { NEIGHBOURHOODS, NEIGHBOURHOOD_KINDS } from '../shard/neighbourhood.js';
import type { Random } from '../util/random.js';
import type { EnvironmentSpec, Observation } from './environment.js';

/** Kind (one of five), size, share of recent work, success, rates of late and over longer, cost of a block, work since it paid. */
const OPTION_FEATURES = NEIGHBOURHOOD_KINDS.length + 7;
const CONTEXT_FEATURES = 8;

export const NEIGHBOURHOOD_SPEC: EnvironmentSpec = {
  name: 'neighbourhoods',
  optionFeatures: OPTION_FEATURES,
  contextFeatures: CONTEXT_FEATURES,
  maxSteps: 200,
};

/** Work of a slice: sums a variable. */
const SLICE_PER_VARIABLE = 400;
const LEAST_SLICE = 100_000;
/** What is remembered fades with work: over so many slices. */
const SHORT_MEMORY = 10;
const LONG_MEMORY = 60;
/** Work of a block that was never opened: about this much a variable. */
const FIRST_WORK = 1500;
const MOST_VARIABLES = 3000;
/** What the last block says about the cost of the next. */
const NEWEST = 0.1;
/** Rates this many powers of ten below the best are as good as none. */
const DECADES = 4;

/** Sums that one decision is about. */
export function sliceOf(core: Pick<ShardCore, 'count'>): number {
  return Math.max(LEAST_SLICE, SLICE_PER_VARIABLE * core.count);
}

/** Keeps the record of the arms and shows it. */
export class NeighbourhoodArms {
  private readonly slice: number;
  private readonly longGain: Float64Array;
  private readonly longWork: Float64Array;
  private readonly gain: Float64Array;
  private readonly work: Float64Array;
  private readonly drawn: Float64Array;
  private readonly won: Float64Array;
  /** Work of one block. */
  private readonly cost: Float64Array;
  /** Work since the arm last paid. */
  private readonly dry: Float64Array;
  private readonly mask = new Uint8Array(NEIGHBOURHOODS.length).fill(1);
  private readonly shape: readonly number[];

  /** @param from a record to copy */
  constructor(
    private readonly core: Pick<ShardCore, 'count' | 'start' | 'edgeStart' | 'rowCount'>,
    from: NeighbourhoodArms | null = null,
  ) {
    const fresh = (): Float64Array => new Float64Array(NEIGHBOURHOODS.length);
    this.slice = sliceOf(core);
    this.longGain = from?.longGain.slice() ?? fresh();
    this.longWork = from?.longWork.slice() ?? fresh();
    this.gain = from?.gain.slice() ?? fresh();
    this.work = from?.work.slice() ?? fresh();
    this.drawn = from?.drawn.slice() ?? fresh();
    this.won = from?.won.slice() ?? fresh();
    this.dry = from?.dry.slice() ?? fresh();
    this.cost =
      from?.cost.slice() ??
      fresh().map((_, a) => FIRST_WORK * Math.min(NEIGHBOURHOODS[a].size, core.count, MOST_VARIABLES));
    const { count, start, edgeStart, rowCount } = core;
    this.shape = [
      Math.log2(1 + count) / 16,
      edgeStart[count] / Math.max(1, count) / 8,
      start[count] / Math.max(1, count) / 16,
      rowCount > 0 ? 1 : 0,
    ];
  }

  /** Notes what a block of an arm bought; see `NeighbourhoodChoice.learn`. */
  learn(arm: number, gain: number, work: number): void {
    const short = Math.exp(-work / (SHORT_MEMORY * this.slice));
    const long = Math.exp(-work / (LONG_MEMORY * this.slice));
    for (let a = 0; a < this.gain.length; a++) {
      this.longGain[a] *= long;
      this.longWork[a] *= long;
      this.gain[a] *= short;
      this.work[a] *= short;
      this.drawn[a] *= short;
      this.won[a] *= short;
    }
    this.longGain[arm] += gain;
    this.longWork[arm] += work;
    this.gain[arm] += gain;
    this.work[arm] += work;
    this.drawn[arm]++;
    this.cost[arm] += NEWEST * (work - this.cost[arm]);
    this.dry[arm] += work;
    if (gain > 0) {
      this.won[arm]++;
      this.dry[arm] = 0;
    }
  }

  observe(context: Pick<NeighbourhoodContext, 'overfull' | 'sinceImprovement'>): Observation {
    const { longGain, longWork, gain, work, drawn, won, cost, dry, core, slice, mask, shape } = this;
    const arms = NEIGHBOURHOODS.length;
    let allDrawn = 0;
    let allWon = 0;
    let allGain = 0;
    let allWork = 0;
    let longBest = 0;
    let best = 0;
    for (let a = 0; a < arms; a++) {
      allDrawn += drawn[a];
      allWon += won[a];
      allGain += gain[a];
      allWork += work[a];
      longBest = Math.max(longBest, longGain[a] / (longWork[a] + slice));
      best = Math.max(best, gain[a] / (work[a] + slice));
    }
    const options = new Float32Array(arms * OPTION_FEATURES);
    for (let a = 0; a < arms; a++) {
      const { kind, size } = NEIGHBOURHOODS[a];
      let at = a * OPTION_FEATURES;
      options[at + NEIGHBOURHOOD_KINDS.indexOf(kind)] = 1;
      at += NEIGHBOURHOOD_KINDS.length;
      options[at++] = Math.log2(Math.min(size, core.count)) / 8;
      options[at++] = allWork > 0 ? work[a] / allWork : 0;
      options[at++] = drawn[a] > 0.1 ? won[a] / drawn[a] : 0;
      options[at++] = decades(gain[a] / (work[a] + slice), best);
      options[at++] = decades(longGain[a] / (longWork[a] + slice), longBest);
      options[at++] = Math.log10(cost[a] / slice) / 2;
      options[at] = Math.log10(1 + dry[a] / slice) / 2;
    }
    const speed = allWork > 0 ? (allGain / allWork) * slice : 0;
    return {
      optionCount: arms,
      options,
      mask,
      context: Float32Array.of(
        context.overfull ? 1 : 0,
        Math.log10(1 + context.sinceImprovement) / 3,
        allDrawn > 0 ? allWon / allDrawn : 0,
        Math.log10(1e-9 + speed) / 9,
        ...shape,
      ),
    };
  }
}

/** Share of the draws of a bandit that explore. */
const EXPLORATION = 0.25;
/** Place of the rate over the long memory among an option's features. */
const LONG_RATE = OPTION_FEATURES - 3;

/** What a bandit over slices would do: an arm in proportion to its gain per work, or now and then any. */
export function drawByRate({ options, optionCount }: Observation, random: Random): number {
  if (random.next() < EXPLORATION) return random.int(optionCount);
  const rates = Array.from({ length: optionCount }, (_, a) => {
    const feature = options[a * OPTION_FEATURES + LONG_RATE];
    return feature <= -1 ? 0 : 10 ** (DECADES * feature);
  });
  let left = random.next() * rates.reduce((sum, rate) => sum + rate, 0);
  for (let a = 0; a < optionCount; a++) if ((left -= rates[a]) < 0) return a;
  return random.int(optionCount);
}

/** 0 of the best, -1 of what is powers of ten below it, or nothing. */
function decades(rate: number, best: number): number {
  return rate > 0 ? Math.max(-1, Math.log10(rate / best) / DECADES) : -1;
}
