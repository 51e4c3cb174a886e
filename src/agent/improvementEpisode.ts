/**
 * The improvement episode: the stages of a finished plan improve it in turn.
 *
 * Agents: one per virtual stage (the device group that holds it); all see the world from their own place, so one policy
 *   serves them all.
 * Actions: do nothing; hand 1, 2 or 4 blocks to the stage before or after; another recompute policy for the family of
 *   layers that the stage mostly holds; more or less sharding of the training state (ZeRO stage, ranks to shard over);
 *   larger or smaller microbatches. What leaves the plan space is masked.
 * Observation: context (the stage's own load, memory and messages beside its neighbours' and the slowest's, the plan,
 *   how far the episode is) and per option its kind and first-order effect on time and memory, here and next door.
 * Reward: to all agents alike, log of the improvement of the objective by the move, with a penalty that grows with
 *   memory overflow counted into both sides: an episode sums to log(start / end). Doing nothing earns 0 and costs no
 *   evaluation.
 * Start: a plan drawn for the seed. End: after `rounds` turns of every stage, or when all in a row did nothing.
 */
import type { Candidate } from '../plan/types.js';
import { microbatchesOf } from '../plan/candidate.js';
import type { Cutter } from '../search/cutRules.js';
import type { PriceMemo } from '../search/memo.js';
import type { PlanSpace } from '../search/space.js';
import { Layout } from '../simulate/layout.js';
import type {
  AgentObservation,
  EnvironmentSpec,
  MultiAgentEnvironment,
  Observation,
  Step,
} from './environment.js';
import { checkAction } from './environment.js';
import type { Move } from './improvementMoves.js';
import { familyOf, MOVE_KINDS, movesOf, policyOf } from './improvementMoves.js';

export const IMPROVEMENT_OPTION_FEATURES = MOVE_KINDS.length + 7;
export const IMPROVEMENT_CONTEXT_FEATURES = 34;
/** Added to the logarithm for a plan that does not fit, and as much per doubling of memory beyond capacity. */
const OVERFLOW_PENALTY = 1;

/** First-order load of every stage of a plan. */
interface Loads {
  /** Seconds of a microbatch, and share of the device's memory used, per virtual stage. */
  readonly timeSec: Float64Array;
  readonly memory: Float64Array;
  readonly slowestSec: number;
  readonly fullest: number;
  /** Slowest stage over all microbatches and the fill of the pipeline, seconds. */
  readonly stepSec: number;
}

export class ImprovementEpisode implements MultiAgentEnvironment {
  readonly spec: EnvironmentSpec;
  /** The plan as it stands; after the last step, the episode's result. */
  plan: Candidate;
  private start: Candidate;
  /** Logarithm of the plan's value, and what overflow adds to it. */
  private logValue = 0;
  private excess = 0;
  private turn = 0;
  private idle = 0;
  private isOver = true;
  private moves: Move[] = [];
  private loads: Loads;
  private observation: AgentObservation | null = null;
  private readonly layout: Layout;

  /**
   * @param startOf a legal plan for a seed, the same one each time
   * @param rounds turns of each stage
   */
  constructor(
    private readonly space: PlanSpace,
    private readonly cutter: Cutter,
    private readonly memo: PriceMemo,
    private readonly startOf: (seed: number) => Candidate,
    private readonly rounds = 4,
  ) {
    this.layout = new Layout(space.problem.cluster);
    this.plan = this.start = startOf(0);
    this.loads = this.measure(this.plan);
    this.spec = {
      name: 'improvement',
      optionFeatures: IMPROVEMENT_OPTION_FEATURES,
      contextFeatures: IMPROVEMENT_CONTEXT_FEATURES,
      maxSteps: rounds * space.problem.segmentation.segmentCount,
    };
  }

  get agentCount(): number {
    return this.start.stageStart.length - 1;
  }

  agentOf(observation: Observation): number {
    return (observation as AgentObservation).agent;
  }

  reset(seed: number): Observation {
    this.plan = this.start = this.startOf(seed);
    this.price();
    this.turn = 0;
    this.idle = 0;
    this.isOver = false;
    this.loads = this.measure(this.plan);
    return (this.observation = this.observe());
  }

  step(action: number): Step {
    if (this.observation === null || this.isOver) throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const { kind, after } = this.moves[action];
    let gain = 0;
    let excess = 0;
    if (kind === 'stay') this.idle++;
    else {
      this.idle = 0;
      this.plan = after!;
      const before = { logValue: this.logValue, excess: this.excess };
      this.price();
      gain = before.logValue - this.logValue;
      // Negative where the plan now overflows by less.
      excess = this.excess - before.excess;
      this.loads = this.measure(this.plan);
    }
    this.turn++;
    this.isOver = this.idle === this.agentCount || this.turn === this.rounds * this.agentCount;
    if (!this.isOver) this.observation = this.observe();
    const { observation, isOver } = this;
    return {
      observation,
      reward: gain - excess,
      terminated: isOver,
      truncated: false,
      components: { gain, excess },
    };
  }

  private price(): void {
    const { value, fits, memoryRatio } = this.memo.price(this.plan);
    this.logValue = Math.log(value);
    this.excess = fits ? 0 : OVERFLOW_PENALTY * (1 + Math.log2(Math.max(1, memoryRatio)));
  }

  private observe(): AgentObservation {
    const agent = this.turn % this.agentCount;
    this.moves = movesOf(this.space, this.plan, agent);
    const n = this.moves.length;
    const options = new Float32Array(n * IMPROVEMENT_OPTION_FEATURES);
    const mask = new Uint8Array(n);
    this.moves.forEach((move, i) => {
      mask[i] = move.after === null ? 0 : 1;
      if (move.after !== null) this.option(options, i * IMPROVEMENT_OPTION_FEATURES, move, move.after, agent);
    });
    return { optionCount: n, options, mask, context: this.context(agent), agent };
  }

  private option(out: Float32Array, at: number, move: Move, after: Candidate, agent: number): void {
    const { loads } = this;
    out[at + MOVE_KINDS.indexOf(move.kind)] = 1;
    if (move.kind === 'stay') return;
    const next = this.measure(after);
    // Whom the move meets: the neighbour that takes the blocks, else the slowest stage.
    const other = move.kind === 'to-previous' ? agent - 1 : move.kind === 'to-next' ? agent + 1 : -1;
    let k = at + MOVE_KINDS.length;
    out[k++] = move.amount / 2;
    out[k++] = clip(8 * Math.log(next.stepSec / loads.stepSec));
    out[k++] = clip(4 * Math.log(next.timeSec[agent] / loads.timeSec[agent]));
    out[k++] = other < 0 ? 0 : clip(4 * Math.log(next.timeSec[other] / loads.slowestSec));
    out[k++] = ratio(next.memory[agent]);
    out[k++] = ratio(next.fullest);
    out[k] = (next.fullest <= 1 ? 1 : 0) - (loads.fullest <= 1 ? 1 : 0);
  }

  private context(agent: number): Float32Array {
    const { plan, space, loads } = this;
    const { problem } = space;
    const n = this.agentCount;
    const out = new Float32Array(IMPROVEMENT_CONTEXT_FEATURES);
    const mean = loads.timeSec.reduce((a, b) => a + b, 0) / n;
    const near = (v: number): [number, number, number] =>
      v < 0 || v >= n ? [0, 0, 0] : [1, clip(4 * Math.log(loads.timeSec[v] / mean)), ratio(loads.memory[v])];
    const microbatches = microbatchesOf(plan, problem.globalBatch);
    const family = familyOf(space, plan, agent);
    const cuts = this.cutter.model.table(plan, this.layout.deviceGroup[agent % plan.pp]).costs.cutBytes;
    const message = (cut: number): number =>
      cut === 0 || cut === problem.segmentation.segmentCount ? 0 : Math.log2(1 + cuts[cut] / 2 ** 20) / 8;
    const policies = [policyOf(space, plan, family), policyOf(space, plan, 1 - family)];
    [
      agent / n,
      (n - 1 - agent) / n,
      ...near(agent).slice(1),
      clip(4 * Math.log(loads.timeSec[agent] / loads.slowestSec)),
      ...near(agent - 1),
      ...near(agent + 1),
      ratio(loads.fullest),
      Math.log2(plan.stageStart[agent + 1] - plan.stageStart[agent]) / 4,
      message(plan.stageStart[agent]),
      message(plan.stageStart[agent + 1]),
      family,
      ...policies.flatMap((p) => [p >= 1 ? 1 : 0, p === 2 ? 1 : 0]),
      plan.zeroStage / 3,
      Math.log2(plan.dpShard) / 4,
      Math.log2(plan.dpReplicate) / 4,
      Math.log2(plan.tp * plan.cp) / 4,
      Math.log2(plan.pp) / 4,
      plan.vpp > 1 ? Math.log2(plan.vpp) / 2 : 0,
      Math.log2(plan.microbatch) / 4,
      Math.log2(microbatches) / 4,
      Math.min(2, (plan.pp - 1) / (microbatches * plan.vpp)),
      plan.schedule === 'gpipe' ? 1 : 0,
      plan.schedule === 'zb-h1' ? 1 : 0,
      this.turn / (this.rounds * n),
      this.idle / n,
    ].forEach((x, i) => (out[i] = x));
    return out;
  }

  private measure(plan: Candidate): Loads {
    const { cutter, layout, space } = this;
    const { cluster, globalBatch } = space.problem;
    const { model } = cutter;
    const { stageStart, pp, vpp } = plan;
    model.take(plan, 0, false);
    layout.place(plan);
    const n = stageStart.length - 1;
    const timeSec = new Float64Array(n);
    const memory = new Float64Array(n);
    const bytes = new Float64Array(pp);
    let slowestSec = 0;
    for (let v = 0; v < n; v++) {
      const r = v % pp;
      timeSec[v] = model.timeSec(r, stageStart[v], stageStart[v + 1]);
      bytes[r] += model.memoryBytes(r, stageStart[v], stageStart[v + 1]);
      slowestSec = Math.max(slowestSec, timeSec[v]);
    }
    let fullest = 0;
    for (let v = 0; v < n; v++) {
      const r = v % pp;
      const reserved = cluster.groups[layout.deviceGroup[r]].device.reservedBytes;
      memory[v] = bytes[r] / (layout.capacityBytes[r] - reserved);
      fullest = Math.max(fullest, memory[v]);
    }
    const stepSec = slowestSec * (microbatchesOf(plan, globalBatch) * vpp + pp - 1);
    return { timeSec, memory, slowestSec, fullest, stepSec };
  }
}

/** log2 of a share, within +-4: 0 is full. */
function ratio(share: number): number {
  return Math.max(-4, Math.min(4, Math.log2(share + 1e-9)));
}

function clip(x: number): number {
  return Math.max(-8, Math.min(8, x));
}
