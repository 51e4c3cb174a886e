/**
 * Clocks that stay the same all through a step: one power cap per stage, or one per stage and kind of task, as launchers
 * can set them. Each choice is priced in microseconds, for learners and for a plain descent that serves as their yardstick.
 */
import { clockAt, leastCapWatt } from '../cluster/index.js';
import type { Candidate } from '../plan/types.js';
import { invariant } from '../util/errors.js';
import type { FrequencyPoint } from './frequency.js';
import type { TaskCurves } from './frequencyCurves.js';
import { capOfClock, ClockLevels, taskCurves, TASK_BACKWARD, TASK_WEIGHT, TASKS } from './frequencyCurves.js';
import { PipelineTimer } from './pipeline.js';
import type { StageTimes } from './stageTimes.js';
import type { PlanProblem } from './types.js';

export interface FrequencyProblem {
  /** Pipeline ranks, and what may be set of each: a cap in watt. */
  readonly stages: number;
  /** The lowest cap offered and the board's own limit, by stage. */
  readonly leastWatt: Float64Array;
  readonly mostWatt: Float64Array;
  /** Every stage at its limit. */
  readonly full: FrequencyPoint;
  /** Share of the step at full clock that each stage spends on its tasks: what an observer of a stage can see. */
  readonly busyShare: Float64Array;
  /**
   * Prices caps by stage, watt; those out of range count as the nearest in range. The result is overwritten by the next
   * call.
   */
  evaluate(capWatt: ArrayLike<number>): FrequencyPoint;
}

/** @param levels the problem at every clock, when at hand: making them prices the problem once per clock */
export function frequencyProblem(
  problem: PlanProblem,
  candidate: Candidate,
  levels = new ClockLevels(problem),
): FrequencyProblem {
  return new StageCaps(levels, candidate);
}

/** A level, whole or between two, for every class of tasks. */
export class ClassClocks {
  readonly curves: TaskCurves;
  /** Classes whose tasks run: `TASKS * v + task`. */
  readonly classes: readonly number[];
  private readonly timer = new PipelineTimer();
  private readonly times: Record<keyof StageTimes, Float64Array>;
  private readonly tail: Float64Array;

  constructor(
    readonly levels: ClockLevels,
    readonly candidate: Candidate,
  ) {
    this.curves = taskCurves(levels, candidate);
    const { load, tasks } = this.curves;
    const { virtualStages, pp } = load;
    this.classes = Array.from({ length: TASKS * virtualStages }, (_, k) => k).filter(
      (k) => k % TASKS < tasks,
    );
    this.times = {
      forwardSec: new Float64Array(virtualStages),
      backwardSec: new Float64Array(virtualStages),
      weightSec: new Float64Array(virtualStages),
      transferSec: load.transferSec,
      gatherExposedSec: load.gatherExposedSec,
    };
    const overhead = levels.problem.stack.stepOverheadSec;
    this.tail = Float64Array.from(
      { length: pp },
      (_, r) => load.reduceExposedSec[r] + load.optimizerSec[r] + overhead,
    );
  }

  /** Fills the price of levels by class, [TASKS * v + task]. */
  price(level: Float64Array, out: { timeSec: number; energyJoule: number }): void {
    const { curves, times, timer, candidate, tail } = this;
    const { load, levels, sec, joule, fixedWatt, onceJoule } = curves;
    const { pp, vpp, virtualStages, microbatches } = load;
    let joules = 0;
    for (let v = 0; v < virtualStages; v++) {
      let backward = 0;
      for (let task = 0; task < curves.tasks; task++) {
        const k = TASKS * v + task;
        const x = level[k];
        const low = Math.min(levels - 1, Math.floor(x));
        const high = Math.min(levels - 1, low + 1);
        const at = k * levels;
        const taskSec = sec[at + low] + (x - low) * (sec[at + high] - sec[at + low]);
        joules += joule[at + low] + (x - low) * (joule[at + high] - joule[at + low]);
        if (task === 0) times.forwardSec[v] = taskSec;
        else backward += taskSec;
        if (task === TASK_WEIGHT) times.weightSec[v] = taskSec;
      }
      times.backwardSec[v] = backward;
    }
    if (curves.tasks > TASK_BACKWARD) timer.train(candidate.schedule, pp, vpp, microbatches, times);
    else timer.infer(pp, microbatches, times);
    const { finishSec } = timer;
    let meet = 0;
    for (let r = 0; r < pp; r++)
      if (load.tiedSec > 0 && load.rankIsTied(r) && finishSec[r] > meet) meet = finishSec[r];
    let step = 0;
    for (let r = 0; r < pp; r++) {
      const tied = load.tiedSec > 0 && load.rankIsTied(r);
      const end = (tied ? meet + load.tiedSec : finishSec[r]) + tail[r];
      if (end > step) step = end;
    }
    out.timeSec = step;
    out.energyJoule = fixedWatt * step + onceJoule + microbatches * joules;
  }

  /**
   * Whole levels by class for a step no longer than `limitSec`: from full clock one class after the other is slowed as far
   * as energy falls and the limit holds, the class that saves most first, by ever smaller strides.
   *
   * @param limitSec at least the step at full clock
   */
  descend(limitSec: number): { level: Float64Array } & FrequencyPoint {
    const { classes, curves } = this;
    const level = new Float64Array(TASKS * curves.load.virtualStages);
    const price = { timeSec: 0, energyJoule: 0 };
    this.price(level, price);
    const limit = Math.max(limitSec, price.timeSec) * (1 + 1e-9);
    let energy = price.energyJoule;
    for (let stride = 8; stride >= 1; stride /= 2)
      for (;;) {
        let best = -1;
        let bestEnergy = energy;
        for (const k of classes) {
          if (level[k] + stride > curves.levels - 1) continue;
          level[k] += stride;
          this.price(level, price);
          level[k] -= stride;
          if (price.timeSec <= limit && price.energyJoule < bestEnergy) {
            best = k;
            bestEnergy = price.energyJoule;
          }
        }
        if (best < 0) break;
        level[best] += stride;
        energy = bestEnergy;
      }
    this.price(level, price);
    return { level, timeSec: price.timeSec, energyJoule: price.energyJoule };
  }

  /** Cap of a class at a level, watt, and its clock as a share of the full one. */
  capOf(taskClass: number, level: number): { clockShare: number; capWatt: number } {
    const { load } = this.curves;
    const { clocks, problem } = this.levels;
    const r = Math.floor(taskClass / TASKS) % load.pp;
    const clockShare = clocks[level];
    return {
      clockShare,
      capWatt: capOfClock(problem.cluster.groups[load.layout.deviceGroup[r]].device, clockShare),
    };
  }
}

/** The lowest clock of the levels that is no lower than that one. */
export function levelOfClock(clocks: readonly number[], clock: number): number {
  let i = 0;
  while (i + 1 < clocks.length && clocks[i + 1] >= clock) i++;
  return i;
}

class StageCaps implements FrequencyProblem {
  readonly stages: number;
  readonly leastWatt: Float64Array;
  readonly mostWatt: Float64Array;
  readonly full: FrequencyPoint;
  readonly busyShare: Float64Array;
  private readonly clocks: ClassClocks;
  private readonly level: Float64Array;
  private readonly result = { timeSec: 0, energyJoule: 0 };

  constructor(
    private readonly levels: ClockLevels,
    candidate: Candidate,
  ) {
    this.clocks = new ClassClocks(levels, candidate);
    const { curves } = this.clocks;
    const { load } = curves;
    const { pp } = load;
    this.stages = pp;
    this.level = new Float64Array(TASKS * load.virtualStages);
    const lowest = levels.clocks[levels.clocks.length - 1];
    const devices = Array.from({ length: pp }, (_, r) => this.deviceOf(r));
    this.leastWatt = Float64Array.from(devices, (d) => Math.max(leastCapWatt(d), capOfClock(d, lowest)));
    this.mostWatt = Float64Array.from(devices, (d) => d.tdpWatt);
    this.full = { ...this.evaluate(this.mostWatt) };
    this.busyShare = new Float64Array(pp);
    for (let k = 0; k < this.level.length; k++)
      if (k % TASKS < curves.tasks)
        this.busyShare[Math.floor(k / TASKS) % pp] +=
          (load.microbatches * curves.sec[k * curves.levels]) / this.full.timeSec;
  }

  evaluate(capWatt: ArrayLike<number>): FrequencyPoint {
    invariant(capWatt.length === this.stages, `${this.stages} caps, one per stage`);
    const { pp, virtualStages } = this.clocks.curves.load;
    for (let r = 0; r < pp; r++) {
      const cap = Math.min(this.mostWatt[r], Math.max(this.leastWatt[r], capWatt[r]));
      const device = this.deviceOf(r);
      const level = this.levelOf(clockAt(device, device.matrixWatt, cap));
      for (let v = r; v < virtualStages; v += pp) this.level.fill(level, TASKS * v, TASKS * v + TASKS);
    }
    this.clocks.price(this.level, this.result);
    return this.result;
  }

  private deviceOf(r: number): PlanProblem['cluster']['groups'][number]['device'] {
    return this.levels.problem.cluster.groups[this.clocks.curves.load.layout.deviceGroup[r]].device;
  }

  /** Place of a clock among the levels, between two of them as a rule. */
  private levelOf(clock: number): number {
    const { clocks } = this.levels;
    const i = levelOfClock(clocks, clock);
    if (i + 1 === clocks.length) return i;
    return i + Math.max(0, clocks[i] - clock) / (clocks[i] - clocks[i + 1]);
  }
}
