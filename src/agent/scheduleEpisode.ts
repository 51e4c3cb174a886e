/**
 * The schedule episode: what every rank of a pipeline does next.
 *
 * Actions: whenever a rank is free, one of its ready tasks (forward passes, backward passes, weight gradients where they
 *   are tasks of their own; the oldest of each kind, the eight oldest where microbatches differ in size) or waiting;
 *   whenever two messages wait for one link, which goes first. Forward passes beyond the rank's memory are masked, and so
 *   is waiting when nobody works.
 * Observation: context (the rank and what it has done, holds and expects; the whole schedule so far) and per option its
 *   kind, length, age and effect on memory.
 * Reward: log of how much the bound on the makespan grows, negative or 0: idle time costs when it happens; with the last
 *   task also log(reference / bound at the start), so that an episode sums to log(reference / makespan), where the
 *   reference is 1F1B.
 * Start: nothing done; the seed does not matter. End: when every task is done.
 */
import type { Environment, EnvironmentSpec, Observation, Step } from './environment.js';
import { checkAction } from './environment.js';
import { playSchedule, SCHEDULE_EXPERTS } from './scheduleExperts.js';
import type { ScheduleExpertName } from './scheduleExperts.js';
import type { ScheduleProblem } from './scheduleState.js';
import { BACKWARD, checkScheduleSize, FORWARD, ScheduleState, WAIT, WEIGHT } from './scheduleState.js';

/** Kinds of options: three tasks, two directions of messages, waiting. */
const OPTION_KINDS = 6;
export const SCHEDULE_OPTION_FEATURES = OPTION_KINDS + 7;
export const SCHEDULE_CONTEXT_FEATURES = 24;

export class ScheduleEpisode implements Environment {
  readonly spec: EnvironmentSpec;
  readonly state: ScheduleState;
  /** Makespan of 1F1B under the same memory. */
  readonly referenceSec: number;
  private readonly startSec: number;
  /** Mean seconds of a task. */
  private readonly meanSec: number;
  private observation: Observation | null = null;

  constructor(problem: ScheduleProblem) {
    checkScheduleSize(problem);
    this.state = new ScheduleState(problem);
    this.referenceSec = playSchedule(this.state, SCHEDULE_EXPERTS['1f1b']);
    this.state.start();
    this.startSec = Math.max(this.state.boundSec(), Number.MIN_VALUE);
    const tasks = this.state.kinds.length * problem.ranks * problem.microbatches;
    let work = 0;
    for (let r = 0; r < problem.ranks; r++)
      work += problem.microbatches * (problem.forwardSec[r] + problem.backwardSec[r]);
    this.meanSec = work > 0 ? work / tasks : 1;
    this.spec = {
      name: 'schedule',
      optionFeatures: SCHEDULE_OPTION_FEATURES,
      contextFeatures: SCHEDULE_CONTEXT_FEATURES,
      // Tasks and messages; a wait for each that becomes ready; and, each time all wait, one more wait of every rank.
      maxSteps: tasks * (4 + problem.ranks),
    };
  }

  /** Makespan of the last finished episode. */
  get makespanSec(): number {
    return this.state.boundSec();
  }

  /** What an expert would do now: demonstrations are episodes of these. */
  expertAction(name: ScheduleExpertName): number {
    return SCHEDULE_EXPERTS[name](this.state);
  }

  reset(_seed: number): Observation {
    this.state.start();
    return (this.observation = this.observe());
  }

  step(action: number): Step {
    const { state } = this;
    if (this.observation === null || state.done) throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const before = Math.max(state.boundSec(), Number.MIN_VALUE);
    state.choose(action);
    let reward = Math.min(0, Math.log(before / state.boundSec()));
    if (state.done) reward += Math.log(this.referenceSec / this.startSec);
    else this.observation = this.observe();
    return { observation: this.observation, reward, terminated: state.done, truncated: false };
  }

  private observe(): Observation {
    const { state } = this;
    const n = state.offerCount;
    const options = new Float32Array(n * SCHEDULE_OPTION_FEATURES);
    for (let i = 0; i < n; i++)
      if (state.offerLegal[i] === 1) this.option(options, i * SCHEDULE_OPTION_FEATURES, i);
    return { optionCount: n, options, mask: state.offerLegal.slice(0, n), context: this.context() };
  }

  private option(out: Float32Array, at: number, i: number): void {
    const { state, meanSec } = this;
    const { problem, rank } = state;
    const kind = state.offerKind[i];
    const m = state.offerMicrobatch[i];
    out[at + kind] = 1;
    if (kind === WAIT) return;
    let k = at + OPTION_KINDS;
    out[k++] = clip(state.durationSec(kind, rank, m) / meanSec);
    out[k++] = clip((state.nowSec - state.offerReadySec(i)) / meanSec / 4);
    out[k++] = this.memory(state.bytesAfter(kind, rank, m), rank);
    out[k++] = m / problem.microbatches;
    out[k++] = problem.sizes === null ? 1 : clip(problem.sizes[m]);
    // How far the microbatch has come on its way down and up.
    const forward = kind === FORWARD || kind === 3;
    out[k++] = (forward ? rank : 2 * problem.ranks - 1 - rank) / (2 * problem.ranks);
    out[k] = forward && problem.ranks > 1 ? (problem.ranks - 1 - rank) / (problem.ranks - 1) : 0;
  }

  private context(): Float32Array {
    const { state, meanSec } = this;
    const { problem, rank: r } = state;
    const { ranks, microbatches: total } = problem;
    const out = new Float32Array(SCHEDULE_CONTEXT_FEATURES);
    const done = (kind: number): number => state.begun[kind * ranks + r];
    let working = 0;
    for (let q = 0; q < ranks; q++) working += state.busy[q];
    const last = state.lastKind[r];
    let k = 0;
    out[k++] = state.asksLink ? 1 : 0;
    out[k++] = r / ranks;
    out[k++] = (ranks - 1 - r) / ranks;
    out[k++] = done(FORWARD) / total;
    out[k++] = done(BACKWARD) / total;
    out[k++] = done(WEIGHT) / total;
    out[k++] = clip((done(FORWARD) - done(BACKWARD)) / ranks);
    // 0 where 1F1B would have this many microbatches in flight.
    out[k++] = clip((done(FORWARD) - done(BACKWARD) - (ranks - r)) / 2);
    out[k++] = clip((done(BACKWARD) - done(WEIGHT)) / ranks);
    out[k++] = this.memory(state.heldBytes[r], r);
    out[k++] = this.memory(state.heldBytes[r] + problem.savedBytes[r], r);
    for (const kind of [FORWARD, BACKWARD, WEIGHT]) out[k++] = Math.log2(1 + state.readyCount(kind, r)) / 2;
    out[k++] = Math.min(2, state.inbound[2 * r]);
    out[k++] = Math.min(2, state.inbound[2 * r + 1]);
    out[k++] = working / ranks;
    out[k++] = r + 1 < ranks ? state.busy[r + 1] : 0;
    out[k++] = last === FORWARD ? 1 : 0;
    out[k++] = last === BACKWARD ? 1 : 0;
    out[k++] = clip(10 * Math.log(state.boundSec() / this.startSec));
    out[k++] = clip((problem.forwardSec[r] + problem.backwardSec[r]) / (state.kinds.length * meanSec));
    out[k++] = Math.log2(ranks) / 4;
    out[k] = Math.log2(total / ranks) / 4;
    return out;
  }

  private memory(bytes: number, r: number): number {
    const limit = this.state.problem.limitBytes[r];
    return limit === Infinity || limit <= 0 ? 0 : clip(bytes / limit);
  }
}

function clip(x: number): number {
  return Math.max(-8, Math.min(8, x));
}
