/**
 * The step of a pipeline as a project: the tasks of every rank in the order in which the engine runs them, the messages
 * between them, and what follows the last of them. Clocks change how long tasks take, never their order: a rank's next
 * task depends on what it has done, not on when.
 *
 *     start -> gather -> [F0] -> [F1] -> ... [B] -> reductions, optimizer -> end
 *                          \ message
 *                  other rank   -> [F0] ...
 *
 * What is not slowed (messages, exposed gathers and reductions, the optimizer) is as long as at full clock.
 */
import type { Candidate } from '../plan/types.js';
import { createEngine } from './engine.js';
import type { TaskCurves } from './frequencyCurves.js';
import { TASK_BACKWARD, TASK_FORWARD, TASK_WEIGHT, TASKS } from './frequencyCurves.js';
import { tasksOf } from './stageWork.js';
import { WORK_BACKWARD, WORK_FORWARD } from './timeline.js';
import type { PlanProblem } from './types.js';

export interface PipelineGraph {
  /** Tasks rank after rank, each rank's in the order in which they run. */
  readonly taskCount: number;
  /** By task. */
  readonly taskClass: Int32Array;
  readonly taskRank: Int32Array;
  readonly taskMicrobatch: Int32Array;
  readonly startNode: Int32Array;
  readonly endNode: Int32Array;
  readonly nodeCount: number;
  /** Arcs that are as long at any clock; those of tasks are not among them. */
  readonly arcFrom: Int32Array;
  readonly arcTo: Int32Array;
  readonly arcSec: Float64Array;
  /** The engine's step at full clock, seconds. */
  readonly stepTimeSec: number;
}

export function pipelineGraph(problem: PlanProblem, c: Candidate, curves: TaskCurves): PipelineGraph {
  const run = createEngine(problem).run(c, true);
  const { load } = curves;
  const { pp, virtualStages, microbatches, transferSec } = load;
  const taskClass: number[] = [];
  const taskRank: number[] = [];
  const taskMicrobatch: number[] = [];
  const indexOf = new Int32Array(TASKS * virtualStages * microbatches).fill(-1);
  const firstOfRank = new Int32Array(pp + 1);
  for (let r = 0; r < pp; r++) {
    firstOfRank[r] = taskClass.length;
    for (const { work, stage, microbatch } of tasksOf(run.timeline!, r)) {
      if (microbatch < 0) continue;
      const task =
        work === WORK_FORWARD ? TASK_FORWARD : work === WORK_BACKWARD ? TASK_BACKWARD : TASK_WEIGHT;
      indexOf[(TASKS * stage + task) * microbatches + microbatch] = taskClass.length;
      taskClass.push(TASKS * stage + task);
      taskRank.push(r);
      taskMicrobatch.push(microbatch);
    }
  }
  firstOfRank[pp] = taskClass.length;

  const arcs = new ArcList();
  const taskCount = taskClass.length;
  const startNode = new Int32Array(taskCount);
  const endNode = new Int32Array(taskCount);
  /** The task whose message task i waits for, and how long that message takes; -1: none. */
  const senderOf = (i: number): number => {
    const v = Math.floor(taskClass[i] / TASKS);
    const task = taskClass[i] % TASKS;
    const from = task === TASK_FORWARD ? v - 1 : task === TASK_BACKWARD ? v + 1 : -1;
    if (from < 0 || from >= virtualStages) return -1;
    return indexOf[(TASKS * from + task) * microbatches + taskMicrobatch[i]];
  };
  let nodes = 1;
  for (let r = 0; r < pp; r++)
    for (let i = firstOfRank[r]; i < firstOfRank[r + 1]; i++) {
      const before = i === firstOfRank[r] ? 0 : endNode[i - 1];
      const delay = i === firstOfRank[r] ? load.gatherExposedSec[r] : 0;
      if (delay === 0 && senderOf(i) < 0) startNode[i] = before;
      else {
        startNode[i] = nodes++;
        arcs.add(before, startNode[i], delay);
      }
      endNode[i] = nodes++;
    }
  // Messages. Those of a rank leave one after the other; that is worth nodes of its own only where they could meet.
  const receiverOf = new Int32Array(taskCount).fill(-1);
  for (let i = 0; i < taskCount; i++) {
    const sender = senderOf(i);
    if (sender >= 0) receiverOf[sender] = i;
  }
  for (let r = 0; r < pp; r++) {
    let shortest = Infinity;
    let longest = 0;
    const secOf = (i: number): number => {
      const v = Math.floor(taskClass[i] / TASKS);
      return transferSec[taskClass[i] % TASKS === TASK_FORWARD ? v + 1 : v];
    };
    for (let i = firstOfRank[r]; i < firstOfRank[r + 1]; i++) {
      shortest = Math.min(shortest, curves.sec[taskClass[i] * curves.levels]);
      if (receiverOf[i] >= 0) longest = Math.max(longest, secOf(i));
    }
    const queues = longest > shortest;
    let sentNode = -1;
    let sentSec = 0;
    for (let i = firstOfRank[r]; i < firstOfRank[r + 1]; i++) {
      if (receiverOf[i] < 0) continue;
      const to = startNode[receiverOf[i]];
      if (!queues) {
        arcs.add(endNode[i], to, secOf(i));
        continue;
      }
      const leaves = nodes++;
      arcs.add(endNode[i], leaves, 0);
      if (sentNode >= 0) arcs.add(sentNode, leaves, sentSec);
      sentNode = leaves;
      sentSec = secOf(i);
      arcs.add(leaves, to, sentSec);
    }
  }
  // Ranks that hold a tied parameter meet before they sum it.
  const meet = load.tiedSec > 0 ? nodes++ : -1;
  const end = nodes++;
  let tiedTail = 0;
  for (let r = 0; r < pp; r++) {
    const tail = load.reduceExposedSec[r] + load.optimizerSec[r] + problem.stack.stepOverheadSec;
    const last = endNode[firstOfRank[r + 1] - 1];
    if (load.tiedSec > 0 && load.rankIsTied(r)) {
      arcs.add(last, meet, 0);
      tiedTail = Math.max(tiedTail, load.tiedSec + tail);
    } else arcs.add(last, end, tail);
  }
  if (meet >= 0) arcs.add(meet, end, tiedTail);
  return {
    taskCount,
    taskClass: Int32Array.from(taskClass),
    taskRank: Int32Array.from(taskRank),
    taskMicrobatch: Int32Array.from(taskMicrobatch),
    startNode,
    endNode,
    nodeCount: nodes,
    arcFrom: Int32Array.from(arcs.from),
    arcTo: Int32Array.from(arcs.to),
    arcSec: Float64Array.from(arcs.sec),
    stepTimeSec: run.stepTimeSec,
  };
}

class ArcList {
  readonly from: number[] = [];
  readonly to: number[] = [];
  readonly sec: number[] = [];

  add(from: number, to: number, sec: number): void {
    this.from.push(from);
    this.to.push(to);
    this.sec.push(sec);
  }
}
