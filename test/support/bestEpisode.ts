/** The best episode of a small deterministic environment, by trying every sequence of actions. */
import type { Environment, Observation } from '../../src/agent/environment.js';

/** Largest undiscounted reward of any episode. */
export function bestEpisode(environment: Environment, mostSteps = 5e6): number {
  let best = -Infinity;
  let steps = 0;
  /** Actions from the start, and how many options there were; rewards after each. */
  const path: { action: number; observation: Observation; sum: number }[] = [];
  let observation = environment.reset(0);
  let action = observation.mask.indexOf(1);
  for (;;) {
    const before = path.at(-1)?.sum ?? 0;
    const step = environment.step(action);
    if (++steps > mostSteps) throw new Error(`more than ${mostSteps} steps`);
    const sum = before + step.reward;
    path.push({ action, observation, sum });
    if (step.terminated || step.truncated) best = Math.max(best, sum);
    else {
      observation = step.observation;
      action = observation.mask.indexOf(1);
      continue;
    }
    // Back to the last decision with an option that was not tried, and forward again to it.
    let next = -1;
    while (next < 0) {
      const tried = path.pop();
      if (tried === undefined) return best;
      observation = tried.observation;
      next = observation.mask.indexOf(1, tried.action + 1);
    }
    action = next;
    environment.reset(0);
    for (const { action: taken } of path) environment.step(taken);
    steps += path.length;
  }
}
