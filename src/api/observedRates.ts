/**
 * The calibration that a log speaks for: how fast devices compute and links carry, over what the cluster's description says.
 *
 * - Computing: what hosts say that they computed, over what the plan's stages are to compute; the median of hosts, so that a
 *   slow one (which the condition names) does not count.
 * - Communication: what then makes the whole step last as long as it was observed to, latencies included. Where no rate of
 *   the links does (most of it is hidden, or the host is what keeps devices waiting), the rest is a factor for every plan.
 */
import { conditioned } from '../cluster/condition.js';
import type { Condition, ObservedRates } from '../cluster/condition.js';
import { explain } from '../simulate/explain.js';
import { TIME_TERMS } from '../simulate/terms.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { PlanProblem } from '../simulate/types.js';
import { median } from '../util/stats.js';
import type { JobLayout } from '../validation/monitor/layout.js';
import type { Observed } from '../validation/monitor/observed.js';
import type { RunningJob } from './runningJob.js';

export interface ObservedCalibration {
  /** Null: the log does not tell computing from the rest. */
  readonly rates: ObservedRates | null;
  /** Observed step time over that under the rates. */
  readonly residual: number;
}

/** Rates of links that are believed. */
const SLOWEST = 0.1;
const FASTEST = 4;
const HALVINGS = 24;

/**
 * @param condition of the cluster while the log was written, its rates those that the plan was priced with
 */
export function observedRates(
  job: RunningJob,
  layout: JobLayout,
  observed: Observed,
  condition: Condition,
): ObservedCalibration | null {
  if (observed.stepTime === null) return null;
  const { medianSec } = observed.stepTime;
  const known = condition.rates ?? { compute: 1, communication: 1 };
  const at = (rates: ObservedRates): PlanProblem => {
    const { cluster } = conditioned(job.spec, { ...condition, rates }, job.plan.cluster.devices);
    return { ...job.base.problem, cluster, costs: job.base.book.repriced(cluster, job.base.problem.stack) };
  };
  const stepSec = (rates: ObservedRates): number =>
    createSimulator(at(rates), true).estimate(job.running, createEstimate()).stepTimeSec;
  const computing = computeRatio(job, layout, observed);
  if (computing === null) return { rates: null, residual: medianSec / stepSec(known) };
  const compute = known.compute / computing;
  let low = known.communication * SLOWEST;
  let high = known.communication * FASTEST;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = Math.sqrt(low * high);
    if (stepSec({ compute, communication: middle }) > medianSec) low = middle;
    else high = middle;
  }
  const rates = { compute, communication: Math.sqrt(low * high) };
  return { rates, residual: medianSec / stepSec(rates) };
}

/** Observed over predicted computing time of a step, of the median host; null where no host says. */
function computeRatio({ base, running }: RunningJob, layout: JobLayout, { hosts }: Observed): number | null {
  const { ranks } = explain(base.problem, running);
  const predicted = ranks.map(({ time }) =>
    TIME_TERMS.reduce(
      (sum, { key, group }) =>
        group === 'compute' || key === 'optimizer' ? sum + time[key].exposedSec + time[key].hiddenSec : sum,
      0,
    ),
  );
  const ratios = hosts.flatMap(({ host, computeSec }) => {
    const sec = predicted[layout.stageOfHost[host]];
    return computeSec === null || !(sec > 0) ? [] : [computeSec / sec];
  });
  return ratios.length === 0 ? null : median(ratios);
}
