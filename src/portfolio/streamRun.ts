/**
 * A job through a stream of events: how long it takes when every event is answered by a method, by keeping the plan, or by
 * somebody who knows the future. Time is the job's wall clock; a plan works at its step time under the present condition.
 *
 * - A host that fails under the job takes the work since the last checkpoint with it (half an interval), and whatever is
 *   decided the job starts again. Every other change of plan costs a restart, and moving the state to where it is needed.
 * - The answer is a plan on some of the devices that are there. It is taken when what it saves over the rest of the job
 *   is more than what the change costs; otherwise the plan is kept, with fewer replicas where devices are gone.
 */
import type { Candidate } from '../plan/types.js';

/** Charges, seconds. */
export interface StreamCosts {
  /** From the decision until the job works again under another plan, moving aside. */
  readonly restartSec: number;
  /** Work lost when a host fails: half of a checkpoint interval. */
  readonly lostSec: number;
  /** Until the decision is there. */
  readonly decisionSec: number;
}

/** A plan that a job may run under one condition. */
export interface StreamPlan {
  readonly id: string;
  readonly candidate: Candidate;
  readonly devices: number;
  readonly stepTimeSec: number;
  /** Moving the state there from anywhere, at most. */
  readonly moveSec: number;
}

/** What one event leads to. */
export interface Moment {
  readonly atSec: number;
  /** The event took devices away without warning. */
  readonly isFailure: boolean;
  /** What the running plan comes to under the new condition; null when it cannot run any more. */
  readonly kept: (running: Candidate) => StreamPlan | null;
}

export interface StreamJob {
  readonly steps: number;
  readonly costs: StreamCosts;
  readonly first: StreamPlan;
  readonly moments: readonly Moment[];
}

export interface StreamOutcome {
  readonly totalSec: number;
  readonly changes: number;
}

/** @param answer the plan that a method offers at a moment; null: keep */
export async function runStream(
  job: StreamJob,
  answer: (moment: number, running: StreamPlan) => Promise<StreamPlan | null>,
): Promise<StreamOutcome> {
  const { costs, moments } = job;
  let now = 0;
  let left = job.steps;
  let running = job.first;
  let changes = 0;
  for (let i = 0; i < moments.length; i++) {
    const { atSec, isFailure, kept } = moments[i];
    // An event while the job restarts is met when it is up again.
    const worked = Math.max(0, atSec - now);
    if (worked >= left * running.stepTimeSec) return { totalSec: now + left * running.stepTimeSec, changes };
    left -= worked / running.stepTimeSec;
    now = Math.max(now, atSec);
    const stays = kept(running.candidate);
    const offered = await answer(i, running);
    const next = chosen(left, costs, isFailure, running, stays, offered);
    if (next === null) return { totalSec: Infinity, changes };
    const before = running;
    now += changeSec(costs, isFailure, before, next) + (offered === null ? 0 : costs.decisionSec);
    if (isFailure) left = Math.min(job.steps, left + costs.lostSec / before.stepTimeSec);
    if (next.id !== before.id) changes++;
    running = next;
  }
  return { totalSec: now + left * running.stepTimeSec, changes };
}

/** Seconds for which the job stands still. */
export function changeSec(
  costs: StreamCosts,
  isFailure: boolean,
  before: StreamPlan,
  next: StreamPlan,
): number {
  const moves = next.id === before.id ? 0 : next.moveSec;
  return isFailure || next.id !== before.id ? costs.restartSec + moves : 0;
}

/** Keep or change: what takes less until the job ends. */
function chosen(
  left: number,
  costs: StreamCosts,
  isFailure: boolean,
  before: StreamPlan,
  stays: StreamPlan | null,
  offered: StreamPlan | null,
): StreamPlan | null {
  if (stays === null || offered === null) return stays ?? offered;
  const until = (p: StreamPlan): number => left * p.stepTimeSec + changeSec(costs, isFailure, before, p);
  return until(offered) < until(stays) ? offered : stays;
}

/**
 * The least time that any choice among known plans takes, by somebody who knows all events: for every plan that may run
 * after a moment, the most work that can be done by then (more work earlier is never worse). A bound for everybody
 * who chooses from the same plans.
 *
 * @param pool plans known for each moment, the kept ones aside
 */
export function oracleSec(job: StreamJob, pool: readonly (readonly StreamPlan[])[]): number {
  const { costs, moments, steps } = job;
  // By plan: steps left and when the job works again.
  let states = new Map<string, { plan: StreamPlan; left: number; upSec: number }>();
  states.set(job.first.id, { plan: job.first, left: steps, upSec: 0 });
  let best = Infinity;
  moments.forEach(({ atSec, isFailure, kept }, i) => {
    const next: typeof states = new Map();
    for (const { plan, left, upSec } of states.values()) {
      const end = upSec + left * plan.stepTimeSec;
      if (end <= atSec) {
        best = Math.min(best, end);
        continue;
      }
      const now = Math.max(upSec, atSec);
      let rest = left - Math.max(0, atSec - upSec) / plan.stepTimeSec;
      if (isFailure) rest = Math.min(steps, rest + costs.lostSec / plan.stepTimeSec);
      const stays = kept(plan.candidate);
      for (const to of [...(stays === null ? [] : [stays]), ...pool[i]]) {
        const up = now + changeSec(costs, isFailure, plan, to);
        const known = next.get(to.id);
        // Of two ways to the same plan the one that ends the job sooner if nothing else happens.
        if (known === undefined || up + rest * to.stepTimeSec < known.upSec + known.left * to.stepTimeSec)
          next.set(to.id, { plan: to, left: rest, upSec: up });
      }
    }
    states = next;
  });
  for (const { plan, left, upSec } of states.values()) best = Math.min(best, upSec + left * plan.stepTimeSec);
  return best;
}
