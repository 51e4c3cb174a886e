/**
 * The contract between agents and decision processes (Gymnasium's, Towers et al. 2024, with a variable set of actions).
 * At each step the environment offers `optionCount` candidates; an action is the index of one of them. A policy scores
 * candidates from their features, so one network serves any graph, any device count and any cluster.
 */

/** Most options that a step may offer, most features that an option or a context may have. */
export const MAX_OPTIONS = 64;
export const MAX_FEATURES = 64;

/** What never changes about an environment. */
export interface EnvironmentSpec {
  readonly name: string;
  /** Features of one option, and of the context that all options of a step share. */
  readonly optionFeatures: number;
  readonly contextFeatures: number;
  /** No episode takes more steps. */
  readonly maxSteps: number;
}

/** What the agent sees. Owned by the reader: an environment never writes to one it has handed out. */
export interface Observation {
  readonly optionCount: number;
  /** Row-major [optionCount, spec.optionFeatures]; features are of order 1. */
  readonly options: Float32Array;
  /** 1 = may be chosen; at least one is. Length optionCount. */
  readonly mask: Uint8Array;
  /** [spec.contextFeatures]. */
  readonly context: Float32Array;
}

/** What a reward is made of where a limit may be broken: reward = gain - excess; a learner may weigh the excess otherwise. */
export interface RewardComponents {
  readonly gain: number;
  /** By how much the limit was broken, 0 = kept. */
  readonly excess: number;
}

export interface Step {
  /** What is offered next; after the last step, whatever the environment shows (never acted on). */
  readonly observation: Observation;
  readonly reward: number;
  /** The task came to its end. */
  readonly terminated: boolean;
  /** The episode was cut off by a limit outside the task (the value of the last state still counts). */
  readonly truncated: boolean;
  /** Absent where nothing limits what is done: the reward is all gain. */
  readonly components?: RewardComponents;
}

export interface Environment {
  readonly spec: EnvironmentSpec;
  /** Starts an episode; the same seed gives the same episode for the same actions. */
  reset(seed: number): Observation;
  /** @throws Error `internal: ...` when the action is not offered, is masked, or the episode is over. */
  step(action: number): Step;
}

/** What one of several agents sees. */
export interface AgentObservation extends Observation {
  /** The agent whose turn it is: 0 .. agentCount - 1. */
  readonly agent: number;
}

/**
 * Several agents that act in turn on one task and share its reward. Whoever knows nothing of agents may treat it as an
 * environment with one.
 */
export interface MultiAgentEnvironment extends Environment {
  /** Fixed while an episode runs; `reset` may change it. */
  readonly agentCount: number;
  /** Whose turn it was, is or would be where this was observed; the observation must be this environment's. */
  agentOf(observation: Observation): number;
}

/** Fails on an action that the observation does not allow. */
export function checkAction(observation: Observation, action: number): void {
  if (!Number.isInteger(action) || action < 0 || action >= observation.optionCount)
    throw new Error(`internal: action ${action} of ${observation.optionCount} options`);
  if (observation.mask[action] !== 1) throw new Error(`internal: action ${action} is masked`);
}
