/**
 * The power-cap episode: how much of its power each pipeline stage may draw, under an energy objective.
 *
 * Actions: one number per stage: 0 = the lowest cap, 1 = the board's limit.
 * Observation: per stage [share of the step it is busy, that relative to the busiest stage, place in the pipeline, first, last];
 *   context [1 / stages, least and mean busy share].
 * Reward: log(energy at full clock / energy) - slowdownWeight * log(time / time at full clock).
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
  evaluate(capWatt: Float64Array): CapPrice;
}

const STAGE_FEATURES = 5;
const CONTEXT_FEATURES = 3;

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
      this.capWatt[s] = leastWatt[s] + action[s] * (mostWatt[s] - leastWatt[s]);
    // The price may share memory with the full one: read both first.
    const fullTimeSec = full.timeSec;
    const fullJoule = full.energyJoule;
    const { timeSec, energyJoule } = this.problem.evaluate(this.capWatt);
    const slowdown = Math.max(0, Math.log(timeSec / fullTimeSec));
    const reward = Math.log(fullJoule / energyJoule) - this.slowdownWeight * slowdown;
    return { observation: this.observation, reward, terminated: true, truncated: false };
  }
}

function observe({ stages, busyShare }: CapProblem): ContinuousObservation {
  let most = 1e-9;
  let least = Infinity;
  let mean = 0;
  for (let s = 0; s < stages; s++) {
    most = Math.max(most, busyShare[s]);
    least = Math.min(least, busyShare[s]);
    mean += busyShare[s] / stages;
  }
  const features = new Float32Array(stages * STAGE_FEATURES);
  for (let s = 0; s < stages; s++)
    features.set(
      [
        busyShare[s],
        busyShare[s] / most,
        stages === 1 ? 0 : s / (stages - 1),
        s === 0 ? 1 : 0,
        s === stages - 1 ? 1 : 0,
      ],
      s * STAGE_FEATURES,
    );
  return { stageCount: stages, stages: features, context: Float32Array.of(1 / stages, least, mean) };
}
