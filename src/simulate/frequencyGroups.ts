/**
 * Clocks by group of tasks: the tasks of one kind on one pipeline rank whose slack is alike share a power cap. Between a cap
 * per stage, which cannot tell a forward pass that waits from one that others wait for, and a clock per task: few enough
 * numbers for a learner, fine enough for slack to be filled. Priced on the graph of the exact frontier.
 */
import { clockAt, leastCapWatt } from '../cluster/index.js';
import type { Device } from '../cluster/index.js';
import type { Candidate } from '../plan/types.js';
import { invariant } from '../util/errors.js';
import { StepModel } from './frequency.js';
import type { FrequencyPoint } from './frequency.js';
import type { ClockLevels, TaskCurves } from './frequencyCurves.js';
import { capOfClock, taskCurves, TASK_FORWARD, TASKS } from './frequencyCurves.js';
import type { PipelineGraph } from './frequencyGraph.js';
import { pipelineGraph } from './frequencyGraph.js';
import { levelOfClock } from './frequencyProblem.js';
import type { FrequencyProblem } from './frequencyProblem.js';

/** Upper ends of slack, in lengths of the task itself: none to speak of, part of a task, some tasks, many. */
const SLACK_ENDS = [0.02, 0.5, 2, Infinity];

/** As a problem of caps: one for every group. */
export class TaskGroups implements FrequencyProblem {
  readonly curves: TaskCurves;
  readonly graph: PipelineGraph;
  /** Group of every task. */
  readonly groupOf: Int32Array;
  readonly stages: number;
  readonly leastWatt: Float64Array;
  readonly mostWatt: Float64Array;
  readonly busyShare: Float64Array;
  /** By group: place in the pipeline, 0..1; whether it is a backward pass; slack over length, at most 4. */
  readonly place: Float64Array;
  readonly isBackward: Float64Array;
  readonly slackShare: Float64Array;
  readonly full: FrequencyPoint;
  /** Caps by group that latest-first slack filling allows all of its tasks, watt: an expert's. */
  readonly expertWatt: Float64Array;
  private readonly model: StepModel;
  private readonly device: readonly Device[];
  private readonly level: Uint8Array;
  private readonly groupLevel: Uint8Array;
  private readonly result = { timeSec: 0, energyJoule: 0 };

  constructor(
    private readonly levels: ClockLevels,
    candidate: Candidate,
  ) {
    const { problem, clocks } = levels;
    this.curves = taskCurves(levels, candidate);
    this.graph = pipelineGraph(problem, candidate, this.curves);
    this.model = new StepModel(this.curves, this.graph);
    const { taskClass, taskRank, taskCount } = this.graph;
    this.level = new Uint8Array(taskCount);
    const slackSec = this.model.slackOf(this.level);
    const ids = new Map<number, number>();
    this.groupOf = new Int32Array(taskCount);
    const first: number[] = [];
    for (let i = 0; i < taskCount; i++) {
      const share = slackSec[i] / this.curves.sec[taskClass[i] * this.curves.levels];
      const bucket = SLACK_ENDS.findIndex((end) => share < end);
      const key = (taskRank[i] * TASKS + (taskClass[i] % TASKS)) * SLACK_ENDS.length + bucket;
      let id = ids.get(key);
      if (id === undefined) {
        ids.set(key, (id = first.length));
        first.push(i);
      }
      this.groupOf[i] = id;
    }
    const { load } = this.curves;
    this.stages = first.length;
    this.groupLevel = new Uint8Array(this.stages);
    this.device = first.map((i) => problem.cluster.groups[load.layout.deviceGroup[taskRank[i]]].device);
    const lowest = clocks[clocks.length - 1];
    this.leastWatt = Float64Array.from(this.device, (d) => Math.max(leastCapWatt(d), capOfClock(d, lowest)));
    this.mostWatt = Float64Array.from(this.device, (d) => d.tdpWatt);
    this.place = Float64Array.from(first, (i) => (load.pp === 1 ? 0 : taskRank[i] / (load.pp - 1)));
    this.isBackward = Float64Array.from(first, (i) => (taskClass[i] % TASKS === TASK_FORWARD ? 0 : 1));
    this.full = { ...this.priced() };
    this.expertWatt = this.filled();
    this.busyShare = new Float64Array(this.stages);
    this.slackShare = new Float64Array(this.stages).fill(SLACK_ENDS.length);
    for (let i = 0; i < taskCount; i++) {
      const sec = this.curves.sec[taskClass[i] * this.curves.levels];
      const g = this.groupOf[i];
      this.busyShare[g] += sec / this.full.timeSec;
      this.slackShare[g] = Math.min(this.slackShare[g], slackSec[i] / sec);
    }
  }

  /** What the expert's caps come to. */
  expert(): FrequencyPoint {
    return this.evaluate(this.expertWatt);
  }

  private filled(): Float64Array {
    const level = new Uint8Array(this.level.length);
    this.model.fillSlack(level, this.full.timeSec);
    const { clocks } = this.levels;
    const least = new Uint8Array(this.stages).fill(clocks.length - 1);
    for (let i = 0; i < level.length; i++)
      least[this.groupOf[i]] = Math.min(least[this.groupOf[i]], level[i]);
    return Float64Array.from(least, (l, g) => capOfClock(this.device[g], clocks[l]));
  }

  /** Every group runs at the slowest clock of the levels that its cap does not slow further. */
  evaluate(capWatt: ArrayLike<number>): FrequencyPoint {
    invariant(capWatt.length === this.stages, `${this.stages} caps, one per group`);
    for (let g = 0; g < this.stages; g++) {
      const device = this.device[g];
      const cap = Math.min(this.mostWatt[g], Math.max(this.leastWatt[g], capWatt[g]));
      this.groupLevel[g] = levelOfClock(this.levels.clocks, clockAt(device, device.matrixWatt, cap));
    }
    return this.priced();
  }

  /** Levels of the tasks under the caps priced last. */
  taskLevels(): Uint8Array {
    return this.level.slice();
  }

  /**
   * The plain way: from full clock, group after group is slowed by ever smaller strides as far as energy falls and the step
   * is no longer than `limitSec`.
   */
  descend(limitSec: number): FrequencyPoint & { readonly level: Uint8Array } {
    const { groupLevel } = this;
    groupLevel.fill(0);
    const limit = limitSec * (1 + 1e-9);
    let energy = this.priced().energyJoule;
    const slowest = this.curves.levels - 1;
    for (let stride = 16; stride >= 1; stride /= 2)
      for (let g = 0; g < this.stages; g++)
        for (;;) {
          if (groupLevel[g] + stride > slowest) break;
          groupLevel[g] += stride;
          const { timeSec, energyJoule } = this.priced();
          if (timeSec <= limit && energyJoule < energy) energy = energyJoule;
          else {
            groupLevel[g] -= stride;
            break;
          }
        }
    return { ...this.priced(), level: this.taskLevels() };
  }

  private priced(): FrequencyPoint {
    const { level, groupOf, groupLevel, result } = this;
    for (let i = 0; i < level.length; i++) level[i] = groupLevel[groupOf[i]];
    result.timeSec = this.model.timeOf(level);
    result.energyJoule = this.model.energyOf(level, result.timeSec);
    return result;
  }
}
