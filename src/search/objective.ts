/** What is minimised: the weighted geometric mean of time, energy, money, idleness and rewards of the user's own. */
import type { Objective, ObjectivePrice } from '../simulate/types.js';

/** True when only the step time counts, so that a bound on time is a bound on the objective. */
export function isTimeOnly(objective: Objective): boolean {
  const { time, energy, cost, utilisation = 0, rewards = [] } = objective;
  return time > 0 && energy === 0 && cost === 0 && utilisation === 0 && rewards.length === 0;
}

/** What a lower bound on the nominal step time says of the objective: 0 where more than time counts. */
export function objectiveBoundOf(objective: Objective, boundSec: number): number {
  return isTimeOnly(objective) ? boundSec * (objective.boundShare ?? 1) : 0;
}

/**
 * Share of the step in which the rank that ends last computes for the model: no waiting, no exposed traffic, nothing
 * computed twice.
 */
export function utilisationOf(price: Pick<ObjectivePrice, 'stepTimeSec' | 'breakdown'>): number {
  return price.breakdown.computeSec / price.stepTimeSec;
}

/**
 * Value of a priced plan, whether it fits or not; smaller is better. Seconds when only time counts; otherwise
 * time^a energy^b cost^c (1 / utilisation)^d ... with weights that add up to 1: dividing each term by a reference plan's
 * would scale all values alike. Without a price, money is device time. A reward that is no number above 0 makes the value
 * infinite.
 */
export function objectiveValue(objective: Objective, price: ObjectivePrice): number {
  const { time, energy, cost, utilisation = 0, rewards } = objective;
  if (energy === 0 && cost === 0 && utilisation === 0 && rewards === undefined) return price.stepTimeSec;
  const money = price.costPerStep > 0 ? price.costPerStep : price.stepTimeSec;
  let logValue =
    time * Math.log(price.stepTimeSec) +
    energy * Math.log(price.energyJoulesPerStep) +
    cost * Math.log(money);
  let weights = time + energy + cost + utilisation;
  if (utilisation > 0) logValue -= utilisation * Math.log(utilisationOf(price));
  if (rewards !== undefined)
    for (const reward of rewards) {
      const value = reward.value(price);
      if (!(value > 0)) return Infinity;
      logValue += reward.weight * Math.log(value);
      weights += reward.weight;
    }
  return Math.exp(logValue / weights);
}
