/**
 * Piper's time per sample: stages are differences of nested sets closed under successors, so that the sum of the data-parallel
 * degrees of a stage and all later ones is at hand.
 *
 * For a target time T the dynamic program is over (set, sum s of data degrees), and its value is the least number of devices:
 *
 *     need(I, s) = min over J, t, d with time(I \ J, t, d, ceil(s / d)) <= T of need(J, s - d) + t d
 *
 * T is found by bisection between the bound and the best plan. A stage is priced once; for a target it is enough to know how many
 * samples in flight it can bear.
 */
import type { Clock } from '../types.js';
import { downsetsOf } from './downsets.js';
import type { Downsets } from './downsets.js';
import type { PiperProblem, PiperStage } from './piperProblem.js';
import { judgePiper } from './piperProblem.js';
import { topologicalOrder } from './problem.js';
import { StagePrice } from './stagePrice.js';

export interface PiperPlan {
  /** In the order of the pipeline; null: nothing that fits was found. */
  readonly stages: readonly PiperStage[] | null;
  readonly timePerSample: number;
  readonly lowerBound: number;
  /** Whether all stages were considered, so that infeasible means infeasible. */
  readonly complete: boolean;
}

export interface PiperOptions {
  readonly maxSec: number;
  readonly clock: Clock;
  readonly onImprovement?: (value: number) => void;
}

const MOST_SETS = 3000;
/** Relative gap at which bisection ends. */
const CLOSE = 1e-9;

export function placeForPiper(problem: PiperProblem, options: PiperOptions): PiperPlan {
  const untilSec = options.clock() + options.maxSec;
  const n = problem.names.length;
  // Closed under successors: downsets of the graph turned round.
  let sets = downsetsOf(n, problem.edgeTarget, problem.edgeSource, MOST_SETS);
  const complete = sets !== null;
  sets ??= chain(problem);
  const floor = floorOf(problem);
  const table = new StageTable(problem, sets);
  let low = floor;
  let found: PiperStage[] | null = null;
  // A tight limit leaves few stages to price; it is raised until a plan fits below it.
  for (const factor of [1.1, 1.4, 3, 10, Infinity]) {
    const limit = floor * factor;
    table.fill(limit, untilSec, options.clock);
    found = table.plan(limit);
    if (found !== null || options.clock() >= untilSec) break;
    low = limit;
  }
  if (found === null) return { stages: null, timePerSample: Infinity, lowerBound: floor, complete };
  let best = found;
  let high = judgePiper(problem, best).timePerSample;
  options.onImprovement?.(high);
  const bisect = (): void => {
    for (let round = 0; round < 60 && high - low > CLOSE * high && options.clock() < untilSec; round++) {
      // The first target just below the best: often nothing is.
      const target = round === 0 ? high * (1 - CLOSE) : (low + high) / 2;
      const better = table.plan(target);
      if (better === null) low = target;
      else {
        best = better;
        high = judgePiper(problem, best).timePerSample;
        options.onImprovement?.(high);
      }
    }
  };
  bisect();
  const closed = complete && table.finished;
  let lowerBound = closed ? relaxedBound(table, floor, high) : floor;
  // Stages whose whole steps miss a target that fractional ones reach: those few are solved exactly.
  while (closed && lowerBound < high * (1 - 1e-6) && options.clock() < untilSec) {
    if (table.sharpen(high, untilSec, options.clock) === 0) break;
    low = Math.max(floor, lowerBound);
    bisect();
    lowerBound = relaxedBound(table, lowerBound, high);
  }
  return { stages: best, timePerSample: high, lowerBound: Math.min(lowerBound, high), complete };
}

/** The largest target that even fractional configurations cannot reach. */
function relaxedBound(table: StageTable, floor: number, high: number): number {
  if (!table.reachable(high * (1 - CLOSE), true)) return high * (1 - CLOSE);
  let low = floor;
  let top = high;
  for (let round = 0; round < 24 && top - low > 1e-6 * top; round++) {
    const target = (low + top) / 2;
    if (table.reachable(target, true)) top = target;
    else low = target;
  }
  return low;
}

/** All work at its best spread over all devices, and the dearest layer on as many as can share it. */
function floorOf(problem: PiperProblem): number {
  let work = 0;
  let dearest = 0;
  problem.choices.forEach((byDegree) => {
    let least = Infinity;
    let fastest = Infinity;
    for (const [t, list] of byDegree) {
      if (t > problem.devices) continue;
      const replicas = Math.min(problem.samplesPerBatch, Math.floor(problem.devices / t));
      for (const choice of list) {
        least = Math.min(least, choice.timePerSample * t);
        fastest = Math.min(fastest, choice.timePerSample / replicas);
      }
    }
    work += least;
    dearest = Math.max(dearest, fastest);
  });
  return Math.max(work / problem.devices, dearest, 1e-300);
}

/** Suffixes of one order, where the sets of the graph are too many. */
function chain(problem: PiperProblem): Downsets {
  const n = problem.names.length;
  const order = topologicalOrder(n, problem.edgeSource, problem.edgeTarget);
  return {
    count: n + 1,
    nodes: n,
    dropFirst: Int32Array.from({ length: n + 2 }, (_, i) => Math.max(0, i - 1)),
    dropNode: Int32Array.from({ length: n }, (_, i) => order[n - 1 - i]),
    dropTo: Int32Array.from({ length: n }, (_, i) => i),
  };
}

/** All stages below a limit of time, priced. */
class StageTable {
  finished = false;
  /** Stage r takes `whole[r]` without `rest[r]`; stages of one `whole` stand together, ascending. */
  private whole: number[] = [];
  private rest: number[] = [];
  private data: number[] = [];
  private tensor: number[] = [];
  /** Times and bounds for 1, 2, ... samples in flight: `[priceFirst[r], priceFirst[r + 1])`. */
  private priceFirst: number[] = [0];
  private times: number[] = [];
  private bounds: number[] = [];
  /** Prices that are exact, or as exact as they will be. */
  private readonly sharp = new Set<number>();
  private readonly mostData: number;
  private readonly price: StagePrice;
  private need = new Int32Array(0);

  constructor(
    private readonly problem: PiperProblem,
    private readonly sets: Downsets,
  ) {
    this.mostData = Math.min(problem.devices, problem.samplesPerBatch);
    this.price = new StagePrice(problem);
  }

  /** Prices every stage whose time can be at most `limit`. */
  fill(limit: number, untilSec: number, clock: Clock): void {
    const { sets, price } = this;
    const { dropFirst, dropNode, dropTo, count, nodes } = sets;
    this.whole = [];
    this.rest = [];
    this.data = [];
    this.tensor = [];
    this.priceFirst = [0];
    this.times = [];
    this.bounds = [];
    this.sharp.clear();
    this.finished = false;
    const seen = new Int32Array(count).fill(-1);
    const path = new Int32Array(nodes + 1);
    const cursor = new Int32Array(nodes + 1);
    for (let whole = 1; whole < count; whole++) {
      if (clock() >= untilSec) return;
      let depth = 0;
      path[0] = whole;
      cursor[0] = dropFirst[whole];
      while (depth >= 0) {
        const here = path[depth];
        if (cursor[depth] >= dropFirst[here + 1]) {
          if (--depth >= 0) price.removeLast();
          continue;
        }
        const step = cursor[depth]++;
        const rest = dropTo[step];
        if (seen[rest] === whole) continue;
        seen[rest] = whole;
        price.add(dropNode[step]);
        if (!this.priceStage(whole, rest, limit)) {
          price.removeLast();
          continue;
        }
        depth++;
        path[depth] = rest;
        cursor[depth] = dropFirst[rest];
      }
      price.clear();
    }
    this.finished = true;
  }

  /** Prices one stage for all degrees; false when no larger stage can be within the limit. */
  private priceStage(whole: number, rest: number, limit: number): boolean {
    const { problem, price, mostData } = this;
    let grows = false;
    for (let i = 0; i < problem.tensorDegrees.length; i++) {
      const t = problem.tensorDegrees[i];
      for (let d = 1; d <= mostData && d * t <= problem.devices; d++) {
        if (problem.samplesPerBatch % d !== 0) continue;
        const stage = price.at(i, d);
        if (stage === null) break;
        // Transfers may shrink as the stage grows; compute only grows. One sample in flight is the least.
        if (price.computeTime(stage, i, d) <= limit && price.price(stage, 1)) grows = true;
        if (stage.time > limit) continue;
        const first = this.times.length;
        const mostSamples = Math.ceil(mostData / d);
        const free = price.samplesAtFastest(stage);
        for (let samples = 1; samples <= mostSamples; samples++) {
          if (samples <= free) {
            this.times.push(stage.time);
            this.bounds.push(stage.time);
            continue;
          }
          if (!price.price(stage, samples) || price.bound > limit) break;
          this.times.push(price.time);
          this.bounds.push(price.bound);
        }
        if (this.times.length === first) continue;
        this.whole.push(whole);
        this.rest.push(rest);
        this.data.push(d);
        this.tensor.push(i);
        this.priceFirst.push(this.times.length);
      }
    }
    return grows;
  }

  /** Solves the stages exactly that only fractional configurations bring below the target; how many prices changed. */
  sharpen(target: number, untilSec: number, clock: Clock): number {
    const { whole, rest, data, tensor, price } = this;
    const below = target * (1 - CLOSE);
    let changed = 0;
    for (let r = 0; r < whole.length; r++) {
      let opened = false;
      for (let i = this.priceFirst[r]; i < this.priceFirst[r + 1]; i++) {
        if (this.bounds[i] > below || this.times[i] <= below || this.sharp.has(i)) continue;
        if (!opened) for (const v of this.layersOf(whole[r], rest[r])) price.add(v);
        opened = true;
        const stage = price.at(tensor[r], data[r]);
        const exact = stage === null ? null : price.exact(stage, i - this.priceFirst[r] + 1);
        this.sharp.add(i);
        if (exact === null) continue;
        this.times[i] = Math.min(this.times[i], exact.time);
        if (exact.proven) this.bounds[i] = this.times[i];
        changed++;
      }
      if (opened) price.clear();
      if (r % 256 === 0 && clock() >= untilSec) break;
    }
    return changed;
  }

  /** Whether a plan can reach the target. */
  reachable(target: number, relaxed: boolean): boolean {
    return this.leastDevices(target, relaxed) >= 0;
  }

  /** Sum of data degrees of the full set with the fewest devices, or -1. */
  private leastDevices(target: number, relaxed: boolean): number {
    const { sets, whole, rest, data, tensor, problem } = this;
    const width = this.mostData + 1;
    const size = sets.count * width;
    if (this.need.length !== size) this.need = new Int32Array(size);
    const need = this.need;
    const none = 0x3fffffff;
    need.fill(none);
    need[0] = 0;
    for (let r = 0; r < whole.length; r++) {
      const samples = this.mostSamples(r, target, relaxed);
      if (samples === 0) continue;
      const d = data[r];
      const devices = d * problem.tensorDegrees[tensor[r]];
      const last = Math.min(this.mostData, samples * d);
      const from = rest[r] * width - d;
      const to = whole[r] * width;
      const cap = problem.devices - devices;
      for (let s = d; s <= last; s++) {
        const before = need[from + s];
        if (before <= cap && before + devices < need[to + s]) need[to + s] = before + devices;
      }
    }
    let best = -1;
    const at = (sets.count - 1) * width;
    for (let s = 1; s < width; s++)
      if (need[at + s] < none && (best < 0 || need[at + s] < need[at + best])) best = s;
    return best;
  }

  /** Most samples in flight with which stage r keeps the target; 0 when none. */
  private mostSamples(r: number, target: number, relaxed: boolean): number {
    const prices = relaxed ? this.bounds : this.times;
    const first = this.priceFirst[r];
    // Configurations that fit more samples also fit fewer, so the last price within the target decides.
    for (let i = this.priceFirst[r + 1] - 1; i >= first; i--) if (prices[i] <= target) return i - first + 1;
    return 0;
  }

  /** Stages of a plan within the target, or null. */
  plan(target: number): PiperStage[] | null {
    const { sets, problem, price } = this;
    let s = this.leastDevices(target, false);
    if (s < 0) return null;
    const width = this.mostData + 1;
    const table = this.need;
    const stages: PiperStage[] = [];
    let whole = sets.count - 1;
    for (let r = this.whole.length - 1; whole > 0 && r >= 0; r--) {
      if (this.whole[r] !== whole) continue;
      const d = this.data[r];
      const t = problem.tensorDegrees[this.tensor[r]];
      if (d > s) continue;
      const before = table[this.rest[r] * width + s - d];
      if (before + d * t !== table[whole * width + s]) continue;
      const samples = this.mostSamples(r, target, false);
      if (samples * d < s) continue;
      for (const v of this.layersOf(whole, this.rest[r])) price.add(v);
      const stage = price.at(this.tensor[r], d);
      if (stage === null) throw new Error('internal: a stage that was priced cannot be opened');
      // The fewest samples that are asked for, unless the price there is above the target (a greedy choice is not monotone).
      let flight = Math.ceil(s / d);
      while (flight < samples && this.times[this.priceFirst[r] + flight - 1] > target) flight++;
      const exact = price.exact(stage, flight);
      price.clear();
      if (exact === null) throw new Error('internal: a stage that was priced does not fit');
      stages.push({ layers: exact.layers, choice: exact.choice, dataDegree: d, tensorDegree: t });
      s -= d;
      whole = this.rest[r];
    }
    return stages;
  }

  private layersOf(whole: number, rest: number): number[] {
    const { dropFirst, dropNode, dropTo } = this.sets;
    const nodes = (set: number): number[] => {
      const list: number[] = [];
      for (let i = set; i !== 0; i = dropTo[dropFirst[i]]) list.push(dropNode[dropFirst[i]]);
      return list;
    };
    const kept = new Set(nodes(rest));
    return nodes(whole).filter((v) => !kept.has(v));
  }
}
