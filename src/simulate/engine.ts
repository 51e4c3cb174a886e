/**
 * The exact fidelity: plays one pipeline out as discrete events. Every rank works through its schedule in order; a
 * task waits for its message, a message for its rank's send stream. Data-parallel, tensor-parallel and context-parallel
 * peers do the same at the same time, so one device per pipeline rank stands for all of them.
 *
 * An event is the end of one part of a task on one stream, or of one transfer:
 *
 *     compute     [F0 ......]          [F1 ......]        part 1: kernels
 *     collective             [F0 ..]              [F1 ..] part 2: exposed collectives
 *     data par.                                           part 3: exposed gathers and reductions of ZeRO-2 and -3
 *     transfer                     [F0 ->]                to the next stage; the rank works on meanwhile
 */
import type { Candidate } from '../plan/types.js';
import { EventHeap } from './eventHeap.js';
import { StageLoad } from './load.js';
import {
  STREAM_COLLECTIVE,
  STREAM_COMPUTE,
  STREAM_DATA_PARALLEL,
  STREAM_TRANSFER,
  Timeline,
  WORK_BACKWARD,
  WORK_FORWARD,
  WORK_GATHER_PARAMETERS,
  WORK_OPTIMIZER,
  WORK_REDUCE_GRADIENTS,
  WORK_SEND_ACTIVATION,
  WORK_SEND_GRADIENT,
  WORK_SUM_TIED,
  WORK_WEIGHT_GRADIENT,
} from './timeline.js';
import type { PlanProblem } from './types.js';

export interface EngineRun {
  stepTimeSec: number;
  /** Events taken off the queue. */
  events: number;
  rankCount: number;
  /** Per pipeline rank: when it had finished, optimizer included; seconds in which its compute stream did nothing. */
  finishSec: Float64Array;
  idleSec: Float64Array;
  /** Per pipeline rank: most bytes of saved activations at any moment, and when that was first so. */
  peakActivationBytes: Float64Array;
  peakAtSec: Float64Array;
  /** Every interval, when asked for. */
  timeline: Timeline | null;
}

export interface Engine {
  /** Plays one step of the candidate. The result is fresh and may be kept. */
  run(candidate: Candidate, record?: boolean): EngineRun;
}

export function createEngine(problem: PlanProblem): Engine {
  return new PipelineEngine(problem);
}

// Event kinds, the low bits of a payload; the high bits are a rank, or a virtual stage for arrivals.
const END_OF_PART = 0;
const ACTIVATION_ARRIVES = 1;
const GRADIENT_ARRIVES = 2;
const KINDS = 4;
/** At equal times messages arrive before tasks end, so that a rank sees all that is there. */
const ARRIVAL_PRIORITY = 0;
const END_PRIORITY = 1;

const IDLE = -1;
const PARTS = 3;
// Tasks of a virtual stage, and what a timeline calls them. ZB-H1 alone parts the last from the one before.
const FORWARD = 0;
const BACKWARD = 1;
const WEIGHT = 2;
const TASKS = 3;
const TASK_WORK = [WORK_FORWARD, WORK_BACKWARD, WORK_WEIGHT_GRADIENT];

class PipelineEngine implements Engine {
  private readonly load: StageLoad;
  private readonly heap = new EventHeap();
  private now = 0;
  private timeline: Timeline | null = null;
  private train = true;
  private schedule: Candidate['schedule'] = '1f1b';
  /** Whether gradients of weights are tasks of their own. */
  private defers = false;

  // per virtual stage: seconds of the three parts of its tasks, [TASKS * v + task] * PARTS + part
  private partSec = new Float64Array(0);
  private activationsArrived = new Int32Array(0);
  private gradientsArrived = new Int32Array(0);

  // per rank
  private forwardsStarted = new Int32Array(0);
  private backwardsStarted = new Int32Array(0);
  private weightsStarted = new Int32Array(0);
  private warmUp = new Int32Array(0);
  private task = new Int32Array(0);
  private stage = new Int32Array(0);
  private microbatch = new Int32Array(0);
  private part = new Int32Array(0);
  private partStart = new Float64Array(0);
  private sendFree = new Float64Array(0);
  private reduceFree = new Float64Array(0);
  private lastTaskEnd = new Float64Array(0);
  private busySec = new Float64Array(0);
  private heldBytes = new Float64Array(0);
  private peakBytes = new Float64Array(0);
  private peakAt = new Float64Array(0);

  constructor(private readonly problem: PlanProblem) {
    this.load = new StageLoad(problem);
  }

  run(c: Candidate, record = false): EngineRun {
    const { load, heap } = this;
    load.fill(c);
    this.train = this.problem.phase === 'train';
    this.schedule = c.schedule;
    this.defers = this.train && c.schedule === 'zb-h1';
    this.timeline = record ? new Timeline() : null;
    this.reset(c);
    this.now = 0;
    heap.clear();
    for (let r = 0; r < load.pp; r++) this.begin(r);
    let events = 0;
    while (heap.size > 0) {
      this.now = heap.nextTimeSec();
      const payload = heap.pop();
      events++;
      const subject = Math.floor(payload / KINDS);
      switch (payload % KINDS) {
        case END_OF_PART:
          this.endPart(subject);
          break;
        case ACTIVATION_ARRIVES:
          this.activationsArrived[subject]++;
          this.begin(subject % load.pp);
          break;
        case GRADIENT_ARRIVES:
          this.gradientsArrived[subject]++;
          this.begin(subject % load.pp);
          break;
      }
    }
    return this.finish(events);
  }

  /** Starts rank r's next task if it is free and the task's message is there. */
  private begin(r: number): void {
    if (this.task[r] !== IDLE) return;
    const { load } = this;
    const { pp, vpp, virtualStages } = load;
    const total = load.microbatches * vpp;
    const forwards = this.forwardsStarted[r];
    const backwards = this.backwardsStarted[r];
    if (this.defers && this.weightIsDue(r, backwards, total)) {
      this.start(r, WEIGHT, r, this.weightsStarted[r]++, this.now);
      return;
    }
    // One forward, one backward after the warm-up; what is left of either at the ends.
    const isForward = forwards < Math.min(total, this.warmUp[r] + backwards + 1);
    if (!isForward && (!this.train || backwards === total)) return;
    const group = pp * vpp;
    const k = isForward ? forwards : backwards;
    const inGroup = k % group;
    const chunk = isForward ? Math.floor(inGroup / pp) : vpp - 1 - Math.floor(inGroup / pp);
    const v = chunk * pp + r;
    const m = vpp === 1 ? k : Math.floor(k / group) * pp + (inGroup % pp);
    if (isForward) {
      if (v > 0 && this.activationsArrived[v] <= m) return;
      // Parameters of the step before are gathered under the first forward; what sticks out delays it.
      const ready = k === 0 ? load.gatherExposedSec[r] : 0;
      this.forwardsStarted[r]++;
      this.hold(r, load.savedBytes[v]);
      this.start(r, FORWARD, v, m, Math.max(this.now, ready));
    } else {
      if (v < virtualStages - 1 && this.gradientsArrived[v] <= m) return;
      this.backwardsStarted[r]++;
      this.start(r, BACKWARD, v, m, this.now);
    }
  }

  /** ZB-H1: rank r puts off the weight gradients of r microbatches; at the end it catches up. */
  private weightIsDue(r: number, backwards: number, total: number): boolean {
    const weights = this.weightsStarted[r];
    return weights < (backwards === total ? total : backwards - r);
  }

  private start(r: number, task: number, v: number, m: number, timeSec: number): void {
    this.task[r] = task;
    this.stage[r] = v;
    this.microbatch[r] = m;
    this.part[r] = 0;
    this.partStart[r] = timeSec;
    const sec = this.partSec[(TASKS * v + task) * PARTS];
    this.heap.push(timeSec + sec, END_PRIORITY, r * KINDS + END_OF_PART);
  }

  private endPart(r: number): void {
    const v = this.stage[r];
    const task = this.task[r];
    const part = this.part[r];
    if (part === 0) this.busySec[r] += this.now - this.partStart[r];
    if (this.timeline !== null)
      this.timeline.add(
        r,
        PART_STREAM[part],
        TASK_WORK[task],
        v,
        this.microbatch[r],
        this.partStart[r],
        this.now,
      );
    const base = (TASKS * v + task) * PARTS;
    for (let next = part + 1; next < PARTS; next++) {
      const sec = this.partSec[base + next];
      if (sec <= 0) continue;
      this.part[r] = next;
      this.partStart[r] = this.now;
      this.heap.push(this.now + sec, END_PRIORITY, r * KINDS + END_OF_PART);
      return;
    }
    this.endTask(r, task, v, this.microbatch[r]);
  }

  private endTask(r: number, task: number, v: number, m: number): void {
    const { load } = this;
    this.task[r] = IDLE;
    this.lastTaskEnd[r] = this.now;
    if (task === FORWARD) {
      if (v + 1 < load.virtualStages) this.send(r, v, v + 1, load.transferSec[v + 1], m);
    } else {
      if (task === BACKWARD) {
        this.hold(r, (this.defers ? load.deferredBytes[v] : 0) - load.savedBytes[v]);
        if (v > 0) this.send(r, v, v - 1, load.transferSec[v], m);
      } else this.hold(r, -load.deferredBytes[v]);
      const isComplete = task === WEIGHT || !this.defers;
      if (isComplete && m === load.microbatches - 1) this.reduce(r, v);
    }
    this.begin(r);
  }

  private send(r: number, from: number, to: number, sec: number, m: number): void {
    const start = Math.max(this.now, this.sendFree[r]);
    const end = start + sec;
    this.sendFree[r] = end;
    const forward = to > from;
    if (this.timeline !== null) {
      const work = forward ? WORK_SEND_ACTIVATION : WORK_SEND_GRADIENT;
      this.timeline.add(r, STREAM_TRANSFER, work, from, m, start, end);
    }
    this.heap.push(end, ARRIVAL_PRIORITY, to * KINDS + (forward ? ACTIVATION_ARRIVES : GRADIENT_ARRIVES));
  }

  /** The chunk's gradients are complete: their reduction has run, as far as it may, under this last backward. */
  private reduce(r: number, v: number): void {
    const { load } = this;
    const sec = load.reduceSec[r] * load.shareOfRank(v, r);
    if (sec <= 0) return;
    const lastSec = this.defers ? load.weightSec[v] : load.backwardSec[v];
    const under = this.problem.stack.gradientsUnderBackward * lastSec;
    const start = Math.max(this.reduceFree[r], this.now - under);
    this.reduceFree[r] = start + sec;
    if (this.timeline !== null)
      this.timeline.add(r, STREAM_DATA_PARALLEL, WORK_REDUCE_GRADIENTS, v, -1, start, start + sec);
  }

  private hold(r: number, bytes: number): void {
    const held = this.heldBytes[r] + bytes;
    this.heldBytes[r] = held;
    if (this.timeline !== null) this.timeline.hold(r, this.now, held);
    if (held > this.peakBytes[r]) {
      this.peakBytes[r] = held;
      this.peakAt[r] = this.now;
    }
  }

  /** Tied sums, optimizer, and the result. */
  private finish(events: number): EngineRun {
    const { load, timeline } = this;
    const { pp, tiedSec } = load;
    let meet = 0;
    for (let r = 0; r < pp; r++)
      if (tiedSec > 0 && load.rankIsTied(r)) meet = Math.max(meet, this.lastTaskEnd[r]);
    const finishSec = new Float64Array(pp);
    for (let r = 0; r < pp; r++) {
      const tied = tiedSec > 0 && load.rankIsTied(r);
      // Reductions go on after the last backward; tied sums queue behind them on the same stream.
      const late = Math.max(0, this.reduceFree[r] - this.lastTaskEnd[r]);
      const ready = (tied ? meet + tiedSec : this.lastTaskEnd[r]) + late;
      finishSec[r] = ready + load.optimizerSec[r] + this.problem.stack.stepOverheadSec;
      if (timeline === null) continue;
      if (tied) timeline.add(r, STREAM_DATA_PARALLEL, WORK_SUM_TIED, -1, -1, ready - tiedSec, ready);
      timeline.add(r, STREAM_COMPUTE, WORK_OPTIMIZER, -1, -1, ready, finishSec[r]);
      timeline.add(r, STREAM_DATA_PARALLEL, WORK_GATHER_PARAMETERS, -1, -1, 0, load.gatherExposedSec[r]);
    }
    let stepTimeSec = 0;
    for (let r = 0; r < pp; r++) stepTimeSec = Math.max(stepTimeSec, finishSec[r]);
    return {
      stepTimeSec,
      events,
      rankCount: pp,
      finishSec,
      idleSec: Float64Array.from(
        { length: pp },
        (_, r) => stepTimeSec - this.busySec[r] - load.optimizerSec[r],
      ),
      peakActivationBytes: this.peakBytes.slice(0, pp),
      peakAtSec: this.peakAt.slice(0, pp),
      timeline,
    };
  }

  private reset(c: Candidate): void {
    const { load } = this;
    const { pp, vpp, virtualStages, microbatches } = load;
    if (virtualStages > this.activationsArrived.length) {
      this.partSec = new Float64Array(TASKS * virtualStages * PARTS);
      this.activationsArrived = new Int32Array(virtualStages);
      this.gradientsArrived = new Int32Array(virtualStages);
    }
    if (pp > this.task.length) this.resizeRanks(pp);
    this.activationsArrived.fill(0);
    this.gradientsArrived.fill(0);
    for (const column of [this.forwardsStarted, this.backwardsStarted, this.weightsStarted]) column.fill(0);
    for (const column of [this.sendFree, this.reduceFree, this.lastTaskEnd, this.busySec]) column.fill(0);
    for (const column of [this.heldBytes, this.peakBytes, this.peakAt]) column.fill(0);
    this.task.fill(IDLE);
    for (let r = 0; r < pp; r++) {
      const ahead = vpp === 1 ? pp - 1 - r : 2 * (pp - 1 - r) + (vpp - 1) * pp;
      const all = this.schedule === 'gpipe' || !this.train;
      this.warmUp[r] = all ? microbatches * vpp : Math.min(microbatches * vpp, ahead);
    }
    this.splitTasks(c);
  }

  /** Parts of every task: kernels with recomputation, exposed collectives, exposed ZeRO traffic. */
  private splitTasks(c: Candidate): void {
    const { load, partSec } = this;
    for (let v = 0; v < load.virtualStages; v++) {
      const table = load.tableOf[v % load.pp];
      const from = c.stageStart[v];
      const to = c.stageStart[v + 1];
      const ahead = table.collectiveForwardSec[to] - table.collectiveForwardSec[from];
      const behind = table.collectiveBackwardSec[to] - table.collectiveBackwardSec[from];
      const late = load.shardWeightSec[v];
      const gather = load.shardBackwardSec[v] - late;
      const forward = TASKS * v * PARTS;
      partSec[forward] = Math.max(0, load.forwardSec[v] - ahead - load.shardForwardSec[v]);
      partSec[forward + 1] = ahead;
      partSec[forward + 2] = load.shardForwardSec[v];
      const backward = forward + BACKWARD * PARTS;
      partSec[backward] = Math.max(0, load.backwardSec[v] - load.weightSec[v] - behind - gather);
      partSec[backward + 1] = behind;
      partSec[backward + 2] = gather;
      const weight = forward + WEIGHT * PARTS;
      partSec[weight] = load.weightSec[v] - late;
      partSec[weight + 1] = 0;
      partSec[weight + 2] = late;
    }
  }

  private resizeRanks(pp: number): void {
    this.forwardsStarted = new Int32Array(pp);
    this.backwardsStarted = new Int32Array(pp);
    this.weightsStarted = new Int32Array(pp);
    this.warmUp = new Int32Array(pp);
    this.task = new Int32Array(pp);
    this.stage = new Int32Array(pp);
    this.microbatch = new Int32Array(pp);
    this.part = new Int32Array(pp);
    this.partStart = new Float64Array(pp);
    this.sendFree = new Float64Array(pp);
    this.reduceFree = new Float64Array(pp);
    this.lastTaskEnd = new Float64Array(pp);
    this.busySec = new Float64Array(pp);
    this.heldBytes = new Float64Array(pp);
    this.peakBytes = new Float64Array(pp);
    this.peakAt = new Float64Array(pp);
  }
}

const PART_STREAM = [STREAM_COMPUTE, STREAM_COLLECTIVE, STREAM_DATA_PARALLEL];
