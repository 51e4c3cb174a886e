/**
 * What teachers show, as experiences for replay: an episode played as the teacher tells, with its rewards, summed over n
 * steps like the agent's own. Any expert that can name its next action is a teacher: a classical solver's plan in the plan
 * episode, FCFS, SJF, round-robin or 1F1B in the schedule episode.
 */
import type { Candidate } from '../plan/types.js';
import type { Environment, Observation, Step } from './environment.js';
import { NStepReturns } from './nstep.js';
import type { PlanEpisode } from './planEpisode.js';
import type { Experience } from './replay.js';

/** Next action for what is seen now; -1 = this teacher has no answer here. */
export type Teacher = (observation: Observation) => number;

/**
 * Plays an episode as a teacher tells, until its end or until the teacher has no answer.
 *
 * @param onStep told of every decision; `choice` is its place among the legal options
 * @returns whether the episode came to its end
 */
export function follow(
  environment: Environment,
  seed: number,
  teacher: Teacher,
  onStep: (observation: Observation, choice: number, step: Step) => void,
): boolean {
  let observation = environment.reset(seed);
  for (;;) {
    const action = teacher(observation);
    if (action < 0) return false;
    let choice = 0;
    for (let i = 0; i < action; i++) choice += observation.mask[i];
    const step = environment.step(action);
    onStep(observation, choice, step);
    if (step.terminated || step.truncated) return true;
    observation = step.observation;
  }
}

/**
 * Plays one episode as the teacher tells. Its price counts like any other.
 *
 * @returns the experiences; [] when the teacher stopped before the end
 */
export function demonstrateEpisode(
  environment: Environment,
  seed: number,
  teacher: Teacher,
  returns: { readonly nStep: number; readonly discount: number },
): Experience[] {
  const experiences: Experience[] = [];
  const sums = new NStepReturns(returns.nStep, returns.discount, (x) => experiences.push(x), true);
  const finished = follow(environment, seed, teacher, (observation, choice, step) =>
    sums.step(observation, choice, step),
  );
  return finished ? experiences : [];
}

/** A classical solver's plan as a teacher of the plan episode; cuts that no rule gives become the nearest that one gives. */
export function planTeacher(episode: PlanEpisode, plan: Candidate): Teacher {
  return () => episode.actionToward(plan);
}

/** The actions that lead to a plan, `null` when the episode offers no such plan. Leaves the episode finished or stopped. */
export function actionsToward(episode: PlanEpisode, plan: Candidate): number[] | null {
  const actions: number[] = [];
  episode.reset(0);
  for (;;) {
    const action = episode.actionToward(plan);
    if (action < 0) return null;
    actions.push(action);
    if (episode.step(action).terminated) return actions;
  }
}
