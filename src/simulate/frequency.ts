/**
 * Frequency plans: a clock for every task of a pipeline, so that work off the critical path runs no faster than it must.
 * The whole time-energy frontier of a plan, from the least energy to the shortest step, by critical-path cuts as in
 * Perseus (Chung et al., SOSP 2024), walked exactly by `util/timeCost`.
 *
 * Exact for clocks that a task may change once while it runs (its time then lies between two levels); `scheduleAt` rounds
 * each task to the faster one and hands the slack that this leaves to the tasks that make most of it.
 */
import type { Candidate } from '../plan/types.js';
import { invariant } from '../util/errors.js';
import type { ProjectNetwork } from '../util/timeCost.js';
import { ProjectWalk, topologicalOrder } from '../util/timeCost.js';
import { leastJoules } from './frequencyBound.js';
import type { ClockLevels, TaskCurves } from './frequencyCurves.js';
import { hullOf, taskCurves, TASKS } from './frequencyCurves.js';
import type { PipelineGraph } from './frequencyGraph.js';
import { pipelineGraph } from './frequencyGraph.js';

export interface FrequencyPoint {
  readonly timeSec: number;
  readonly energyJoule: number;
}

/** A level for every task. */
export interface FrequencySchedule extends FrequencyPoint {
  /** By task of the graph: index into the clocks. */
  readonly level: Uint8Array;
  /** No clocks, not even such as change while a task runs, take fewer joules in as short a step. */
  readonly boundJoule: number;
}

export interface Frontier {
  readonly clocks: readonly number[];
  readonly curves: TaskCurves;
  readonly graph: PipelineGraph;
  /** Every task at full clock. */
  readonly full: FrequencyPoint;
  /** Corners of the frontier, shortest step first; between two of them it is a straight line. */
  readonly points: readonly FrequencyPoint[];
  /** The shortest step and the least energy, with levels that tasks can really run at, and the times between. */
  readonly schedules: readonly FrequencySchedule[];
  /** Cuts made. */
  readonly steps: number;
}

/** Units of time in a step: a task of a long pipeline still has millions. */
const TIME_UNITS = 2 ** 36;
/**
 * Units of price in the power that is drawn whatever is done. Every price at which the cheapest cut changes costs a cut, so
 * long pipelines round prices to 0.4 % of it: what is found is the best for prices so rounded, its joules are counted
 * exactly, and `boundJoule` proves how far off it may be (bench/clocks.ts: 0.03 % at most on the suite; with prices rounded
 * to 1.6 %, 0.3 % on 65,536 tasks in half the time).
 */
const PRICE_UNITS = 2 ** 24;
const COARSE_PRICE_UNITS = 2 ** 8;
/** Tasks up to which prices are exact. */
const EXACT_TASKS = 512;

/**
 * The frontier of a legal candidate.
 *
 * @param schedules how many realisable schedules, evenly spaced in time; at least 1, the shortest step
 */
export function frequencyFrontier(levels: ClockLevels, c: Candidate, schedules = 16): Frontier {
  const { problem, clocks } = levels;
  const curves = taskCurves(levels, c);
  const graph = pipelineGraph(problem, c, curves);
  const model = new StepModel(curves, graph);
  const { network, unitSec, unitWatt } = model.network();
  const walk = new ProjectWalk(network);
  const fullTime = model.timeOf(new Uint8Array(graph.taskCount));
  const full: FrequencyPoint = {
    timeSec: fullTime,
    energyJoule: model.energyOf(new Uint8Array(graph.taskCount), fullTime),
  };
  const corners: FrequencyPoint[] = [];
  const made: FrequencySchedule[] = [];
  const make = (at: Float64Array): void => {
    const boundJoule = leastJoules(curves, graph, {
      ...{ arcFrom: network.arcFrom, flow: walk.flow, unitWatt },
      timeSec: at[graph.nodeCount - 1] * unitSec,
    });
    made.push({ ...model.schedule(at, unitSec), boundJoule });
  };
  let target = 0;
  let stepUnits = 0;
  let begun = false;
  const shortestUnits = fullTime / unitSec;
  for (;;) {
    const before = walk.time;
    // Until time is worth more than all that is drawn by the second, a longer step takes more energy too.
    const at = begun ? walk.at : walk.at.slice();
    const goesOn = walk.advance(Math.max(0, target));
    const watt = walk.price * unitWatt;
    if (!begun && (!goesOn || watt >= curves.fixedWatt)) {
      begun = true;
      corners.push({ timeSec: before * unitSec, energyJoule: model.idealEnergy(at, unitSec) });
      make(at);
      // Whole units, as all times of the walk.
      stepUnits = schedules > 1 ? Math.ceil((before - shortestUnits) / (schedules - 1)) : Infinity;
      target = before - Math.max(1, stepUnits);
      if (goesOn && walk.time < target) {
        // The step just made was longer than asked for: it is taken back and made in parts.
        walk.at.set(at);
        continue;
      }
    }
    if (!goesOn) {
      if (made[made.length - 1].timeSec > walk.time * unitSec * (1 + 1e-9)) make(walk.at);
      break;
    }
    if (!begun) continue;
    corners.push({ timeSec: walk.time * unitSec, energyJoule: model.idealEnergy(walk.at, unitSec) });
    if (walk.time <= target) {
      make(walk.at);
      target = walk.time - Math.max(1, stepUnits);
    }
  }
  return {
    clocks,
    curves,
    graph,
    full,
    points: corners.reverse(),
    schedules: made.reverse(),
    steps: walk.steps,
  };
}

/** Times and joules of a step whose tasks run at given levels. */
export class StepModel {
  private readonly hulls: readonly (readonly number[])[];
  private readonly order: Int32Array;
  /** Arcs by the node they start from: rigid ones, then tasks as taskCount from the end. */
  private readonly outStart: Int32Array;
  private readonly outArc: Int32Array;
  private readonly allFrom: Int32Array;
  private readonly allTo: Int32Array;
  private readonly earliest: Float64Array;
  private readonly latest: Float64Array;

  constructor(
    private readonly curves: TaskCurves,
    private readonly graph: PipelineGraph,
  ) {
    const classes = curves.sec.length / curves.levels;
    this.hulls = Array.from({ length: classes }, (_, k) =>
      k % TASKS < curves.tasks ? hullOf(curves, k) : [0],
    );
    const { arcFrom, arcTo, startNode, endNode, nodeCount } = graph;
    this.allFrom = concat(arcFrom, startNode);
    this.allTo = concat(arcTo, endNode);
    this.order = topologicalOrder({ nodeCount, arcFrom: this.allFrom, arcTo: this.allTo });
    this.outStart = new Int32Array(nodeCount + 1);
    for (const v of this.allFrom) this.outStart[v + 1]++;
    for (let v = 0; v < nodeCount; v++) this.outStart[v + 1] += this.outStart[v];
    const fill = this.outStart.slice();
    this.outArc = new Int32Array(this.allFrom.length);
    this.allFrom.forEach((v, a) => (this.outArc[fill[v]++] = a));
    this.earliest = new Float64Array(nodeCount);
    this.latest = new Float64Array(nodeCount);
  }

  /** The step as a project in whole units. */
  network(): { network: ProjectNetwork; unitSec: number; unitWatt: number } {
    const { curves, graph } = this;
    const { levels, sec, joule } = curves;
    const unitSec = graph.stepTimeSec / TIME_UNITS;
    const unitWatt = curves.fixedWatt / (graph.taskCount <= EXACT_TASKS ? PRICE_UNITS : COARSE_PRICE_UNITS);
    const curveStart: number[] = [0];
    const duration: number[] = [];
    const slope: number[] = [];
    for (let k = 0; k < this.hulls.length; k++) {
      const hull = this.hulls[k];
      const first = duration.length;
      duration.push(Math.round(sec[k * levels + hull[0]] / unitSec));
      slope.push(0);
      let from = hull[0];
      for (let i = 1; i < hull.length; i++) {
        const units = Math.round(sec[k * levels + hull[i]] / unitSec);
        const last = duration.length - 1;
        if (units === duration[last]) continue;
        const watt =
          (joule[k * levels + hull[i]] - joule[k * levels + from]) / ((duration[last] - units) * unitSec);
        const price = Math.max(slope[last] + (last === first ? 1 : 0), Math.round(watt / unitWatt));
        from = hull[i];
        // Rounded to the price of the piece before, the two are one.
        if (last > first && price === slope[last]) duration[last] = units;
        else {
          duration.push(units);
          slope.push(price);
        }
      }
      curveStart.push(duration.length);
    }
    const arcCurve = new Int32Array(this.allFrom.length);
    const rigid = new Map<number, number>();
    graph.arcSec.forEach((arcSec, a) => {
      const units = Math.round(arcSec / unitSec);
      let curve = rigid.get(units);
      if (curve === undefined) {
        rigid.set(units, (curve = curveStart.length - 1));
        duration.push(units);
        slope.push(0);
        curveStart.push(duration.length);
      }
      arcCurve[a] = curve;
    });
    arcCurve.set(graph.taskClass, graph.arcSec.length);
    return {
      network: {
        nodeCount: graph.nodeCount,
        arcFrom: this.allFrom,
        arcTo: this.allTo,
        arcCurve,
        curveStart: Int32Array.from(curveStart),
        duration: Float64Array.from(duration),
        slope: Float64Array.from(slope),
      },
      unitSec,
      unitWatt,
    };
  }

  /** Step time of levels by task, seconds. */
  timeOf(level: Uint8Array): number {
    this.forward(level);
    return this.earliest[this.graph.nodeCount - 1];
  }

  /** Joules of a step of that length at the meter of the site. */
  energyOf(level: Uint8Array, timeSec: number): number {
    const { levels, joule, fixedWatt, onceJoule } = this.curves;
    const { taskClass } = this.graph;
    let sum = 0;
    for (let i = 0; i < taskClass.length; i++) sum += joule[taskClass[i] * levels + level[i]];
    return fixedWatt * timeSec + onceJoule + sum;
  }

  /** Joules when tasks take exactly the time between their nodes, between levels where need be. */
  idealEnergy(at: Float64Array, unitSec: number): number {
    const { levels, sec, joule, fixedWatt, onceJoule } = this.curves;
    const { taskClass, startNode, endNode, nodeCount } = this.graph;
    let sum = 0;
    for (let i = 0; i < taskClass.length; i++) {
      const base = taskClass[i] * levels;
      const hull = this.hulls[taskClass[i]];
      const gap = (at[endNode[i]] - at[startNode[i]]) * unitSec;
      let j = 0;
      while (j + 1 < hull.length && sec[base + hull[j]] > gap) j++;
      const fast = base + hull[j];
      sum += joule[fast];
      if (j === 0 || gap <= sec[fast]) continue;
      const slow = base + hull[j - 1];
      sum += ((joule[slow] - joule[fast]) * (gap - sec[fast])) / (sec[slow] - sec[fast]);
    }
    return fixedWatt * at[nodeCount - 1] * unitSec + onceJoule + sum;
  }

  /** Levels that tasks can run at for a step that is no longer than its nodes say. */
  schedule(at: Float64Array, unitSec: number): Omit<FrequencySchedule, 'boundJoule'> {
    const { levels, sec } = this.curves;
    const { taskClass, startNode, endNode, taskCount, nodeCount } = this.graph;
    const level = new Uint8Array(taskCount);
    for (let i = 0; i < taskCount; i++) {
      const base = taskClass[i] * levels;
      const hull = this.hulls[taskClass[i]];
      // Rounding to units must not cost a level.
      const gap = (at[endNode[i]] - at[startNode[i]] + 2) * unitSec;
      let j = 0;
      while (j + 1 < hull.length && sec[base + hull[j]] > gap) j++;
      level[i] = hull[j];
    }
    const limit = Math.max(at[nodeCount - 1] * unitSec, this.timeOf(level));
    this.fillSlack(level, limit);
    const timeSec = this.timeOf(level);
    return { level, timeSec, energyJoule: this.energyOf(level, timeSec) };
  }

  /**
   * Slows tasks one by one, latest first, as far as each has slack in a step of `limitSec`, by the levels of its hull:
   * the simplest frequency plan by itself, and what is left to do after rounding.
   */
  fillSlack(level: Uint8Array, limitSec: number): void {
    const { levels, sec } = this.curves;
    const { taskClass, startNode, endNode, nodeCount } = this.graph;
    const { earliest, latest, order, outStart, outArc, allTo } = this;
    const rigid = this.graph.arcSec.length;
    this.forward(level);
    const rounding = limitSec * 1e-12;
    latest.fill(limitSec);
    for (let n = nodeCount - 1; n >= 0; n--) {
      const v = order[n];
      let by = limitSec;
      for (let j = outStart[v]; j < outStart[v + 1]; j++) {
        const a = outArc[j];
        const to = latest[allTo[a]];
        if (a < rigid) {
          by = Math.min(by, to - this.graph.arcSec[a]);
          continue;
        }
        const i = a - rigid;
        const base = taskClass[i] * levels;
        const hull = this.hulls[taskClass[i]];
        const room = latest[endNode[i]] - earliest[startNode[i]] + rounding;
        const at = hull.indexOf(level[i]);
        for (let h = 0; h < at; h++)
          if (sec[base + hull[h]] <= room) {
            level[i] = hull[h];
            break;
          }
        by = Math.min(by, to - sec[base + level[i]]);
      }
      latest[v] = by;
    }
  }

  /** How much later every task could start and the step be as long, seconds. */
  slackOf(level: Uint8Array): Float64Array {
    const { levels, sec } = this.curves;
    const { arcSec, taskClass, taskCount, startNode, endNode, nodeCount } = this.graph;
    const { earliest, latest, order, outStart, outArc, allTo } = this;
    this.forward(level);
    latest.fill(earliest[nodeCount - 1]);
    const taskSec = (i: number): number => sec[taskClass[i] * levels + level[i]];
    for (let n = nodeCount - 1; n >= 0; n--) {
      const v = order[n];
      for (let j = outStart[v]; j < outStart[v + 1]; j++) {
        const a = outArc[j];
        const length = a < arcSec.length ? arcSec[a] : taskSec(a - arcSec.length);
        latest[v] = Math.min(latest[v], latest[allTo[a]] - length);
      }
    }
    return Float64Array.from({ length: taskCount }, (_, i) =>
      Math.max(0, latest[endNode[i]] - earliest[startNode[i]] - taskSec(i)),
    );
  }

  /** Fills `earliest`. */
  private forward(level: Uint8Array): void {
    const { earliest, order, outStart, outArc, allTo } = this;
    const { levels, sec } = this.curves;
    const { arcSec, taskClass } = this.graph;
    const rigid = arcSec.length;
    earliest.fill(0);
    for (const v of order)
      for (let j = outStart[v]; j < outStart[v + 1]; j++) {
        const a = outArc[j];
        const length = a < rigid ? arcSec[a] : sec[taskClass[a - rigid] * levels + level[a - rigid]];
        const end = earliest[v] + length;
        if (end > earliest[allTo[a]]) earliest[allTo[a]] = end;
      }
  }
}

/** Least joules of the frontier in a step of at most that length; NaN where no step is so short. */
export function energyAt(points: readonly FrequencyPoint[], timeSec: number): number {
  invariant(points.length > 0, 'a frontier with points');
  if (timeSec < points[0].timeSec * (1 - 1e-9)) return Number.NaN;
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1];
    const b = points[i];
    if (timeSec > b.timeSec) continue;
    const x = Math.max(0, (timeSec - a.timeSec) / (b.timeSec - a.timeSec));
    return a.energyJoule + x * (b.energyJoule - a.energyJoule);
  }
  return points[points.length - 1].energyJoule;
}

function concat(a: Int32Array, b: Int32Array): Int32Array {
  const both = new Int32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
