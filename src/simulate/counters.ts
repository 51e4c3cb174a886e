/**
 * What changes continuously in a recorded step: bytes held and watts drawn by one device of every pipeline rank, as step
 * functions of time. A trace draws them as counters.
 */
import type { Device } from '../cluster/types.js';
import { deviceEnergyJoule } from '../cost/energy.js';
import type { Candidate } from '../plan/types.js';
import type { EngineRun } from './engine.js';
import { StageLoad } from './load.js';
import { emptyMemory, rankMemory } from './memory.js';
import { rankActivity } from './power.js';
import type { Activity } from './power.js';
import { STREAM_COMPUTE, STREAM_TRANSFER, WORK_OPTIMIZER } from './timeline.js';
import type { Timeline } from './timeline.js';
import type { PlanProblem } from './types.js';
import { invariant } from '../util/errors.js';

/** A value that holds from `timeSec[i]` to `timeSec[i + 1]`, the last one to the end of the step. */
export interface StepFunction {
  readonly timeSec: number[];
  readonly value: number[];
}

export interface RankCounters {
  /** Parameters, gradients and optimizer state: the same throughout the step. */
  readonly stateBytes: number;
  /** Working set, buffers and the runtime's own, budgeted for the whole step. */
  readonly otherBytes: number;
  /** Saved activations of the microbatches in flight. */
  readonly activationBytes: StepFunction;
  /** Of the device alone: hosts and switches draw theirs constantly. */
  readonly watt: StepFunction;
}

/**
 * Counters of every pipeline rank.
 *
 * Power is what the busiest stream asks for: kernels draw the rank's mean of matrix and memory work, the optimizer draws
 * memory power, exposed collectives network power, the rest idle power. Over the step this adds up to the energy of the
 * plan's price within 2 % (`test/simulate/trace.test.ts`): a reduction under a backward pass draws nothing of its own.
 *
 * @param run of the candidate, recorded
 */
export function counters(problem: PlanProblem, c: Candidate, run: EngineRun): RankCounters[] {
  const { timeline } = run;
  invariant(timeline !== null, 'counters need a run that was recorded');
  const load = new StageLoad(problem);
  load.fill(c);
  const memory = emptyMemory();
  const activations = heldBytes(timeline, run.rankCount);
  const busy = busyEdges(timeline, run.rankCount);
  return activations.map((activationBytes, r) => {
    rankMemory(problem, load, c, r, memory);
    const { parameterBytes, gradientBytes, optimizerBytes, transientBytes, cacheBytes, reservedBytes } =
      memory;
    return {
      stateBytes: parameterBytes + gradientBytes + optimizerBytes,
      otherBytes: transientBytes + cacheBytes + reservedBytes,
      activationBytes,
      watt: drawnWatt(busy[r], levels(problem, load, c, r, busy[r])),
    };
  });
}

function heldBytes(t: Timeline, ranks: number): StepFunction[] {
  const held = Array.from({ length: ranks }, (): StepFunction => ({ timeSec: [0], value: [0] }));
  for (let i = 0; i < t.holdCount; i++) push(held[t.holdRank[i]], t.holdSec[i], t.heldBytes[i]);
  return held;
}

/** Appends a value; of several at one time the last holds, and a value that stays is not repeated. */
function push({ timeSec, value }: StepFunction, at: number, next: number): void {
  const last = timeSec.length - 1;
  if (timeSec[last] === at) value[last] = next;
  else if (value[last] !== next) {
    timeSec.push(at);
    value.push(next);
  }
}

// Kinds of work that a device may be busy with at a time, the most powerful first.
const KERNELS = 0;
const OPTIMIZER = 1;
const NETWORK = 2;
const KINDS = 3;

/** The moment at which one more (+1) or one less (-1) interval of a kind is open. */
interface Edge {
  readonly timeSec: number;
  readonly kind: number;
  readonly change: 1 | -1;
}

function busyEdges(t: Timeline, ranks: number): Edge[][] {
  const edges = Array.from({ length: ranks }, (): Edge[] => []);
  for (let i = 0; i < t.count; i++) {
    // Point-to-point messages are small beside collectives and draw next to nothing.
    if (t.stream[i] === STREAM_TRANSFER) continue;
    const kind =
      t.work[i] === WORK_OPTIMIZER ? OPTIMIZER : t.stream[i] === STREAM_COMPUTE ? KERNELS : NETWORK;
    edges[t.rank[i]].push(
      { timeSec: t.startSec[i], kind, change: 1 },
      { timeSec: t.endSec[i], kind, change: -1 },
    );
  }
  for (const list of edges) list.sort((a, b) => a.timeSec - b.timeSec);
  return edges;
}

/** Watts per kind, and when none is open. */
interface PowerLevels {
  readonly kind: readonly number[];
  readonly idle: number;
}

/**
 * Seconds and work of the kernels and of the optimizer are those of the price; what of their intervals is no work
 * (launches, host time) draws idle power.
 */
function levels(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  r: number,
  edges: readonly Edge[],
): PowerLevels {
  const device = problem.cluster.groups[load.layout.deviceGroup[r]].device;
  const activity: Activity = { matrixSec: 0, memorySec: 0, networkSec: 0, idleSec: 0 };
  rankActivity(problem, load, c, r, Infinity, activity);
  const optimizerSec = load.optimizerSec[r];
  const memorySec = activity.memorySec - optimizerSec;
  return {
    kind: [
      meanWatt(device, activity.matrixSec, memorySec, openSec(edges, KERNELS)),
      meanWatt(device, 0, optimizerSec, openSec(edges, OPTIMIZER)),
      device.networkWatt,
    ],
    idle: device.idleWatt,
  };
}

/** Mean draw over intervals of so many seconds in which the device works for some and idles for the rest. */
function meanWatt(device: Device, matrixSec: number, memorySec: number, intervalSec: number): number {
  if (intervalSec <= 0) return device.idleWatt;
  const idleSec = Math.max(0, intervalSec - matrixSec - memorySec);
  return deviceEnergyJoule(device, { matrixSec, memorySec, networkSec: 0, idleSec }) / intervalSec;
}

/** Seconds of the intervals of a kind, which never overlap. */
function openSec(edges: readonly Edge[], kind: number): number {
  return edges.reduce((sum, e) => (e.kind === kind ? sum - e.change * e.timeSec : sum), 0);
}

function drawnWatt(edges: readonly Edge[], { kind, idle }: PowerLevels): StepFunction {
  const watt: StepFunction = { timeSec: [0], value: [idle] };
  const open = new Int32Array(KINDS);
  for (const edge of edges) {
    open[edge.kind] += edge.change;
    const busiest = open.findIndex((count) => count > 0);
    push(watt, edge.timeSec, busiest < 0 ? idle : kind[busiest]);
  }
  return watt;
}
