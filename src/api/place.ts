/** Placement of a profiled graph: reads any of the three formats, solves, and has the plain judges confirm the answer. */
import type { Highs } from 'highs';
import { loadHighs } from '../search/ilp.js';
import type { Clock } from '../search/types.js';
import {
  deviceKinds,
  deviceNames,
  judgePiper,
  judgeLatency,
  judgePlacement,
  placeForLatency,
  placeForPiper,
  placeForThroughput,
  readPiperProblem,
  readPlaceProblem,
  workloadFormat,
} from '../search/place/index.js';
import type { PlaceProblem } from '../search/place/index.js';
import { PartitionError, invariant, oneLine } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { Random } from '../util/random.js';

export const PLACE_OBJECTIVES = ['throughput', 'latency', 'time-per-sample'] as const;
export type PlaceObjective = (typeof PLACE_OBJECTIVES)[number];

export interface PlaceRequest {
  readonly workloadPath: string;
  /** Default: what the file's format is for. */
  readonly objective?: PlaceObjective | undefined;
  /** Accelerators, instead of the file's count: of the first kind that pays for transfers. */
  readonly devices?: number | undefined;
  /** Memory of each of them in bytes, instead of the file's. */
  readonly memoryBytes?: number | undefined;
  readonly contiguous?: boolean | undefined;
  /** Seconds of wall clock, reading included. */
  readonly timeoutSec: number;
  readonly seed: number;
}

export interface PlaceHooks {
  readonly clock: Clock;
  readonly onImprovement?: (value: number) => void;
}

/** One operator's place. */
export interface PlacedOp {
  readonly id: string | number;
  readonly op: string;
  /** `accelerator:0`, `stage:2`. */
  readonly device: string;
  /** Configuration of the layer; null where the format has none. */
  readonly choice: string | null;
}

/** One device, or one stage of a Piper plan. */
export interface PlacedDevice {
  readonly device: string;
  readonly ops: number;
  /** Compute and transfers, in the file's unit of time; of a stage, its time per sample. */
  readonly load: number;
  /** Memory taken on each device. */
  readonly sizeBytes: number;
  readonly dataDegree: number;
  readonly tensorDegree: number;
}

export interface PlaceResult {
  readonly workload: string;
  readonly objective: PlaceObjective;
  /** In the file's unit of time; null when nothing fits. */
  readonly value: number | null;
  /** No placement that is asked for is better. */
  readonly lowerBound: number;
  readonly feasible: boolean;
  /**
   * Where the bound comes from: the work of all devices together (`load`), the longest path through the graph (`path`), HiGHS's branch
   * and bound (`highs`), or our own search over stages (`stages`).
   */
  readonly boundFrom: 'load' | 'path' | 'highs' | 'stages';
  /** Whether it was proved that nothing is better, or that nothing fits. */
  readonly proven: boolean;
  readonly wallSec: number;
  readonly devices: readonly PlacedDevice[];
  readonly assignment: readonly PlacedOp[];
}

/** Left of the timeout for writing the answer. */
const SPARE_SEC = 0.25;

/**
 * Places a workload; loads HiGHS where the objective has an integer program.
 *
 * @throws PartitionError input for files that are no workloads, usage for objectives that the format cannot have
 */
export async function placeWorkload(request: PlaceRequest, hooks: PlaceHooks): Promise<PlaceResult> {
  const started = hooks.clock();
  const highs = request.objective === 'latency' ? await loadHighs() : undefined;
  const path = request.workloadPath;
  const document = readWorkload(path);
  const left = (): number =>
    Math.max(0.01, request.timeoutSec * 0.98 - SPARE_SEC - (hooks.clock() - started));
  const solved =
    workloadFormat(document, path) === 'piper'
      ? placePiper(document, request, hooks, left)
      : placeOps(document, request, hooks, left, highs);
  return { workload: path, ...solved, wallSec: hooks.clock() - started };
}

type Solved = Omit<PlaceResult, 'workload' | 'wallSec'>;

function placeOps(
  document: unknown,
  request: PlaceRequest,
  hooks: PlaceHooks,
  left: () => number,
  highs: Highs | undefined,
): Solved {
  const objective = request.objective === 'latency' ? 'latency' : 'throughput';
  const problem = overridden(readPlaceProblem(document, request.workloadPath), request);
  const contiguous = request.contiguous ?? false;
  const solve = objective === 'latency' ? placeForLatency : placeForThroughput;
  const found = solve(problem, {
    contiguous,
    maxSec: left(),
    clock: hooks.clock,
    random: new Random(request.seed),
    highs,
    ...(hooks.onImprovement === undefined ? {} : { onImprovement: hooks.onImprovement }),
  });
  if (found.device === null) {
    return nothing(objective, found.lowerBound, found.boundFrom, found.proven);
  }
  const device = found.device;
  const verdict = judgePlacement(problem, device, contiguous && objective === 'throughput');
  invariant(verdict.faults.length === 0, `an illegal placement was found: ${verdict.faults[0]}`);
  const names = deviceNames(problem);
  return {
    objective,
    value: objective === 'latency' ? judgeLatency(problem, device) : verdict.maxLoad,
    lowerBound: found.lowerBound,
    boundFrom: found.boundFrom,
    feasible: true,
    proven: found.proven,
    devices: names.map((name, d) => ({
      device: name,
      ops: device.reduce((sum, at) => sum + (at === d ? 1 : 0), 0),
      load: verdict.loads[d],
      sizeBytes: verdict.sizeBytes[d],
      dataDegree: 1,
      tensorDegree: 1,
    })),
    assignment: problem.names.map((op, v) => ({
      id: problem.ids[v],
      op,
      device: names[device[v]],
      choice: null,
    })),
  };
}

function placePiper(document: unknown, request: PlaceRequest, hooks: PlaceHooks, left: () => number): Solved {
  if (request.objective === 'latency')
    throw new PartitionError('usage', 'a Piper workload says nothing of latency', '--objective');
  const read = readPiperProblem(document, request.workloadPath);
  const problem = {
    ...read,
    devices: request.devices ?? read.devices,
    memoryBytes: request.memoryBytes ?? read.memoryBytes,
  };
  const plan = placeForPiper(problem, {
    maxSec: left(),
    clock: hooks.clock,
    ...(hooks.onImprovement === undefined ? {} : { onImprovement: hooks.onImprovement }),
  });
  const objective = 'time-per-sample';
  if (plan.stages === null) return nothing(objective, plan.lowerBound, 'stages', plan.complete);
  const verdict = judgePiper(problem, plan.stages);
  invariant(verdict.faults.length === 0, `an illegal plan was found: ${verdict.faults[0]}`);
  const stageOf = new Int32Array(problem.names.length);
  const choiceOf = new Array<string>(problem.names.length).fill('');
  plan.stages.forEach((stage, i) => {
    stage.layers.forEach((v, j) => {
      stageOf[v] = i;
      choiceOf[v] = problem.choices[v].get(stage.tensorDegree)?.[stage.choice[j]]?.name ?? '';
    });
  });
  return {
    objective,
    value: verdict.timePerSample,
    lowerBound: plan.lowerBound,
    boundFrom: 'stages',
    feasible: true,
    proven: plan.lowerBound >= verdict.timePerSample * (1 - 1e-6),
    devices: plan.stages.map((stage, i) => ({
      device: `stage:${i}`,
      ops: stage.layers.length,
      load: verdict.stages[i].time,
      sizeBytes: verdict.stages[i].memoryBytes,
      dataDegree: stage.dataDegree,
      tensorDegree: stage.tensorDegree,
    })),
    assignment: problem.names.map((op, v) => ({
      id: problem.ids[v],
      op,
      device: `stage:${stageOf[v]}`,
      choice: choiceOf[v],
    })),
  };
}

function nothing(
  objective: PlaceObjective,
  lowerBound: number,
  boundFrom: PlaceResult['boundFrom'],
  proven: boolean,
): Solved {
  return {
    objective,
    value: null,
    lowerBound: Number.isFinite(lowerBound) ? lowerBound : 0,
    boundFrom,
    feasible: false,
    proven,
    devices: [],
    assignment: [],
  };
}

function overridden(problem: PlaceProblem, request: PlaceRequest): PlaceProblem {
  if (request.devices === undefined && request.memoryBytes === undefined) return problem;
  const first = Math.max(
    0,
    problem.kinds.findIndex((kind) => kind.paysTransfers),
  );
  const kinds = problem.kinds.map((kind, k) =>
    k !== first
      ? kind
      : {
          ...kind,
          count: request.devices ?? kind.count,
          memoryBytes: request.memoryBytes ?? kind.memoryBytes,
        },
  );
  const changed = { ...problem, kinds };
  invariant(
    deviceKinds(changed).length === kinds.reduce((sum, kind) => sum + kind.count, 0),
    'device kinds do not add up',
  );
  return changed;
}

/** The document of a workload file. @throws PartitionError input when it is no JSON */
export function readWorkload(path: string): unknown {
  const text = readTextFile(path, 'a workload in JSON');
  try {
    return JSON.parse(text) as unknown;
  } catch (e) {
    throw new PartitionError(
      'input',
      `not JSON: ${oneLine(e instanceof Error ? e.message : String(e), 120)}`,
      path,
    );
  }
}
