/**
 * What the tasks of a pipeline take and draw at lower clocks. A level is a share of the full clock of the matrix units,
 * held by the power cap that lets them run so fast (`cluster/powerCap`); at every level the whole problem is priced
 * anew, so that memory-bound kernels slow only where the cap reaches them, and links and hosts not at all.
 *
 * Joules of a task are those above idle, at the meter of the site, of all devices of its stage: what is left, idle
 * devices, hosts and switches, is drawn for as long as the step lasts.
 */
import { atPowerCap, leastCapWatt } from '../cluster/index.js';
import type { Device } from '../cluster/index.js';
import { devicesPerStage } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { invariant } from '../util/errors.js';
import { StageLoad } from './load.js';
import { EnergyMeter } from './power.js';
import type { PlanProblem } from './types.js';

/** Tasks of a virtual stage; a class of tasks is `TASKS * v + task`. */
export const TASK_FORWARD = 0;
export const TASK_BACKWARD = 1;
/** Gradient of weights, where the schedule parts it from the backward pass. */
export const TASK_WEIGHT = 2;
export const TASKS = 3;

/** Full clock first, 2 % apart (about 40 MHz of an H100's 1,980), down to three tenths. */
export const DEFAULT_CLOCKS: readonly number[] = Array.from({ length: 36 }, (_, i) => (100 - 2 * i) / 100);

/** Power cap at which the matrix units keep a share of their full clock; the board's own limit at full clock, watt. */
export function capOfClock(device: Device, clock: number): number {
  if (clock >= 1) return device.tdpWatt;
  const watt = device.idleWatt + (device.matrixWatt - device.idleWatt) * clock ** device.clockExponent;
  return Math.max(leastCapWatt(device), Math.min(device.tdpWatt, watt));
}

/** One problem at each level: the first is the problem itself. Reused between candidates: prices are remembered. */
export class ClockLevels {
  readonly problems: readonly PlanProblem[];

  /**
   * @param problem with costs that can be repriced
   * @param clocks shares of the full clock, falling from 1
   */
  constructor(
    readonly problem: PlanProblem,
    readonly clocks: readonly number[] = DEFAULT_CLOCKS,
  ) {
    invariant(clocks[0] === 1, 'levels that begin with the full clock');
    const { costs, cluster, stack } = problem;
    this.problems = clocks.map((clock) => {
      if (clock === 1) return problem;
      invariant(costs.repriced !== undefined, 'costs that can be priced on other devices');
      const groups = cluster.groups.map((group) => ({
        ...group,
        device: atPowerCap(group.device, capOfClock(group.device, clock)),
      }));
      const capped = { ...cluster, groups };
      return { ...problem, cluster: capped, costs: costs.repriced(capped, stack) };
    });
  }
}

export interface TaskCurves {
  readonly levels: number;
  /** Tasks of each virtual stage that run: 1 forward only, 2, or 3 under ZB-H1. */
  readonly tasks: number;
  /** Of one task of a class at a level: [class * levels + level]. */
  readonly sec: Float64Array;
  readonly joule: Float64Array;
  /** Drawn whatever is done: idle devices, hosts, switches, watt. */
  readonly fixedWatt: number;
  /** What once-a-step work (reductions, gathers, optimizer) draws above idle. */
  readonly onceJoule: number;
  /** The plan at full clock. */
  readonly load: StageLoad;
}

export function taskCurves(levels: ClockLevels, c: Candidate): TaskCurves {
  const { problem } = levels;
  const load = new StageLoad(problem, true);
  load.fill(c);
  const count = levels.problems.length;
  const { virtualStages, pp } = load;
  const sec = new Float64Array(TASKS * virtualStages * count);
  const joule = new Float64Array(TASKS * virtualStages * count);
  levels.problems.forEach((at, level) => {
    const slowed = level === 0 ? load : new StageLoad(at, true);
    if (level > 0) slowed.fill(c);
    for (let v = 0; v < virtualStages; v++) fillTasks(at, slowed, c, v, sec, joule, count, level);
  });
  const meter = new EnergyMeter(problem);
  const devices = devicesPerStage(c);
  const { pue, groups } = problem.cluster;
  let idleWatt = 0;
  let once = 0;
  for (let r = 0; r < pp; r++) {
    const group = groups[load.layout.deviceGroup[r]];
    const share = (devices * pue * (1 + group.coolingShare)) / group.powerSupplyEfficiency;
    const { idleWatt: idle, memoryWatt, networkWatt } = group.device;
    idleWatt += share * idle;
    const traffic =
      load.reduceExposedSec[r] + load.gatherExposedSec[r] + (load.rankIsTied(r) ? load.tiedSec : 0);
    once += share * (load.optimizerSec[r] * (memoryWatt - idle) + traffic * (networkWatt - idle));
  }
  const tasks = problem.phase !== 'train' ? 1 : c.schedule === 'zb-h1' ? 3 : 2;
  return {
    levels: count,
    tasks,
    sec,
    joule,
    fixedWatt: idleWatt + pue * meter.fixedWatt,
    onceJoule: once,
    load,
  };
}

/**
 * Seconds and joules of the tasks of a virtual stage. What the stage does in all is parted between its tasks by the time
 * of their kernels: each has the stage's mix of matrix products and memory traffic, as in `EnergyMeter`.
 */
function fillTasks(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  v: number,
  sec: Float64Array,
  joule: Float64Array,
  levels: number,
  level: number,
): void {
  const r = v % load.pp;
  const table = load.tableOf[r];
  const group = problem.cluster.groups[load.layout.deviceGroup[r]];
  const { device } = group;
  const share =
    (devicesPerStage(c) * problem.cluster.pue * (1 + group.coolingShare)) / group.powerSupplyEfficiency;
  const from = c.stageStart[v];
  const to = c.stageStart[v + 1];
  const compute = table.computeSec[to] - table.computeSec[from];
  const times = compute > 0 ? 1 + load.recomputeSec[v] / compute : 1;
  const launch = (table.launchSec[to] - table.launchSec[from]) * times;
  const kernel = compute * times - launch;
  const matrix = Math.min(kernel, (table.matrixSec[to] - table.matrixSec[from]) * times);
  const collectives = table.collectiveForwardSec[to] - table.collectiveForwardSec[from];
  const forward = table.forwardSec[to] - table.forwardSec[from] - collectives;
  const trains = problem.phase === 'train';
  const weight = load.weightSec[v] > 0 ? table.weightSec[to] - table.weightSec[from] : 0;
  const host = problem.stack.microbatchOverheadSec;
  for (let task = 0; task < TASKS; task++) {
    let taskSec: number;
    let part: number;
    let hostSec = 0;
    if (task === TASK_FORWARD) {
      taskSec = load.forwardSec[v];
      part = forward;
      hostSec = host / (trains ? 2 : 1);
    } else if (task === TASK_BACKWARD) {
      taskSec = load.backwardSec[v] - load.weightSec[v];
      part = compute * times - forward - weight;
      hostSec = host / 2;
    } else {
      taskSec = load.weightSec[v];
      part = weight;
    }
    const x = compute > 0 ? part / (compute * times) : 0;
    const network = Math.max(0, taskSec - x * (kernel + launch) - hostSec);
    const above =
      x * matrix * (device.matrixWatt - device.idleWatt) +
      x * (kernel - matrix) * (device.memoryWatt - device.idleWatt) +
      network * (device.networkWatt - device.idleWatt);
    const at = (TASKS * v + task) * levels + level;
    sec[at] = taskSec;
    joule[at] = share * above;
  }
}

/** Levels of a class on the lower convex hull of joules over seconds, slowest first: none wastes both. */
export function hullOf(curves: TaskCurves, taskClass: number): number[] {
  const { levels, sec, joule } = curves;
  const base = taskClass * levels;
  const order = Array.from({ length: levels }, (_, l) => l).sort(
    (a, b) => sec[base + a] - sec[base + b] || joule[base + a] - joule[base + b],
  );
  const hull: number[] = [];
  for (const l of order) {
    // From fast to slow joules must fall, ever more gently.
    if (hull.length > 0 && joule[base + l] >= joule[base + hull[hull.length - 1]]) continue;
    while (hull.length > 1) {
      const a = base + hull[hull.length - 2];
      const b = base + hull[hull.length - 1];
      const x = base + l;
      const first = (joule[a] - joule[b]) * (sec[x] - sec[b]);
      const second = (joule[b] - joule[x]) * (sec[b] - sec[a]);
      if (first > second) break;
      hull.pop();
    }
    hull.push(l);
  }
  return hull.reverse();
}
