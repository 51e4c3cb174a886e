/**
 * Deep Q-learning for several agents that act in turn on one task: one network for all (parameter sharing, Gupta et al.
 * 2017) and one reward for the team. For each agent its own turns are the steps: what it decided is credited with
 * everything that the team earned until its n-th turn after, and the rest is judged by what it sees then.
 */
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { DqnOptions, EpisodeProgress, WarmStart } from './dqn.js';
import { DEFAULT_DQN, exploreRow, learn } from './dqn.js';
import { inferQ } from './duelling.js';
import type { MultiAgentEnvironment, Observation, Step } from './environment.js';
import { ConstraintMultiplier } from './multiplier.js';
import { NStepReturns } from './nstep.js';
import { Replay } from './replay.js';
import { packBatch, Scorer } from './scorer.js';

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
class Team {
  private returns: NStepReturns[] = [];
  private hasActed: boolean[] = [];

  constructor(
    private readonly environment: MultiAgentEnvironment,
    private readonly options: DqnOptions,
    private readonly replay: Replay,
  ) {}

  begin(): void {
    const { nStep, discount } = this.options;
    this.hasActed = new Array<boolean>(this.environment.agentCount).fill(false);
    this.returns = this.hasActed.map(
      () => new NStepReturns(nStep, discount, (experience) => this.replay.add(experience)),
    );
  }

  /** One agent's turn and what the team earned by it. */
  turn(observation: Observation, choice: number, step: Step): void {
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
  const environments = Array.from({ length: options.environments }, (_, i) => makeEnvironment(i));
  const { spec } = environments[0];
  const online = new Scorer(tf, spec, options.hidden, random.fork());
  if (start.scorer !== undefined) online.follow(start.scorer, 1);
  const target = new Scorer(tf, spec, options.hidden, random.fork());
  target.follow(online, 1);
  const adam = new Adam(tf, online.variables, options.maxGradientNorm);
  const replay = new Replay(options.replay);
  for (const experience of start.demonstrations ?? []) replay.add(experience);
  const multiplier = new ConstraintMultiplier();
  const teams = environments.map((environment) => new Team(environment, options, replay));
  const observations = environments.map((e) => e.reset(random.uint32()));
  for (const team of teams) team.begin();
  const episodeReturns = new Float64Array(environments.length);
  let episode = 0;
  let updates = 0;
  let decisions = 0;
  while (progress() < 1) {
    const batch = packBatch(spec, observations);
    const q = inferQ(online, batch);
    for (let i = 0; i < environments.length && progress() < 1; i++) {
      const from = batch.rowStart[i];
      const row = exploreRow(q, from, batch.rowStart[i + 1], options.exploration, progress(), random);
      const step = environments[i].step(batch.rowOption[row]);
      teams[i].turn(observations[i], row - from, step);
      observations[i] = step.observation;
      episodeReturns[i] += step.reward;
      decisions++;
      if (!step.terminated && !step.truncated) continue;
      multiplier.observe(step.components?.excess ?? 0);
      onEpisode?.({ episode: episode++, episodeReturn: episodeReturns[i], updates });
      observations[i] = environments[i].reset(random.uint32());
      teams[i].begin();
      episodeReturns[i] = 0;
    }
    if (replay.size < options.warmup) continue;
    for (; (updates + 1) * options.decisionsPerUpdate <= decisions && progress() < 1; updates++) {
      learn(online, target, adam, replay, multiplier.value, options, Math.min(1, progress()), random);
      target.follow(online, options.targetShare);
    }
  }
  target.dispose();
  return online;
}
