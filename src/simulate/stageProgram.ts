/**
 * What one device of a pipeline rank does in a step, as a graph of kernels, collectives and messages: the tasks in the
 * order in which the engine ran them, each taken apart into the segments of its stage.
 *
 *     gather s0  gather s1 ...                                  data parallel, one after the other
 *         |          |
 *     recv -> s0 -> tp sum -> s1 -> tp sum -> send              a forward task; a backward task runs the segments back
 *
 * What the stack hides (gathers, reductions, part of context and expert traffic) is not waited for by the kernels it
 * hides behind; everything else is. Repeated collectives of recomputation are inside the kernels' time.
 */
import type { ClassCollective } from '../cost/traffic.js';
import type { Candidate } from '../plan/types.js';
import type { EngineRun } from './engine.js';
import { StageLoad } from './load.js';
import type { GroupKind } from './ranks.js';
import { StageWork, tasksOf } from './stageWork.js';
import type { Task, Traffic, Unit } from './stageWork.js';
import { contextExposed, tensorExposed } from './table.js';
import { TiedParameters } from './tied.js';
import { WORK_BACKWARD, WORK_FORWARD, WORK_OPTIMIZER, WORK_WEIGHT_GRADIENT } from './timeline.js';
import type { PlanProblem } from './types.js';
import { invariant } from '../util/errors.js';

export type CollectiveName = ClassCollective['kind'];

interface Node {
  readonly name: string;
  /** Nodes of the same program that come first. */
  readonly after: readonly number[];
  readonly timeSec: number;
}

export interface KernelNode extends Node {
  readonly type: 'kernel';
  readonly flop: number;
  /** Bytes moved in device memory. */
  readonly bytes: number;
}

export interface CollectiveNode extends Node {
  readonly type: 'collective';
  readonly kind: CollectiveName;
  /** Over devices of the stage, or over those pipeline ranks. */
  readonly group: GroupKind | readonly number[];
  /** Of the buffer that each rank gives. */
  readonly bytes: number;
}

export interface MessageNode extends Node {
  readonly type: 'send' | 'receive';
  /** Pipeline rank at the other end. */
  readonly peer: number;
  /** Equal at both ends and different from that of every other message of the step. */
  readonly tag: number;
  readonly bytes: number;
}

export type ProgramNode = KernelNode | CollectiveNode | MessageNode;

/** A collective that is exposed less than this is not waited for. */
const HIDDEN_BELOW = 0.5;

/**
 * The program of one device of a pipeline rank.
 *
 * @param run of the candidate, recorded
 * @param traffic under the candidate's sharding
 */
export function stageProgram(
  problem: PlanProblem,
  c: Candidate,
  run: EngineRun,
  traffic: Traffic,
  rank: number,
): ProgramNode[] {
  invariant(run.timeline !== null, 'a program needs a run that was recorded');
  const tasks = tasksOf(run.timeline, rank);
  return new ProgramBuilder(problem, c, traffic, rank, tasks).build(tasks);
}

class ProgramBuilder {
  private readonly nodes: ProgramNode[] = [];
  private readonly load: StageLoad;
  private readonly work: StageWork;
  /** What the next kernel waits for. */
  private chain: number[] = [];
  /** Last node of the data-parallel and of the transfer stream, -1 before the first. */
  private dataEnd = -1;
  private sendEnd = -1;
  /** Gather of each unit at the start of the step, by its first segment. */
  private readonly gathered = new Map<number, number>();
  /** The kernel before the last. */
  private kernels: [number, number] = [-1, -1];

  constructor(
    private readonly problem: PlanProblem,
    private readonly c: Candidate,
    traffic: Traffic,
    private readonly rank: number,
    tasks: readonly Task[],
  ) {
    this.load = new StageLoad(problem);
    this.load.fill(c);
    this.work = new StageWork(problem, c, this.load, traffic, rank, tasks.length);
  }

  build(tasks: readonly Task[]): ProgramNode[] {
    const passes = this.problem.phase === 'inference' ? 1 : this.c.schedule === 'zb-h1' ? 3 : 2;
    const expected = passes * this.load.microbatches * this.load.vpp;
    invariant(
      tasks.filter((t) => t.work !== WORK_OPTIMIZER).length === expected,
      `a recorded run of ${expected} tasks on pipeline rank ${this.rank}`,
    );
    if (this.problem.phase === 'train' && (this.c.zeroStage === 1 || this.c.zeroStage === 2))
      this.gatherAhead();
    for (const task of tasks) {
      if (task.work === WORK_OPTIMIZER) this.update(task);
      else this.task(task);
    }
    return this.nodes;
  }

  private add(node: ProgramNode): number {
    return this.nodes.push(node) - 1;
  }

  /** Adds a collective to the data-parallel stream; -1 when there is nothing to do. */
  private data(name: string, kind: CollectiveName, group: GroupKind, bytes: number, after: number): number {
    if (bytes <= 0 || this.groupSize(group) === 1) return -1;
    const deps = [after, this.dataEnd].filter((d, i, all) => d >= 0 && all.indexOf(d) === i);
    this.dataEnd = this.add({ type: 'collective', name, kind, group, bytes, after: deps, timeSec: 0 });
    return this.dataEnd;
  }

  private groupSize(group: GroupKind): number {
    const { layout } = this.load;
    const spans: Partial<Record<GroupKind, { size: number }>> = layout;
    return spans[group]?.size ?? 1;
  }

  /** All-gathers of a unit's parameters; the last one, -1 when nothing is gathered. */
  private gather(unit: Unit, name: string, after: number): number {
    const { param } = this.load.state;
    const { dense, expert } = this.work.parameters(unit);
    const shards = (group: GroupKind): number => this.groupSize(group);
    const a = this.data(name, 'allGather', 'shard', (dense * param) / shards('shard'), after);
    const b = this.data(name, 'allGather', 'expertShard', (expert * param) / shards('expertShard'), after);
    return b >= 0 ? b : a;
  }

  private scatter(unit: Unit, name: string, after: number): void {
    const { grad } = this.load.state;
    const { dense, expert } = this.work.parameters(unit);
    this.data(name, 'reduceScatter', 'shard', dense * grad, after);
    this.data(name, 'reduceScatter', 'expertShard', expert * grad, after);
  }

  /** Reductions that come once a step, as gradients of a unit are complete. */
  private reduceOnce(unit: Unit, name: string, after: number): void {
    const { zeroStage } = this.c;
    const { grad } = this.load.state;
    const { dense, expert } = this.work.parameters(unit);
    if (zeroStage === 0) {
      this.data(name, 'allReduce', 'data', dense * grad, after);
      this.data(name, 'allReduce', 'expertData', expert * grad, after);
      return;
    }
    if (!this.scattersEachTime()) this.scatter(unit, name, after);
    this.data(name, 'allReduce', 'replicate', (dense * grad) / this.groupSize('shard'), after);
    const expertShare = (expert * grad) / this.groupSize('expertShard');
    this.data(name, 'allReduce', 'expertReplicate', expertShare, after);
  }

  private scattersEachTime(): boolean {
    const { zeroStage } = this.c;
    return zeroStage === 3 || (zeroStage === 2 && this.load.microbatches > 1);
  }

  /** Parameters updated in the step before are gathered segment by segment, ahead of the first forward passes. */
  private gatherAhead(): void {
    for (const [v, units] of this.work.units)
      for (const unit of units) {
        const last = this.gather(unit, `gather parameters${where(v, unit)}`, -1);
        if (last >= 0) this.gathered.set(unit.first, last);
      }
    if (this.problem.stack.gathersUnderForward === 0 && this.dataEnd >= 0) this.chain.push(this.dataEnd);
  }

  private task(task: Task): void {
    const { load, c } = this;
    const { work, stage: v, microbatch: m } = task;
    const forward = work === WORK_FORWARD;
    if (forward && v > 0) this.receive(task, v - 1, c.stageStart[v], false);
    if (work === WORK_BACKWARD && v + 1 < load.virtualStages)
      this.receive(task, v + 1, c.stageStart[v + 1], true);
    const units = this.work.units.get(v)!;
    const shares = this.work.shares(v, work);
    for (let i = 0; i < units.length; i++) {
      const at = forward ? i : units.length - 1 - i;
      this.unit(task, units[at], shares[at]);
    }
    if (forward && v + 1 < load.virtualStages) this.send(task, v + 1, c.stageStart[v + 1], m);
    if (work === WORK_BACKWARD && v > 0) this.send(task, v - 1, c.stageStart[v], m);
  }

  /** One unit of a task: gathers, kernel, the collectives behind it, reductions. */
  private unit(task: Task, unit: Unit, share: number): void {
    const { c, load } = this;
    const { work, stage: v, microbatch: m } = task;
    const label = `${WORK_WORDS[work]} ${m}${where(v, unit)}`;
    const after = [...this.chain];
    const first = work === WORK_FORWARD && m === 0 ? this.gathered.get(unit.first) : undefined;
    if (first !== undefined) after.push(first);
    if (c.zeroStage === 3 && this.problem.phase === 'train' && work !== WORK_WEIGHT_GRADIENT) {
      // One unit ahead: while the kernel before works.
      const gathered = this.gather(unit, `gather for ${label}`, this.kernels[0]);
      if (gathered >= 0) after.push(gathered);
    }
    const kernel = this.add({
      type: 'kernel',
      name: label,
      after: [...new Set(after)],
      timeSec: share * task.timeSec,
      ...this.work.amount(unit, work),
    });
    this.kernels = [this.kernels[1], kernel];
    this.layerCollectives(unit, work, label, kernel);
    const complete = work !== WORK_FORWARD && (work === WORK_WEIGHT_GRADIENT || c.schedule !== 'zb-h1');
    if (!complete) return;
    if (this.scattersEachTime()) this.scatter(unit, `reduce gradients of ${label}`, kernel);
    if (m === load.microbatches - 1) this.reduceOnce(unit, `reduce gradients${where(v, unit)}`, kernel);
    if (this.problem.stack.gradientsUnderBackward === 0 && this.dataEnd > kernel)
      this.chain.push(this.dataEnd);
  }

  /** Collectives of tensor, context and expert parallelism: behind the kernel one after the other, or beside it. */
  private layerCollectives(unit: Unit, work: number, label: string, kernel: number): void {
    const { stack } = this.problem;
    const table = this.load.tableOf[this.rank];
    const exposed = {
      tp: tensorExposed(table.costs, stack),
      cp: contextExposed(table.costs, stack),
      ep: stack.epExposed,
    };
    let behind = kernel;
    let beside = -1;
    for (const { axis, kind, inputBytes, timeSec } of this.work.collectives(unit, work)) {
      const hidden = exposed[axis] < HIDDEN_BELOW;
      // Collectives beside the kernel begin with it, one after the other.
      const after = !hidden ? [behind] : beside >= 0 ? [beside] : this.nodes[kernel].after;
      const name = `${axis} ${label}`;
      const node = this.add({
        type: 'collective',
        name,
        kind,
        group: axis,
        bytes: inputBytes,
        after,
        timeSec,
      });
      if (hidden) beside = node;
      else behind = node;
    }
    this.chain = beside >= 0 ? [behind, beside] : [behind];
  }

  private receive({ stage, microbatch }: Task, from: number, cut: number, gradient: boolean): void {
    this.chain.push(
      this.add({
        type: 'receive',
        name: `receive ${gradient ? 'gradient' : 'activation'} ${microbatch} stage ${stage}`,
        after: [],
        timeSec: 0,
        peer: from % this.load.pp,
        tag: this.tag(from, microbatch, gradient),
        bytes: this.messageBytes(cut),
      }),
    );
  }

  private send({ stage, work }: Task, to: number, cut: number, m: number): void {
    const gradient = work === WORK_BACKWARD;
    const after = this.sendEnd < 0 ? this.chain : [...this.chain, this.sendEnd];
    this.sendEnd = this.add({
      type: 'send',
      name: `send ${gradient ? 'gradient' : 'activation'} ${m} stage ${stage}`,
      after: [...after],
      timeSec: this.load.transferSec[Math.max(stage, to)],
      peer: to % this.load.pp,
      tag: this.tag(stage, m, gradient),
      bytes: this.messageBytes(cut),
    });
  }

  private tag(from: number, microbatch: number, gradient: boolean): number {
    return (microbatch * this.load.virtualStages + from) * 2 + (gradient ? 1 : 0);
  }

  /** Both ends name the same size: that of the sender's table, which is the same on every device kind. */
  private messageBytes(cut: number): number {
    return this.load.tableOf[this.rank].costs.cutBytes[cut];
  }

  /** Sums of tied parameters, then the optimizer. */
  private update(task: Task): void {
    const { c, load } = this;
    const after = [...this.chain, ...(this.dataEnd >= 0 ? [this.dataEnd] : [])];
    for (const { ranks, elements } of new TiedParameters(this.problem.segmentation).sums(c)) {
      if (!ranks.includes(this.rank)) continue;
      const bytes = elements * load.state.grad;
      const sum = { type: 'collective', kind: 'allReduce', group: ranks, bytes, timeSec: 0 } as const;
      after.push(this.add({ ...sum, name: 'sum tied gradients', after: [...new Set(after)] }));
    }
    this.add({
      type: 'kernel',
      name: 'optimizer',
      after: [...new Set(after)],
      timeSec: task.timeSec,
      ...this.work.update(),
    });
  }
}

const WORK_WORDS: Readonly<Record<number, string>> = {
  [WORK_FORWARD]: 'forward',
  [WORK_BACKWARD]: 'backward',
  [WORK_WEIGHT_GRADIENT]: 'weight gradient',
};

function where(v: number, { first, last }: Unit): string {
  return ` stage ${v} segment${last - first > 1 ? `s ${first}-${last - 1}` : ` ${first}`}`;
}
