/**
 * The power-cap episode: how much power each pipeline stage, or each group of its tasks, may draw, under an energy objective.
 *
 * Actions: one number per stage (or group): 0 = the lowest cap, 7/8 and above = the board's limit.
 * Observation: per stage [share of the step it is busy, that relative to the busiest stage, place in the pipeline, first, last,
 *   backward pass, slack, none of it]; context [1 / stages, least and mean busy share].
 * Reward: log(energy at full clock / energy) - p, p = slowdownWeight * log(time / time at full clock); beyond p = 1 it grows as
 *   1 + log(p), or the worst that can happen would be all that a critic sees.
 * Start: the plan; the seed does not matter. End: after one step.
 */
import type { ContinuousEnvironment, ContinuousObservation, ContinuousStep } from './continuous.js';
import { checkContinuousAction } from './continuous.js';

/** What a step takes under caps; owned by the one who answers, overwritten by the next answer. */
export interface CapPrice {
  readonly timeSec: number;
  readonly energyJoule: number;
}

/** The part of `simulate/frequencyProblem` that the episode needs; anything that prices caps will do. */
export interface CapProblem {
  readonly stages: number;
  readonly leastWatt: ArrayLike<number>;
  readonly mostWatt: ArrayLike<number>;
  readonly full: CapPrice;
  /** Share of the step at full clock that each stage works. */
  readonly busyShare: ArrayLike<number>;
  /** Where what is capped is less than a stage. By group: place in the pipeline (0..1), backward pass (0 or 1), slack in task lengths. */
  readonly place?: ArrayLike<number>;
  readonly isBackward?: ArrayLike<number>;
  readonly slackShare?: ArrayLike<number>;
  /** Caps that an expert sets, watt. */
  readonly expertWatt?: ArrayLike<number>;
  evaluate(capWatt: Float64Array): CapPrice;
}

const STAGE_FEATURES = 8;
const CONTEXT_FEATURES = 3;
/** Actions from here on mean no cap: a squashed Gaussian never reaches 1. */
export const LIMIT_FROM = 7 / 8;
/** Below it a task cannot be slowed by a level. */
const LEAST_SLACK = 0.02;

export class PowerCapEpisode implements ContinuousEnvironment {
  readonly spec = {
    name: 'power-caps',
    stageFeatures: STAGE_FEATURES,
    contextFeatures: CONTEXT_FEATURES,
    maxSteps: 1,
  };
  /** Caps of the last step, watt. */
  readonly capWatt: Float64Array;
  private readonly observation: ContinuousObservation;
  private running = false;

  /** @param slowdownWeight what a logarithm of time costs in logarithms of energy: high = no slowdown is accepted */
  constructor(
    private readonly problem: CapProblem,
    private readonly slowdownWeight: number,
  ) {
    this.capWatt = new Float64Array(problem.stages);
    this.observation = observe(problem);
  }

  reset(_seed: number): ContinuousObservation {
    this.running = true;
    return this.observation;
  }

  step(action: Float32Array): ContinuousStep {
    if (!this.running) throw new Error('internal: step without a running episode');
    checkContinuousAction(this.observation, action);
    this.running = false;
    const { leastWatt, mostWatt, full } = this.problem;
    for (let s = 0; s < action.length; s++)
      this.capWatt[s] = leastWatt[s] + Math.min(1, action[s] / LIMIT_FROM) * (mostWatt[s] - leastWatt[s]);
    // The price may share memory with the full one: read both first.
    const fullTimeSec = full.timeSec;
    const fullJoule = full.energyJoule;
    const { timeSec, energyJoule } = this.problem.evaluate(this.capWatt);
    const slowdown = Math.max(0, Math.log(timeSec / fullTimeSec));
    const price = this.slowdownWeight * slowdown;
    const penalty = price <= 1 ? price : 1 + Math.log(price);
    const reward = Math.log(fullJoule / energyJoule) - penalty;
    return { observation: this.observation, reward, terminated: true, truncated: false };
  }
}

function observe({ stages, busyShare, place, isBackward, slackShare }: CapProblem): ContinuousObservation {
  let most = 1e-9;
  let least = Infinity;
  let mean = 0;
  for (let s = 0; s < stages; s++) {
    most = Math.max(most, busyShare[s]);
    least = Math.min(least, busyShare[s]);
    mean += busyShare[s] / stages;
  }
  const features = new Float32Array(stages * STAGE_FEATURES);
  for (let s = 0; s < stages; s++) {
    const at = place?.[s] ?? (stages === 1 ? 0 : s / (stages - 1));
    const slack = slackShare?.[s] ?? 0;
    features.set(
      [
        busyShare[s],
        busyShare[s] / most,
        at,
        at === 0 ? 1 : 0,
        at === 1 ? 1 : 0,
        isBackward?.[s] ?? 0,
        Math.tanh(slack),
        slack < LEAST_SLACK ? 1 : 0,
      ],
      s * STAGE_FEATURES,
    );
  }
  return { stageCount: stages, stages: features, context: Float32Array.of(1 / stages, least, mean) };
}
