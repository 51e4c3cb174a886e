/**
 * Which variables a large-neighbourhood search opens next. Kinds of neighbourhoods and sizes are the arms of a choice that
 * is injected: uniform, a bandit, or anything that learns.
 */
import type { Random } from '../util/random.js';
import type { ShardState } from './state.js';

/** How a neighbourhood grows. */
export const NEIGHBOURHOOD_KINDS = ['ball', 'path', 'row', 'exchange', 'whole'] as const;
export type NeighbourhoodKind = (typeof NEIGHBOURHOOD_KINDS)[number];

/** Sizes in variables that a kind is offered in. */
export const NEIGHBOURHOOD_SIZES = [8, 24, 80, 300] as const;

export interface Neighbourhood {
  readonly kind: NeighbourhoodKind;
  readonly size: number;
}

/** Every arm; `whole` has but one size. */
export const NEIGHBOURHOODS: readonly Neighbourhood[] = NEIGHBOURHOOD_KINDS.flatMap(
  (kind): Neighbourhood[] =>
    kind === 'whole' ? [{ kind, size: Infinity }] : NEIGHBOURHOOD_SIZES.map((size) => ({ kind, size })),
);

/** Draws the variables of neighbourhoods. */
export class NeighbourhoodSampler {
  private readonly taken: Uint8Array;
  private readonly all: Int32Array;
  /** Variables alive at each row: CSR. */
  private readonly rowStart: Int32Array;
  private readonly rowVariable: Int32Array;

  constructor(
    private readonly state: ShardState,
    private readonly random: Random,
  ) {
    const { core } = state;
    this.taken = new Uint8Array(core.count);
    this.all = Int32Array.from({ length: core.count }, (_, i) => i);
    ({ start: this.rowStart, variable: this.rowVariable } = aliveBySample(state));
  }

  /** @param row a row that it should be about, or -1 */
  draw({ kind, size }: Neighbourhood, row: number): number[] {
    const { random, state, taken } = this;
    const { count } = state.core;
    if (kind === 'whole' || size >= count) return Array.from(this.all);
    const picked: number[] = [];
    const seed = row < 0 ? random.int(count) : this.aliveAt(row, 1)[0];
    if (kind === 'ball') this.grow(picked, [seed], size, 0.9);
    else if (kind === 'path') this.walk(picked, seed, size);
    else if (kind === 'row')
      this.grow(picked, row < 0 ? this.aliveTogether(seed, size) : this.aliveAt(row, size), size, 0);
    else {
      // Half around one variable, half around others that share a time with it.
      this.grow(picked, [seed], size >> 1, 0.9);
      this.grow(picked, this.aliveTogether(seed, Math.max(1, size >> 4)), size, 0.9);
    }
    for (const i of picked) taken[i] = 0;
    return picked;
  }

  /** Breadth first from the seeds; each neighbour is taken with the chance given. */
  private grow(picked: number[], seeds: readonly number[], size: number, chance: number): void {
    const { state, random, taken } = this;
    const { edgeStart, edgeTo } = state.core;
    let head = picked.length;
    for (const seed of seeds) {
      if (taken[seed] === 1 || picked.length >= size) continue;
      taken[seed] = 1;
      picked.push(seed);
    }
    if (chance === 0) return;
    for (; head < picked.length && picked.length < size; head++) {
      const i = picked[head];
      const degree = edgeStart[i + 1] - edgeStart[i];
      // Of a hub's neighbours a run, so that a ball is no star.
      const most = Math.min(degree, 12);
      const offset = random.int(Math.max(1, degree));
      for (let k = 0; k < most && picked.length < size; k++) {
        const j = edgeTo[edgeStart[i] + ((offset + k) % degree)];
        if (taken[j] === 1 || random.next() > chance) continue;
        taken[j] = 1;
        picked.push(j);
      }
    }
  }

  /** A random walk that avoids where it was. */
  private walk(picked: number[], seed: number, size: number): void {
    const { state, random, taken } = this;
    const { edgeStart, edgeTo } = state.core;
    let at = seed;
    for (let steps = 0; steps < 4 * size && picked.length < size; steps++) {
      if (taken[at] === 0) {
        taken[at] = 1;
        picked.push(at);
      }
      const degree = edgeStart[at + 1] - edgeStart[at];
      if (degree === 0) return;
      at = edgeTo[edgeStart[at] + random.int(degree)];
    }
  }

  /** Variables alive at one time of the seed's, a random run of them. */
  private aliveTogether(seed: number, most: number): number[] {
    const { state, random } = this;
    const { segmentStart, rowBegin, rowEnd } = state.core;
    const segments = segmentStart[seed + 1] - segmentStart[seed];
    if (segments === 0) return [seed];
    const g = segmentStart[seed] + random.int(segments);
    return this.aliveAt(rowBegin[g] + random.int(rowEnd[g] - rowBegin[g]), most);
  }

  private aliveAt(row: number, most: number): number[] {
    const { random, rowStart, rowVariable } = this;
    const from = rowStart[row];
    const alive = rowStart[row + 1] - from;
    const found: number[] = [];
    const offset = random.int(alive);
    for (let k = 0; k < Math.min(most, alive); k++) found.push(rowVariable[from + ((offset + k) % alive)]);
    return found;
  }
}

/** Entries that the lists of variables per row may have. */
const MOST_ENTRIES = 1 << 23;

/** Variables by the rows of their segments; of very long segments only every few rows. */
function aliveBySample(state: ShardState): { start: Int32Array; variable: Int32Array } {
  const { core } = state;
  let total = 0;
  for (let g = 0; g < core.rowBegin.length; g++) total += core.rowEnd[g] - core.rowBegin[g];
  const step = Math.max(1, Math.ceil(total / MOST_ENTRIES));
  const start = new Int32Array(core.rowCount + 2);
  for (let g = 0; g < core.rowBegin.length; g++)
    for (let r = core.rowBegin[g]; r < core.rowEnd[g]; r += step) start[r + 2]++;
  for (let r = 0; r < core.rowCount; r++) start[r + 2] += start[r + 1];
  const variable = new Int32Array(start[core.rowCount + 1]);
  for (let i = 0; i < core.count; i++)
    for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++)
      for (let r = core.rowBegin[g]; r < core.rowEnd[g]; r += step) variable[start[r + 1]++] = i;
  return { start: start.subarray(0, core.rowCount + 1), variable };
}
