/**
 * Deep Q-learning for several agents that act in turn on one task: one network for all (parameter sharing, Gupta et al.
 * 2017) and one reward for the team. For each agent its own turns are the steps: what it decided is credited with
 * everything that the team earned until its n-th turn after, and the rest is judged by what it sees then. All else is
 * the loop of `dqn`.
 */
import type { Random } from '../util/random.js';
import type { TensorFlow } from './backend.js';
import type { CollectorOptions, Credit, EpisodeProgress, WarmStart } from './collector.js';
import type { DqnOptions } from './dqn.js';
import { DEFAULT_DQN, trainDqn } from './dqn.js';
import type { MultiAgentEnvironment, Observation, Step } from './environment.js';
import { NStepReturns } from './nstep.js';
import type { Experience } from './replay.js';
import type { Scorer } from './scorer.js';

/**
 * Later turns count a little less: agents undo each other's work if waiting costs nothing. Many steps, because it takes
 * several agents' turns until a hand-over pays; exploration in units of a team's reward.
 */
export const DEFAULT_MULTI_AGENT: DqnOptions = {
  ...DEFAULT_DQN,
  discount: 0.98,
  nStep: 6,
  exploration: { kind: 'boltzmann', from: 0.5, to: 0.02 },
};

/** Turns of the agents of one environment, gathered into experiences. */
class Team implements Credit {
  private returns: NStepReturns[] = [];
  private hasActed: boolean[] = [];

  constructor(
    private readonly environment: MultiAgentEnvironment,
    private readonly options: CollectorOptions,
    private readonly emit: (experience: Experience) => void,
  ) {}

  begin(): void {
    const { nStep, discount } = this.options;
    this.hasActed = new Array<boolean>(this.environment.agentCount).fill(false);
    this.returns = this.hasActed.map(() => new NStepReturns(nStep, discount, this.emit));
  }

  /** One agent's turn and what the team earned by it. */
  step(observation: Observation, choice: number, step: Step): void {
    const agent = this.environment.agentOf(observation);
    // Its last decision arrives where it stands now.
    if (this.hasActed[agent]) this.returns[agent].arrive(observation);
    this.hasActed[agent] = true;
    this.returns[agent].decide(observation, choice);
    for (const returns of this.returns) returns.earn(step);
    if (step.terminated || step.truncated)
      for (const returns of this.returns) returns.end(step.terminated ? null : step.observation);
  }
}

/**
 * Trains one network of action values for all agents until `progress()` reaches 1 and returns it. The caller disposes of it.
 *
 * @param makeEnvironment builds environment number i; all are of one spec, their numbers of agents may differ
 * @param progress share of the training done, 0..1
 */
export function trainMultiAgent(
  tf: TensorFlow,
  makeEnvironment: (index: number) => MultiAgentEnvironment,
  options: DqnOptions,
  random: Random,
  progress: () => number,
  onEpisode?: (report: EpisodeProgress) => void,
  start: WarmStart = {},
): Scorer {
  return trainDqn(
    tf,
    makeEnvironment,
    options,
    random,
    progress,
    onEpisode,
    start,
    (environment, settings, emit) => new Team(environment, settings, emit),
  );
}
