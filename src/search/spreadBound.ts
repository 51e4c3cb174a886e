/**
 * The bound of `decidedBound` for ranks that may hold any segments: interleaved ones hold several runs of them, and while the
 * schedule is open nothing is said of the others.
 *
 * With P(r) the work on the first r segments, which is no more than that of the first chunks before rank r, point 3 there summed
 * over the ranks gives pp T >= M W + sum P(r). Among equal layers of least work c rank r holds at most (T - P(r)) / (M c), and
 * at most what its memory takes with min(M, pp - r) microbatches of each in flight, the fewest that any schedule has. A rank that
 * is slower by a factor of at least q counts as 1 / q of one.
 */
import { fragmentationBytes } from '../cost/memory.js';
import { gatherSec, scattersEveryMicrobatch, scatterSec } from '../simulate/dataTraffic.js';
import type { DecidedRanks } from './decidedRanks.js';

/** Relative width at which bisection ends; its lower end is the bound. */
const CLOSE = 2e-4;

/**
 * Ranks that may hold any segments.
 *
 * @param returns whether the last gradient has to go back before the step ends; else only the first microbatch's way forward counts
 */
export function spreadBoundSec(ranks: DecidedRanks, returns: boolean): number {
  const { d, microbatches: M, segments: n } = ranks;
  let waits = 0;
  let lateWaits = 0;
  let rates = 0;
  let slowest = 1;
  const slowness = new Float64Array(d.pp);
  const idle = new Float64Array(d.pp);
  for (let r = 0; r < d.pp; r++) {
    slowness[r] = slownessOf(ranks, r);
    slowest = Math.max(slowest, slowness[r]);
    // What rank r does not spend on segments: until it can begin, after its end, and on the host.
    const hostSec = (r / 2 + M * d.vpp) * ranks.hostSec;
    idle[r] = (returns ? ranks.before[r] : ranks.forwardBefore[r]) + hostSec;
    waits += idle[r] / slowness[r];
    lateWaits += (ranks.forwardBefore[r] + hostSec) / slowness[r];
    rates += 1 / slowness[r];
  }
  const work = M * (ranks.before[n] + exposedShards(ranks) / slowest);
  const optimizer = everyOptimizerSec(ranks) / slowest;
  const { stepOverheadSec } = ranks.problem.stack;
  const tailSec = returns ? ranks.firstTailSec : stepOverheadSec;
  return Math.max(
    (work + waits) / rates + tailSec,
    (work + lateWaits + optimizer) / rates + stepOverheadSec,
    countedLayers(ranks, slowness, idle) + tailSec,
  );
}

/**
 * Gathers and scatters of every microbatch that no compute hides, on all ranks together. A collective's time is concave in its
 * bytes, so that the chunks' are no shorter than one of all their bytes; what hides them is no more than all compute.
 */
function exposedShards(ranks: DecidedRanks): number {
  const { zero, whole, layout, network, state, d, segments: n, microbatches: M } = ranks;
  if (!whole || zero < 2) return 0;
  const { gradientsUnderBackward, gathersUnderForward } = ranks.problem.stack;
  let forward = 0;
  let backward = 0;
  let fetch = Infinity;
  let sum = Infinity;
  for (let r = 0; r < d.pp; r++) {
    if (r > 0 && ranks.tableOf[r] === ranks.tableOf[r - 1] && layout.network[r] === layout.network[r - 1])
      continue;
    const table = ranks.tableOf[r];
    forward = Math.max(forward, table.forwardSec[n]);
    backward = Math.max(backward, table.backwardSec[n] + ranks.policyOf[r].recomputeSec[n]);
    const dense = ranks.denseParameters(r, 0, n);
    const expert = table.expertParameters[n];
    const route = layout.network[r];
    fetch = Math.min(fetch, zero === 3 ? gatherSec(network, layout, state, dense, expert, route) : 0);
    const scatters = scattersEveryMicrobatch(zero, M);
    sum = Math.min(sum, scatters ? scatterSec(network, layout, state, dense, expert, route) : 0);
  }
  const hostSec = (d.pp * d.vpp * ranks.hostSec) / 2;
  return (
    Math.max(0, fetch - gathersUnderForward * (forward + hostSec)) +
    Math.max(0, fetch + sum - gradientsUnderBackward * (backward + hostSec))
  );
}

/** The optimizer on all ranks together, each on the fastest memory. */
function everyOptimizerSec(ranks: DecidedRanks): number {
  let least = Infinity;
  for (let r = 0; r < ranks.d.pp; r++) {
    if (r > 0 && ranks.tableOf[r] === ranks.tableOf[r - 1]) continue;
    const dense = ranks.denseParameters(r, 0, ranks.segments);
    least = Math.min(least, ranks.optimizerSec(r, dense, ranks.tableOf[r].expertParameters[ranks.segments]));
  }
  return least;
}

/** How much slower rank r runs any segment than the fastest group does, at least. */
function slownessOf(ranks: DecidedRanks, r: number): number {
  const table = ranks.tableOf[r];
  const { recomputeSec } = ranks.policyOf[r];
  let least = Infinity;
  for (let s = 0; s < ranks.segments; s++) {
    const fastest = ranks.before[s + 1] - ranks.before[s];
    if (fastest <= 0) continue;
    const own =
      table.forwardSec[s + 1] -
      table.forwardSec[s] +
      table.backwardSec[s + 1] -
      table.backwardSec[s] +
      recomputeSec[s + 1] -
      recomputeSec[s];
    least = Math.min(least, own / fastest);
  }
  return least === Infinity ? 1 : Math.max(1, least * (1 - 1e-12));
}

/** The least time in which the ranks can hold all layers, each in its memory; Infinity when they cannot. */
function countedLayers(ranks: DecidedRanks, slowness: Float64Array, idle: Float64Array): number {
  const { d, layers, microbatches: M } = ranks;
  const { pp } = d;
  if (layers.length === 0) return 0;
  const room = new Float64Array(pp);
  let secPerLayer = Infinity;
  for (const s of layers) secPerLayer = Math.min(secPerLayer, ranks.before[s + 1] - ranks.before[s]);
  let places = 0;
  for (let r = 0; r < pp; r++) {
    let layerBytes = Infinity;
    let spare = -Infinity;
    for (const s of layers) {
      const [bytes, free] = layerMemory(ranks, r, s);
      layerBytes = Math.min(layerBytes, bytes);
      spare = Math.max(spare, free);
    }
    room[r] =
      spare < 0
        ? 0
        : Math.min(layers.length, layerBytes > 0 ? Math.floor(spare / layerBytes + 1e-9) : Infinity);
    places += room[r];
  }
  if (places < layers.length) return Infinity;
  const holds = (timeSec: number): boolean => {
    let held = 0;
    for (let r = 0; r < pp; r++) {
      const left = timeSec - idle[r];
      const perLayer = M * secPerLayer * slowness[r];
      if (left > 0) held += Math.min(room[r], Math.floor(left / perLayer + 1e-9));
    }
    return held >= layers.length;
  };
  let low = (M * secPerLayer * layers.length) / pp / 2;
  let high = low;
  for (let round = 0; !holds(high); round++) {
    if (round > 200) return low;
    low = high;
    high *= 1.3;
  }
  while (high - low > CLOSE * high) {
    const middle = (low + high) / 2;
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return low;
}

/** Bytes that one more layer takes on interleaved rank r, and bytes that its layers may share. */
function layerMemory(ranks: DecidedRanks, r: number, s: number): [number, number] {
  const { d, problem } = ranks;
  const table = ranks.tableOf[r];
  const policy = ranks.policyOf[r];
  let dense = table.denseParameters[s + 1] - table.denseParameters[s];
  for (const { segments, elements } of ranks.shared) if (segments.includes(s)) dense -= elements / d.tp;
  const expert = table.expertParameters[s + 1] - table.expertParameters[s];
  const saved = policy.savedBytes[s + 1] - policy.savedBytes[s];
  const held = saved * Math.min(ranks.microbatches, d.pp - r);
  const transient = policy.transientBytes.over(s, s + 1);
  return [
    ranks.stateBytes(Math.max(0, dense), expert) + held + fragmentationBytes(held, problem.stack),
    ranks.roomBytes[r] - transient - fragmentationBytes(transient, problem.stack),
  ];
}
