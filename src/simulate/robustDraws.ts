/**
 * Worlds in which a plan may have to run: how far off the cost model is (one factor per cost term) and how fast each
 * device is. All candidates of a search are priced in the same worlds (common random numbers), so that a difference
 * between two plans is theirs and not the dice's.
 *
 * All factors are lognormal around 1, on times: 1.05 is 5 % slower. Those of the cost model are stratified (a Latin
 * hypercube: every factor visits every n-th of its distribution once in n draws), which makes quantiles of few draws
 * steadier; those of devices are independent. Device d of a world is as fast whatever the number of devices.
 */
import type { Candidate } from '../plan/types.js';
import { dataParallel } from '../plan/candidate.js';
import { Random } from '../util/random.js';
import { normalQuantile } from './goodput.js';

/** How uncertain times are: standard deviations of their logarithms. */
export interface RobustNoise {
  /** Of one device's kernels against another's of the same kind. */
  readonly device: number;
  /** Of the cost model: kernels of the matrix units, kernels bound by memory, host time. */
  readonly compute: number;
  readonly memory: number;
  readonly host: number;
  /** Of traffic inside the innermost level, and on each of the others. */
  readonly domain: number;
  readonly network: number;
}

/** What a robust objective is. */
export interface RobustSpec {
  /** Share of the draws that may be slower, above 0 and below 1. */
  readonly share: number;
  readonly draws: number;
  readonly seed: number;
  readonly noise: RobustNoise;
}

/** Factors of the slowest devices of some replicas. */
export interface SlowReplicas {
  /** Per draw. */
  readonly rows: number;
  readonly factor: Float32Array;
}

/** Bytes of tables of slowest devices kept before they are forgotten. */
const MOST_TABLE_BYTES = 64 * 2 ** 20;

export class RobustDraws {
  readonly count: number;
  /** Per draw. */
  readonly compute: Float64Array;
  readonly memory: Float64Array;
  readonly host: Float64Array;
  /** [draw * levels + level]. */
  readonly link: Float64Array;
  /** Per draw: of all devices, the slowest and the fastest. */
  readonly slowest: Float64Array;
  readonly fastest: Float64Array;
  /** [draw * devices + device]. */
  private readonly device: Float32Array;
  private readonly tables = new Map<number, SlowReplicas>();
  private tableBytes = 0;

  constructor(
    spec: RobustSpec,
    readonly levels: number,
    private readonly devices: number,
  ) {
    const { draws, noise } = spec;
    this.count = draws;
    const random = new Random(spec.seed ^ 0x0b057);
    const term = (sigma: number): Float64Array => stratified(draws, sigma, random.fork());
    this.compute = term(noise.compute);
    this.memory = term(noise.memory);
    this.host = term(noise.host);
    this.link = new Float64Array(draws * levels);
    for (let l = 0; l < levels; l++)
      term(l === 0 ? noise.domain : noise.network).forEach((x, w) => (this.link[w * levels + l] = x));
    this.device = new Float32Array(draws * devices);
    this.slowest = new Float64Array(draws);
    this.fastest = new Float64Array(draws);
    for (let w = 0; w < draws; w++) {
      const own = random.fork();
      let most = 0;
      let least = Infinity;
      for (let d = 0; d < devices; d++) {
        const at = w * devices + d;
        this.device[at] = noise.device === 0 ? 1 : Math.exp(noise.device * own.normal());
        if (this.device[at] > most) most = this.device[at]!;
        if (this.device[at] < least) least = this.device[at]!;
      }
      this.slowest[w] = most;
      this.fastest[w] = least;
    }
  }

  /** Factor of one device in one draw. */
  deviceFactor(draw: number, device: number): number {
    return this.device[draw * this.devices + device];
  }

  /**
   * The slowest device per pipeline rank, of the replicas that may be the slowest: per draw and rank the one whose factor is
   * the largest there, and the one with the largest sum; all where they are few. The widest rank of all replicas is among
   * them, whatever the ranks' work.
   *
   * @param inStep neighbouring data-parallel replicas that wait for each other in every microbatch; divides dp
   * @returns [(draw * rows + row) * pp + rank]; the same decisions give the same array
   */
  slowReplicas(c: Candidate, inStep: number): SlowReplicas {
    const inner = c.tp * c.cp;
    const outward = c.axisOrder === 'tp-cp-pp-dp' ? 1 : 0;
    const key = 2 * ((inner * 32768 + inStep) * 32768 + c.pp) + outward;
    let known = this.tables.get(key);
    if (known !== undefined) return known;
    known = this.findSlow(c, inner, inStep);
    this.tableBytes += known.factor.byteLength;
    if (this.tableBytes > MOST_TABLE_BYTES) {
      this.tables.clear();
      this.tableBytes = known.factor.byteLength;
    }
    this.tables.set(key, known);
    return known;
  }

  private findSlow(c: Candidate, inner: number, inStep: number): SlowReplicas {
    const { count } = this;
    const { pp } = c;
    const groups = dataParallel(c) / inStep;
    const all = new Float32Array(groups * pp);
    const rows = Math.min(groups, pp + 1);
    const factor = new Float32Array(count * rows * pp);
    for (let w = 0; w < count; w++) {
      this.slowestOf(c, w, inner, inStep, all);
      if (rows === groups) factor.set(all, w * rows * pp);
      else
        for (let row = 0; row < rows; row++) {
          let best = -1;
          let found = 0;
          for (let g = 0; g < groups; g++) {
            let value = row < pp ? all[g * pp + row] : 0;
            if (row === pp) for (let r = 0; r < pp; r++) value += all[g * pp + r];
            if (value > best) {
              best = value;
              found = g;
            }
          }
          factor.set(all.subarray(found * pp, (found + 1) * pp), (w * rows + row) * pp);
        }
    }
    return { rows, factor };
  }

  /** Fills the slowest device's factor of every group of replicas and pipeline rank in one draw: [group * pp + rank]. */
  slowestOf(c: Candidate, draw: number, inner: number, inStep: number, out: Float32Array): void {
    const { device, devices } = this;
    const { pp } = c;
    const dp = dataParallel(c);
    // Devices from one replica to the next, and from one pipeline rank to the next.
    const replicaStride = c.axisOrder === 'tp-cp-pp-dp' ? inner * pp : inner;
    const rankStride = c.axisOrder === 'tp-cp-pp-dp' ? inner : inner * dp;
    for (let g = 0; g < dp / inStep; g++)
      for (let r = 0; r < pp; r++) {
        let most = 0;
        for (let j = 0; j < inStep; j++) {
          const from = draw * devices + (g * inStep + j) * replicaStride + r * rankStride;
          for (let d = from; d < from + inner; d++) if (device[d] > most) most = device[d]!;
        }
        out[g * pp + r] = most;
      }
  }
}

/** One factor per draw, every draw from a stratum of its own, in random order. */
function stratified(draws: number, sigma: number, random: Random): Float64Array {
  const order = random.shuffle(Array.from({ length: draws }, (_, i) => i));
  return Float64Array.from(order, (stratum) => {
    const p = (stratum + random.next()) / draws;
    return sigma === 0 ? 1 : Math.exp(sigma * normalQuantile(Math.min(Math.max(p, 1e-12), 1 - 1e-12)));
  });
}

/** Sorts ids by ascending key; quick where they nearly are (insertion sort). */
export function sortBy(ids: Int32Array, key: Float64Array): void {
  for (let i = 1; i < ids.length; i++) {
    const id = ids[i];
    let j = i - 1;
    while (j >= 0 && key[ids[j]] > key[id]) {
      ids[j + 1] = ids[j]!;
      j--;
    }
    ids[j + 1] = id!;
  }
}

/** The value at a position between two of an ascending sample, interpolated. */
export function between(sorted: Float64Array, at: number): number {
  const low = Math.floor(at);
  const high = Math.min(sorted.length - 1, Math.ceil(at));
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/**
 * By how much a bound on the nominal step must be scaled to hold for the quantile. In draw w no time shrinks by more than the
 * least of its factors, m_w; a step is a sum of maxima of sums of times (what overlap hides included: a shorter task
 * hides less by no more than it is shorter), so that no plan's step falls below m_w times its nominal one; and a quantile of
 * numbers that are pairwise no smaller is no smaller.
 */
export function boundShareOf(draws: RobustDraws, share: number): number {
  const least = new Float64Array(draws.count);
  for (let w = 0; w < draws.count; w++) {
    let m = Math.min(draws.host[w], draws.fastest[w] * Math.min(draws.compute[w], draws.memory[w]));
    for (let l = 0; l < draws.levels; l++) m = Math.min(m, draws.link[w * draws.levels + l]);
    least[w] = m;
  }
  return between(least.sort(), (draws.count - 1) * (1 - share));
}
