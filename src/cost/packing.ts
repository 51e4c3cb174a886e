/**
 * Packs buffers with known lifetimes into one block of memory, as compilers that plan memory ahead do: two buffers alive at
 * the same time must not overlap. What the packing needs above the largest sum of bytes alive at one time is fragmentation.
 *
 *     offset
 *       3 | . b b .
 *       2 | . b b .       a = [0, 2) x 1, b = [1, 3) x 2, c = [2, 4) x 1: largest load 3, height 3
 *       1 | a a c c
 *           0 1 2 3  time
 *
 * First fit in a few orders gives a start. A beam search then places buffers from the bottom upwards, always at the lowest
 * offset that the buffers below leave; after Moffitt, "MiniMalloc" (2023), a buffer that would leave room for another whole
 * one beneath it is not tried, and a state is judged by what each moment needs at least: the lowest offset at which anything
 * not yet placed can still start there, plus all that is still to come there.
 */
import { Random } from '../util/random.js';

export interface Buffer {
  /** Alive in [lower, upper). */
  readonly lower: number;
  readonly upper: number;
  readonly sizeBytes: number;
}

export interface Packing {
  /** Offset of each buffer, bytes. */
  readonly offset: Float64Array;
  readonly heightBytes: number;
  /** Largest sum of bytes alive at one time: no packing is lower. */
  readonly loadBytes: number;
}

/** Defaults: a seed that did well on the instances of MiniMalloc; others need more attempts there or miss one. */
export interface PackingOptions {
  /** Beam searches at most; 0 leaves it at first fit. */
  readonly attempts?: number;
  /** Enough when the height is at most this share above the largest load. */
  readonly tolerance?: number;
  readonly seed?: number;
}

/** Searches that take any better packing. */
const IMPROVING_ATTEMPTS = 4;

/** Beyond this many buffers first fit has to do: a beam's work grows with the square of their number. */
const MAX_BEAM_BUFFERS = 1024;

export function packBuffers(buffers: readonly Buffer[], options: PackingOptions = {}): Packing {
  const { attempts = 12, tolerance = 0.01, seed = 5 } = options;
  const sections = new Sections(buffers);
  const { loadBytes } = sections;
  let best = firstFits(buffers, sections);
  const enough = loadBytes * (1 + tolerance);
  const random = new Random(seed);
  if (buffers.length <= MAX_BEAM_BUFFERS) {
    for (let a = 0; a < attempts && best.heightBytes > enough; a++) {
      // Improve first; then only what is good enough counts, and searches that cannot get there end early.
      const limit = a < IMPROVING_ATTEMPTS ? best.heightBytes : Math.min(best.heightBytes, enough + 1);
      const found = beamSearch(sections, drawSetting(buffers.length, sections, random), limit);
      if (found !== null) best = found;
    }
  }
  return { ...best, loadBytes };
}

/** Largest sum of bytes alive at one time. */
export function largestLoad(buffers: readonly Buffer[]): number {
  return new Sections(buffers).loadBytes;
}

interface Offsets {
  readonly offset: Float64Array;
  readonly heightBytes: number;
}

/** Time cut where some lifetime begins or ends; buffer i is alive in sections [first[i], last[i]). */
class Sections {
  readonly count: number;
  readonly first: Int32Array;
  readonly last: Int32Array;
  readonly size: Float64Array;
  /** Bytes alive per section. */
  readonly totalBytes: Float64Array;
  readonly loadBytes: number;

  constructor(buffers: readonly Buffer[]) {
    const times = [...new Set(buffers.flatMap((b) => [b.lower, b.upper]))].sort((a, b) => a - b);
    const at = new Map(times.map((time, i) => [time, i]));
    this.count = Math.max(0, times.length - 1);
    this.first = Int32Array.from(buffers, (b) => at.get(b.lower)!);
    this.last = Int32Array.from(buffers, (b) => at.get(b.upper)!);
    this.size = Float64Array.from(buffers, (b) => b.sizeBytes);
    this.totalBytes = new Float64Array(this.count);
    buffers.forEach((b, i) => {
      for (let t = this.first[i]; t < this.last[i]; t++) this.totalBytes[t] += b.sizeBytes;
    });
    this.loadBytes = this.totalBytes.reduce((most, bytes) => Math.max(most, bytes), 0);
  }

  life(i: number): number {
    return Math.max(1, this.last[i] - this.first[i]);
  }
}

/** The best of first fit by size, by lifetime and by area, largest first. */
function firstFits(buffers: readonly Buffer[], sections: Sections): Offsets {
  const { size } = sections;
  const life = (i: number): number => buffers[i].upper - buffers[i].lower;
  const rules = [(i: number): number => size[i], life, (i: number): number => life(i) * size[i]];
  let best: Offsets | null = null;
  for (const rule of rules) {
    const order = Array.from(size.keys()).sort((i, j) => rule(j) - rule(i) || i - j);
    const found = firstFit(sections, order);
    if (best === null || found.heightBytes < best.heightBytes) best = found;
  }
  return best!;
}

/** Every buffer in turn at the lowest offset where it fits. */
function firstFit(s: Sections, order: readonly number[]): Offsets {
  const offset = new Float64Array(order.length);
  const placed: number[] = [];
  let heightBytes = 0;
  for (const i of order) {
    const near = placed
      .filter((j) => s.first[j] < s.last[i] && s.first[i] < s.last[j])
      .sort((a, b) => offset[a] - offset[b]);
    let low = 0;
    for (const j of near) {
      if (offset[j] - low >= s.size[i]) break;
      low = Math.max(low, offset[j] + s.size[j]);
    }
    offset[i] = low;
    placed.push(i);
    heightBytes = Math.max(heightBytes, low + s.size[i]);
  }
  return { offset, heightBytes };
}

/** What one beam search is run with; different settings suit different instances. */
interface Setting {
  readonly states: number;
  /** Buffers tried per state. */
  readonly branches: number;
  /** A section's need counts with its power 2^squarings, half as much again in between: high powers look at the worst alone. */
  readonly squarings: number;
  readonly between: boolean;
  /** Of buffers that could start equally low those of high priority go first. */
  readonly priority: Float64Array;
}

function drawSetting(count: number, s: Sections, random: Random): Setting {
  const [life, size, noise] = [0.3 + 0.9 * random.next(), random.next(), 0.1 + 0.6 * random.next()];
  const priority = Float64Array.from(
    { length: count },
    (_, i) => life * Math.log(s.life(i)) + size * Math.log(Math.max(1, s.size[i])) + noise * random.next(),
  );
  return {
    states: 16 + random.int(50),
    branches: 10 + random.int(50),
    squarings: 5 + random.int(4),
    between: random.int(2) === 1,
    priority,
  };
}

interface State {
  /** Top of what is placed, and bytes still to come, per section. */
  readonly top: Float64Array;
  readonly rest: Float64Array;
  /** Lowest offset that each buffer not yet placed can have; the offset of those that are. */
  readonly low: Float64Array;
  readonly open: Int32Array;
}

interface Step {
  readonly state: State;
  readonly buffer: number;
  readonly score: number;
}

/** @returns a packing lower than the limit, `null` when none was found */
function beamSearch(s: Sections, setting: Setting, limitBytes: number): Offsets | null {
  const count = s.size.length;
  let beam: State[] = [
    {
      top: new Float64Array(s.count),
      rest: s.totalBytes.slice(),
      low: new Float64Array(count),
      open: Int32Array.from(s.size.keys()),
    },
  ];
  const need = new Float64Array(s.count);
  for (let level = 0; level < count; level++) {
    const steps: Step[] = [];
    for (const state of beam) {
      for (const buffer of candidates(s, state, setting)) {
        const score = judge(s, state, buffer, setting, limitBytes, need);
        if (score < Infinity) steps.push({ state, buffer, score });
      }
    }
    steps.sort((a, b) => a.score - b.score || a.buffer - b.buffer);
    const next: State[] = [];
    let before = -1;
    for (const step of steps) {
      if (next.length >= setting.states) break;
      // The same buffers in another order look the same.
      if (step.score === before) continue;
      before = step.score;
      next.push(advance(s, step.state, step.buffer));
    }
    if (next.length === 0) return null;
    beam = next;
  }
  const height = (state: State): number => state.top.reduce((most, top) => Math.max(most, top), 0);
  const best = beam.reduce((a, b) => (height(b) < height(a) ? b : a));
  return height(best) < limitBytes ? { offset: best.low, heightBytes: height(best) } : null;
}

/** Buffers that may come next, lowest first: none that would leave room for another whole one beneath it. */
function candidates(s: Sections, { low, open }: State, { priority, branches }: Setting): number[] {
  let bound = Infinity;
  for (const i of open) if (low[i] + s.size[i] < bound) bound = low[i] + s.size[i];
  const found: number[] = [];
  for (const i of open) if (low[i] < bound || s.size[i] === 0) found.push(i);
  found.sort((i, j) => low[i] - low[j] || priority[j] - priority[i] || i - j);
  return found.length > branches ? found.slice(0, branches) : found;
}

/**
 * Sum over sections of what each needs at least, over the largest load, to a high power; Infinity when some section needs
 * the limit or more.
 */
function judge(
  s: Sections,
  state: State,
  buffer: number,
  { squarings, between }: Setting,
  limitBytes: number,
  need: Float64Array,
): number {
  const { top, rest, low, open } = state;
  const { first, last } = s;
  const from = first[buffer];
  const to = last[buffer];
  const floor = low[buffer];
  const ceiling = floor + s.size[buffer];
  need.fill(Infinity);
  for (let k = 0; k < open.length; k++) {
    const j = open[k];
    if (j === buffer) continue;
    const a = first[j];
    const b = last[j];
    let lowest = low[j] > floor ? low[j] : floor;
    if (a < to && from < b && ceiling > lowest) lowest = ceiling;
    for (let t = a; t < b; t++) if (lowest < need[t]) need[t] = lowest;
  }
  let score = 0;
  for (let t = 0; t < need.length; t++) {
    const inside = t >= from && t < to;
    const left = inside ? rest[t] - s.size[buffer] : rest[t];
    const least = left > 0 && need[t] < Infinity ? need[t] + left : inside ? ceiling : top[t];
    if (least >= limitBytes) return Infinity;
    let root = 1;
    let power = least / s.loadBytes;
    for (let q = 0; q < squarings; q++) {
      root = power;
      power *= power;
    }
    score += between ? power * root : power;
  }
  return score;
}

function advance(s: Sections, state: State, buffer: number): State {
  const top = state.top.slice();
  const rest = state.rest.slice();
  const low = state.low.slice();
  const floor = low[buffer];
  const ceiling = floor + s.size[buffer];
  const from = s.first[buffer];
  const to = s.last[buffer];
  for (let t = from; t < to; t++) {
    top[t] = ceiling;
    rest[t] -= s.size[buffer];
  }
  const open = new Int32Array(state.open.length - 1);
  let count = 0;
  for (const j of state.open) {
    if (j === buffer) continue;
    open[count++] = j;
    const lowest = s.first[j] < to && from < s.last[j] ? ceiling : floor;
    if (lowest > low[j]) low[j] = lowest;
  }
  return { top, rest, low, open };
}
