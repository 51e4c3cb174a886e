/**
 * Which traffic crosses which level of the network: bytes that a device sends in one step, by the axis of parallelism that
 * sends them. Collectives are taken as hierarchical rings, level by level from the inside; with fanouts f0, f1 (n = f0 f1)
 *
 *     reduce-scatter of V:   level 0 sends V (f0 - 1) / f0,  level 1 sends V (f1 - 1) / (f0 f1);  together V (n - 1) / n
 *
 * an all-reduce is two of them, an all-gather one of its result, and an all-to-all sends to every rank alike. This is the
 * least that a ring moves; trees and reductions inside switches move other amounts in other shapes.
 */
import type { Level } from '../cluster/types.js';
import { Route } from '../cost/route.js';
import type { ClassCollective } from '../cost/traffic.js';
import type { Candidate } from '../plan/types.js';
import { StageLoad } from './load.js';
import type { Span } from './layout.js';
import type { PlanProblem } from './types.js';

export const TRAFFIC_AXES = ['tensor', 'context', 'expert', 'data', 'pipeline'] as const;
export type TrafficAxis = (typeof TRAFFIC_AXES)[number];

/** Traffic of one axis: of a device of the pipeline rank that sends the most. */
export interface AxisTraffic {
  readonly axis: TrafficAxis;
  /** Ranks that talk to each other, and how far apart their numbers are. */
  readonly ranks: number;
  readonly stride: number;
  /** Sent in one step, by level of the cluster's network, innermost first. */
  readonly bytesPerLevel: readonly number[];
  /** Their sum. */
  readonly sentBytes: number;
}

/**
 * @param collectives inside layers, per class, of one microbatch
 * @returns the axes that send anything
 */
export function linkTraffic(
  problem: PlanProblem,
  c: Candidate,
  collectives: readonly (readonly ClassCollective[])[],
): AxisTraffic[] {
  const load = new StageLoad(problem, true);
  load.fill(c);
  const { levels } = problem.cluster;
  const all: AxisTraffic[] = [];
  const add = (axis: TrafficAxis, group: Span, perRank: readonly Float64Array[]): void => {
    const worst = perRank.reduce((most, sent) => (sum(sent) > sum(most) ? sent : most));
    if (sum(worst) <= 0) return;
    all.push({
      axis,
      ranks: group.size,
      stride: group.stride,
      bytesPerLevel: Array.from(worst),
      sentBytes: sum(worst),
    });
  };
  const ranks = Array.from({ length: load.pp }, (_, r) => r);
  for (const [axis, name] of [
    ['tensor', 'tp'],
    ['context', 'cp'],
    ['expert', 'ep'],
  ] as const) {
    const group = layerGroup(c, name);
    const amounts = ranks.map((r) => layerBytes(problem, c, load, r, collectives, name));
    add(
      axis,
      group,
      amounts.map(({ scattered, exchanged }) => {
        const sent = new Float64Array(levels.length);
        ring(problem, group, scattered, sent);
        exchange(problem, group, exchanged, sent);
        return sent;
      }),
    );
  }
  const { data, expertData } = load.layout;
  add(
    'data',
    data.size > 1 ? data : expertData,
    ranks.map((r) => dataSent(problem, c, load, r)),
  );
  const pipeline: Span = { size: c.pp, stride: load.layout.pipelineStride };
  if (c.pp > 1)
    add(
      'pipeline',
      pipeline,
      ranks.map((r) => toNeighbours(levels, pipeline, neighbourBytes(problem, load, c, r))),
    );
  return all;
}

function layerGroup(c: Candidate, axis: 'tp' | 'cp' | 'ep'): Span {
  if (axis === 'tp') return { size: c.tp, stride: 1 };
  return axis === 'cp' ? { size: c.cp, stride: c.tp } : { size: c.ep, stride: c.etp };
}

/** Bytes V of all reduce-scatters of V (an all-reduce counts twice), and of all all-to-alls, of one rank's step. */
function layerBytes(
  { segmentation, phase }: PlanProblem,
  c: Candidate,
  load: StageLoad,
  r: number,
  collectives: readonly (readonly ClassCollective[])[],
  axis: 'tp' | 'cp' | 'ep',
): { scattered: number; exchanged: number } {
  const { size } = layerGroup(c, axis);
  let scattered = 0;
  let exchanged = 0;
  for (let v = r; v < load.virtualStages; v += load.pp)
    for (let s = c.stageStart[v]; s < c.stageStart[v + 1]; s++)
      for (const one of collectives[segmentation.segmentClass[s]]) {
        if (one.axis !== axis) continue;
        const times = (one.forward ? 1 : 0) + (one.backward && phase === 'train' ? 1 : 0);
        const bytes = load.microbatches * times * one.inputBytes;
        if (one.kind === 'allToAll') exchanged += bytes;
        else if (one.kind === 'allGather') scattered += bytes * size;
        else scattered += one.kind === 'allReduce' ? 2 * bytes : bytes;
      }
  return { scattered, exchanged };
}

/** Gradients and parameters between the copies of a rank, as ZeRO deals them out. */
function dataSent(problem: PlanProblem, c: Candidate, load: StageLoad, r: number): Float64Array {
  const sent = new Float64Array(problem.cluster.levels.length);
  if (problem.phase !== 'train') return sent;
  const { layout, state, microbatches } = load;
  const reductions = c.zeroStage >= 2 ? microbatches : 1;
  const gathers = c.zeroStage === 3 ? 2 * microbatches : 1;
  const share = (held: number, whole: Span, shard: Span, copies: Span): void => {
    if (c.zeroStage === 0) return ring(problem, whole, 2 * held * state.grad, sent);
    ring(problem, shard, reductions * held * state.grad + gathers * held * state.param, sent);
    ring(problem, copies, (2 * held * state.grad) / shard.size, sent);
  };
  share(load.rankDenseParameters[r], layout.data, layout.shard, layout.replicate);
  share(load.rankExpertParameters[r], layout.expertData, layout.expertShard, layout.expertReplicate);
  return sent;
}

/** Activations to the next virtual stage, gradients to the one before. */
function neighbourBytes({ phase }: PlanProblem, load: StageLoad, c: Candidate, r: number): number {
  let bytes = 0;
  for (let v = r; v < load.virtualStages; v += load.pp) {
    const cut = load.tableOf[r].costs.cutBytes;
    if (v + 1 < load.virtualStages) bytes += cut[c.stageStart[v + 1]];
    if (v > 0 && phase === 'train') bytes += cut[c.stageStart[v]];
  }
  return load.microbatches * bytes;
}

function routeOf({ cluster }: PlanProblem, group: Span): Route {
  const route = new Route();
  route.fill(group, { levels: cluster.levels, deviceCount: cluster.deviceCount }, 0);
  return route;
}

function ring(problem: PlanProblem, group: Span, bytes: number, sent: Float64Array): void {
  if (group.size === 1 || bytes <= 0) return;
  const { within, fanout, levels } = routeOf(problem, group);
  for (let l = 0; l < levels; l++)
    if (fanout[l] > 1) sent[l] += (bytes * (fanout[l] - 1)) / fanout[l] / (l > 0 ? within[l - 1] : 1);
}

function exchange(problem: PlanProblem, group: Span, bytes: number, sent: Float64Array): void {
  if (group.size === 1 || bytes <= 0) return;
  const { within, levels } = routeOf(problem, group);
  for (let l = 0; l < levels; l++)
    sent[l] += (bytes * (within[l] - (l > 0 ? within[l - 1] : 1))) / group.size;
}

/** Of ranks that send `stride` further, a share of min(1, stride / size) leaves an aligned domain of `size`. */
function toNeighbours(levels: readonly Level[], { stride }: Span, bytes: number): Float64Array {
  const leaves = (l: number): number =>
    l < 0 ? 1 : l === levels.length - 1 ? 0 : Math.min(1, stride / levels[l].size);
  return Float64Array.from(levels, (_, l) => bytes * (leaves(l - 1) - leaves(l)));
}

function sum(values: Float64Array): number {
  return values.reduce((a, b) => a + b, 0);
}
