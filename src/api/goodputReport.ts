/** What a report shows of a job under failures: its expected time over checkpoint intervals, by formula and simulated. */
import type { Plan } from '../plan/types.js';
import type { TrainingFacts } from '../report/page/goodputSection.js';
import { bestIntervalSec, goodputOf } from '../simulate/goodput.js';
import { sampleTimes } from '../simulate/risk.js';
import { goodputFacts, jobOf, parseMtbf } from './goodput.js';
import type { ProblemOptions } from './problem.js';
import { parseRisk, planRisk } from './risk.js';
import type { RiskFlags } from './risk.js';

/** Intervals from so many times below the best to so many times above it. */
const SPAN = 16;
const CURVE_POINTS = 81;
const SIMULATED_POINTS = 9;
/** Runs of one simulated point. */
const MOST_RUNS = 400;
/** Points above this many times the best time are left out: there the time grows without end. */
const HIGHEST = 2;

/**
 * Null where no failures are stated.
 *
 * @throws PartitionError usage, as the flags
 */
export function trainingFacts(
  plan: Plan,
  flags: RiskFlags,
  options: Pick<ProblemOptions, 'cluster' | 'calibration'>,
): TrainingFacts | null {
  const risk = parseRisk(flags);
  if (flags.mtbf === undefined) return null;
  const request = parseMtbf(flags.mtbf);
  const job = jobOf(plan, request, options);
  const { seed } = plan.foundBy;
  const { mtbfSec, workSec, intervalSec, expectedSec } = goodputOf(request, job);
  const steady = bestIntervalSec(request.checkpointSec, mtbfSec);
  const centre = Math.min(intervalSec, workSec, Math.max(steady, job.stepTimeSec));
  const at = (share: number): number => centre * SPAN ** (2 * share - 1);
  const drawn = (points: number): number[] =>
    mtbfSec === Infinity
      ? []
      : Array.from({ length: points }, (_, i) => at(i / (points - 1))).filter(
          (interval) =>
            interval <= workSec &&
            interval >= job.stepTimeSec &&
            goodputOf(request, job, interval).expectedSec <= HIGHEST * expectedSec,
        );
  return {
    stated: flags.mtbf,
    goodput: goodputFacts(request, job),
    curve: drawn(CURVE_POINTS).map((interval) => ({
      intervalSec: interval,
      expectedSec: goodputOf(request, job, interval).expectedSec,
    })),
    simulated: drawn(SIMULATED_POINTS).map((interval) => {
      const { expectedFailures } = goodputOf(request, job, interval);
      const run = { ...request, mtbfSec, workSec, intervalSec: interval, expectedFailures };
      const { meanSec, meanErrorSec } = sampleTimes(run, seed, null, MOST_RUNS);
      return { intervalSec: interval, meanSec, meanErrorSec };
    }),
    isExponential: request.failureShape === 1,
    risk: risk === null ? null : planRisk(plan, request, risk, options, seed),
  };
}
