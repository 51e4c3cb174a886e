/** Peak bytes of one device of each pipeline rank. */
import { communicatorBytes, fragmentationBytes, gatherBufferBytes } from '../cost/memory.js';
import { denseShards } from '../parallel/degrees.js';
import { deferredChunks, inFlightChunks } from '../parallel/schedule.js';
import { expertShards } from '../plan/candidate.js';
import type { Candidate, MemoryBreakdown } from '../plan/types.js';
import type { StageLoad } from './load.js';
import type { PlanProblem } from './types.js';

export function emptyMemory(): MemoryBreakdown {
  return {
    parameterBytes: 0,
    gradientBytes: 0,
    optimizerBytes: 0,
    activationBytes: 0,
    transientBytes: 0,
    cacheBytes: 0,
    reservedBytes: 0,
    totalBytes: 0,
  };
}

/** Fills the memory of pipeline rank r from a filled load. */
export function rankMemory(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  r: number,
  out: MemoryBreakdown,
): void {
  const { pp, virtualStages, microbatches, state } = load;
  const dense = load.rankDenseParameters[r];
  const expert = load.rankExpertParameters[r];
  const zero = problem.phase === 'train' ? c.zeroStage : 0;
  const whole = dense + expert;
  const shard = dense / denseShards(c) + expert / expertShards(c);
  out.parameterBytes = state.param * (zero >= 3 ? shard : whole);
  out.gradientBytes = state.grad * (zero >= 2 ? shard : whole);
  out.optimizerBytes = state.optimizer * (zero >= 1 ? shard : whole);
  out.activationBytes = problem.phase === 'train' ? activations(load, c, r) : 0;

  const table = load.tableOf[r];
  const policy = load.policyOf[r];
  const cut = table.costs.cutBytes;
  let transient = 0;
  let boundary = 0;
  let cache = 0;
  let gathered = 0;
  for (let v = r; v < virtualStages; v += pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    transient = Math.max(transient, policy.transientBytes.over(from, to));
    // One message being received and one being sent.
    boundary = Math.max(boundary, (v > 0 ? cut[from] : 0) + (v + 1 < virtualStages ? cut[to] : 0));
    cache += table.cacheBytes[to] - table.cacheBytes[from];
    if (zero >= 2) gathered = Math.max(gathered, table.segmentParameters.over(from, to));
  }
  out.transientBytes = transient + boundary + gatherBufferBytes(gathered, state, zero);
  out.cacheBytes = problem.phase === 'inference' ? cache * microbatches : 0;
  const held =
    out.parameterBytes +
    out.gradientBytes +
    out.optimizerBytes +
    out.activationBytes +
    out.transientBytes +
    out.cacheBytes;
  const device = problem.cluster.groups[load.layout.deviceGroup[r]].device;
  out.reservedBytes =
    device.reservedBytes +
    communicatorBytes(communicators(c)) +
    fragmentationBytes(out.activationBytes + out.transientBytes, problem.stack);
  out.totalBytes = held + out.reservedBytes;
}

/** Communicators a rank takes part in: one per axis that is split. */
function communicators(c: Candidate): number {
  return (
    (c.tp > 1 ? 1 : 0) +
    (c.cp > 1 ? 1 : 0) +
    (c.pp > 1 ? 1 : 0) +
    (c.dpShard > 1 ? 1 : 0) +
    (c.dpReplicate > 1 ? 1 : 0) +
    (c.ep > 1 ? 1 : 0) +
    (c.etp > 1 ? 1 : 0)
  );
}

/**
 * Activations of the microbatches in flight. With several chunks a rank the mix of chunks in flight changes during a
 * group; the peak over the steady state is taken, walking its pp * vpp steps.
 */
function activations(load: StageLoad, c: Candidate, r: number): number {
  const { pp, vpp, microbatches, savedBytes, deferredBytes } = load;
  if (vpp === 1)
    return (
      savedBytes[r] * inFlightChunks(c.schedule, r, pp, 1, microbatches) +
      deferredBytes[r] * deferredChunks(c.schedule, r, microbatches)
    );
  const group = pp * vpp;
  const total = microbatches * vpp;
  const warmUp = Math.min(total, 2 * (pp - 1 - r) + (vpp - 1) * pp);
  if (equalChunks(load, r)) return savedBytes[r] * inFlightChunks(c.schedule, r, pp, vpp, microbatches);
  // The warm-up's forwards: groups of pp microbatches, chunk by chunk.
  const rest = warmUp % group;
  let held = 0;
  for (let v = r, before = 0; v < group; v += pp, before += pp) {
    const ofRest = rest <= before ? 0 : rest >= before + pp ? pp : rest - before;
    held += ((warmUp - rest) / vpp + ofRest) * savedBytes[v];
  }
  let peak = held;
  // After the warm-up one forward and one backward, chunks in reverse; the mix repeats after a group. While neither
  // changes its chunk what is held rises or falls steadily, so that only the ends of such runs can be a peak.
  const steps = Math.min(total - warmUp, group);
  for (let j = 0; j < steps;) {
    const position = (warmUp + j) % group;
    const inForward = position % pp;
    const inBackward = j % pp;
    const run = Math.min(pp - inForward, pp - inBackward, steps - j);
    const up = savedBytes[position - inForward + r];
    const down = savedBytes[group - pp - (j - inBackward) + r];
    const change = run * (up - down);
    peak = Math.max(peak, held + up, held + change + down);
    held += change;
    j += run;
  }
  return peak;
}

function equalChunks(load: StageLoad, r: number): boolean {
  const { savedBytes, pp, virtualStages } = load;
  for (let v = r + pp; v < virtualStages; v += pp)
    if (Math.abs(savedBytes[v] - savedBytes[r]) > 1e-9 * savedBytes[r]) return false;
  return true;
}
