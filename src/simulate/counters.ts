/**
 * What changes continuously in a recorded step: bytes held and watts drawn by one device of every pipeline rank, as step
 * functions of time. A trace draws them as counters.
 */
import { deviceEnergyJoule } from '../cost/energy.js';
import type { Candidate } from '../plan/types.js';
import type { EngineRun } from './engine.js';
import { StageLoad } from './load.js';
import { emptyMemory, rankMemory } from './memory.js';
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
 * plan's price within 2 % (`test/simulate/trace.test.ts`): host time inside a task counts as work here, as network there.
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
      watt: drawnWatt(busy[r], levels(problem, load, c, r)),
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

function levels(problem: PlanProblem, load: StageLoad, c: Candidate, r: number): PowerLevels {
  const device = problem.cluster.groups[load.layout.deviceGroup[r]].device;
  const table = load.tableOf[r];
  let kernelSec = 0;
  let flop = 0;
  for (let v = r; v < load.virtualStages; v += load.pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    const once = table.computeSec[to] - table.computeSec[from];
    kernelSec += once + load.recomputeSec[v];
    // Repeated work has the mix of the first time.
    flop += (table.flop[to] - table.flop[from]) * (once > 0 ? 1 + load.recomputeSec[v] / once : 1);
  }
  const matrixSec = Math.min(kernelSec, flop / device.achievableFlopPerSec[problem.precision]);
  const mean = (matrix: number, memory: number, network: number, idle: number): number =>
    deviceEnergyJoule(device, { matrixSec: matrix, memorySec: memory, networkSec: network, idleSec: idle });
  const matrix = kernelSec > 0 ? matrixSec / kernelSec : 0;
  return {
    kind: [mean(matrix, 1 - matrix, 0, 0), mean(0, 1, 0, 0), mean(0, 0, 1, 0)],
    idle: mean(0, 0, 0, 1),
  };
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
