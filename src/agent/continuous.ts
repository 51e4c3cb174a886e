/**
 * The contract between a learner and a process whose actions are numbers: one number in [0, 1] for each of several
 * stages. Like `environment`, nothing is sized by the number of stages: a network sees one stage at a time.
 */

export interface ContinuousSpec {
  readonly name: string;
  /** Features of one stage, and of the context that all stages share. */
  readonly stageFeatures: number;
  readonly contextFeatures: number;
  /** No episode takes more steps. */
  readonly maxSteps: number;
}

/** Owned by the reader, as `Observation`. */
export interface ContinuousObservation {
  readonly stageCount: number;
  /** Row-major [stageCount, spec.stageFeatures]; features are of order 1. */
  readonly stages: Float32Array;
  /** [spec.contextFeatures]. */
  readonly context: Float32Array;
}

export interface ContinuousStep {
  readonly observation: ContinuousObservation;
  readonly reward: number;
  readonly terminated: boolean;
  readonly truncated: boolean;
}

export interface ContinuousEnvironment {
  readonly spec: ContinuousSpec;
  reset(seed: number): ContinuousObservation;
  /**
   * @param action [stageCount], each within [0, 1]
   * @throws Error `internal: ...` when its length or a number is out of range, or the episode is over
   */
  step(action: Float32Array): ContinuousStep;
}

/** Fails on an action that is not one number in [0, 1] per stage. */
export function checkContinuousAction({ stageCount }: ContinuousObservation, action: Float32Array): void {
  if (action.length !== stageCount)
    throw new Error(`internal: ${action.length} numbers for ${stageCount} stages`);
  for (const x of action) if (!(x >= 0 && x <= 1)) throw new Error(`internal: action ${x} is not in [0, 1]`);
}
