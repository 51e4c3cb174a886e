/** What is minimised: the weighted geometric mean of time, energy and money per step. */
import type { Estimate, Objective } from '../simulate/types.js';

/** True when only the step time counts, so that a bound on time is a bound on the objective. */
export function isTimeOnly(objective: Objective): boolean {
  return objective.time > 0 && objective.energy === 0 && objective.cost === 0;
}

/**
 * Value of a priced plan, whether it fits or not; smaller is better. Seconds when only time counts; otherwise
 * time^a energy^b cost^c with a + b + c = 1: dividing each term by a reference plan's would scale all values alike.
 * Without a price, money is device time.
 */
export function objectiveValue(
  objective: Objective,
  estimate: Pick<Estimate, 'stepTimeSec' | 'energyJoulesPerStep' | 'costPerStep'>,
): number {
  const { time, energy, cost } = objective;
  if (energy === 0 && cost === 0) return estimate.stepTimeSec;
  const money = estimate.costPerStep > 0 ? estimate.costPerStep : estimate.stepTimeSec;
  const logValue =
    time * Math.log(estimate.stepTimeSec) +
    energy * Math.log(estimate.energyJoulesPerStep) +
    cost * Math.log(money);
  return Math.exp(logValue / (time + energy + cost));
}
