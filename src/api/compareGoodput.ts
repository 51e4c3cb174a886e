/** A comparison of methods under failures: what the best plan of each is expected to take. */
import type { JobRow, JobsFacts } from '../report/compareJobs.js';
import type { CompareRun } from './compare.js';
import { goodputFacts, hostsOf } from './goodput.js';
import type { GoodputRequest } from './goodput.js';
import type { ProblemOptions } from './problem.js';

/** Values nearer than this are equal: different sums of the same parts. */
const EQUAL = 1e-9;

/** The best run of every method as a job under these failures, shortest expected time first. */
export function comparedJobs(
  runs: readonly CompareRun[],
  request: GoodputRequest,
  options: Pick<ProblemOptions, 'cluster' | 'calibration' | 'devices'>,
): JobsFacts {
  const hosts = hostsOf(options);
  const best = new Map<string, CompareRun>();
  for (const run of runs) {
    if (run.value === null) continue;
    const known = best.get(run.method);
    if (known === undefined || run.value < known.value!) best.set(run.method, run);
  }
  let mtbfSec: number | null = null;
  const jobs = [...best.values()].map((run): Omit<JobRow, 'rankByValue' | 'rank'> => {
    const stepTimeSec = run.stepTimeSec!;
    const job = { devices: options.devices, hosts, stepTimeSec, steps: request.steps };
    const facts = goodputFacts(request, job);
    ({ mtbfSec } = facts);
    const { intervalSec, goodput, expectedSec } = facts;
    const { method, seed, value } = run;
    return { method, seed, value: value!, stepTimeSec, intervalSec, goodput, expectedSec };
  });
  const rankOf = (key: (job: (typeof jobs)[number]) => number, own: number): number =>
    1 + jobs.filter((other) => key(other) < own * (1 - EQUAL)).length;
  const timeOf = ({ expectedSec }: (typeof jobs)[number]): number => expectedSec ?? Infinity;
  const methods = jobs.map((job) => ({
    ...job,
    rankByValue: rankOf((j) => j.value, job.value),
    rank: rankOf(timeOf, timeOf(job)),
  }));
  methods.sort((a, b) => a.rank - b.rank || a.rankByValue - b.rankByValue);
  return { steps: request.steps, mtbfSec, methods };
}
