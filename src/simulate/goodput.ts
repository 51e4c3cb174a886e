/**
 * Goodput: how long a job takes when things fail. Failures come at a constant rate (exponential times between them);
 * the job writes a checkpoint after every `intervalSec` of work and starts again from the last one.
 *
 * With M the job's mean time between failures, C the time of a checkpoint, R of a restart and t the interval, each stretch
 * of t seconds of work takes in expectation (Daly 2006, eq. 13)
 *
 *     M exp(R / M) (exp((t + C) / M) - 1)
 *
 * and the best t solves  exp(-(t + C) / M) = 1 - t / M.  Young (1974) takes t = sqrt(2 C M), its limit for C << M.
 */
import type { Random } from '../util/random.js';

/** How often things fail and what that costs; seconds. */
export interface Reliability {
  /** Mean time between failures of one device, and of one host beside its devices; Infinity = never. */
  readonly deviceMtbfSec: number;
  readonly hostMtbfSec: number;
  /** Writing one checkpoint while the job waits. */
  readonly checkpointSec: number;
  /** From a failure until the job works again, state loaded. */
  readonly restartSec: number;
  /** Healthy hosts standing by. */
  readonly spareHosts: number;
  /** Until a failed host is back. */
  readonly repairSec: number;
  /** Relative standard deviation of a device's time for the same work from step to step; a step waits for the slowest. */
  readonly stragglerShare: number;
}

export interface JobSize {
  readonly devices: number;
  readonly hosts: number;
  /** Devices that wait for each other in every step. */
  readonly stepTimeSec: number;
  readonly steps: number;
}

/** A job's expected course. */
export interface Goodput {
  readonly mtbfSec: number;
  /** Steps with stragglers over steps without. */
  readonly stragglerFactor: number;
  readonly intervalSec: number;
  /** Young's rule, for comparison. */
  readonly youngIntervalSec: number;
  /** Share of the time that makes progress, 0 to 1: work without stragglers over expected time. */
  readonly goodput: number;
  readonly workSec: number;
  readonly expectedSec: number;
  readonly expectedFailures: number;
  /** Share of the time in which the job waits for a repair, because no spare is left. */
  readonly waitingShare: number;
}

/** Mean time between failures of the whole job, seconds. */
export function jobMtbfSec(r: Reliability, devices: number, hosts: number): number {
  return 1 / (devices / r.deviceMtbfSec + hosts / r.hostMtbfSec);
}

/** Young's interval, seconds of work between two checkpoints. */
export function youngIntervalSec(checkpointSec: number, mtbfSec: number): number {
  return Math.sqrt(2 * checkpointSec * mtbfSec);
}

/**
 * The best interval, seconds of work between two checkpoints: the root of exp(-(t + C) / M) = 1 - t / M in (0, M), by
 * bisection; Infinity when nothing fails, 0 when checkpoints cost nothing.
 */
export function bestIntervalSec(checkpointSec: number, mtbfSec: number): number {
  if (mtbfSec === Infinity) return Infinity;
  let low = 0;
  let high = mtbfSec;
  for (let i = 0; i < 200 && high - low > 1e-12 * mtbfSec; i++) {
    const t = 0.5 * (low + high);
    if (Math.exp(-(t + checkpointSec) / mtbfSec) < 1 - t / mtbfSec) low = t;
    else high = t;
  }
  return 0.5 * (low + high);
}

/** Expected seconds of a job of `workSec` that checkpoints after every `intervalSec` of work (Daly 2006). */
export function expectedTimeSec(
  workSec: number,
  intervalSec: number,
  { checkpointSec, restartSec }: Pick<Reliability, 'checkpointSec' | 'restartSec'>,
  mtbfSec: number,
): number {
  if (workSec === 0) return 0;
  if (mtbfSec === Infinity)
    return intervalSec >= workSec ? workSec : workSec * (1 + checkpointSec / intervalSec);
  const interval = Math.min(intervalSec, workSec);
  const each = mtbfSec * Math.exp(restartSec / mtbfSec) * Math.expm1((interval + checkpointSec) / mtbfSec);
  return (workSec / interval) * each;
}

/**
 * By how much steps lengthen when each waits for the slowest of n devices whose times vary by `share` around their mean:
 * 1 + share * E[max of n standard normals], by Blom's approximation (1958), within 1 % from n = 2.
 */
export function stragglerFactor(share: number, devices: number): number {
  if (share === 0 || devices < 2) return 1;
  return 1 + share * normalQuantile((devices - 0.375) / (devices + 0.25));
}

/** Quantile of the standard normal distribution (Acklam's rational approximation, relative error below 1.2e-9). */
export function normalQuantile(p: number): number {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
    2.506628277459239,
  ];
  const b = [
    -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572,
  ];
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const poly = (k: readonly number[], x: number): number => k.reduce((s, v) => s * x + v, 0);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return poly(c, q) / (poly(d, q) * q + 1);
  }
  if (p > 1 - 0.02425) return -normalQuantile(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return (poly(a, r) * q) / (poly(b, r) * r + 1);
}

/**
 * Share of the time in which more hosts are under repair than there are spares: repairs form an M/G/infinity queue, so
 * their number is Poisson with mean repair time over mean time between failures.
 */
export function waitingShare(mtbfSec: number, repairSec: number, spareHosts: number): number {
  if (mtbfSec === Infinity || repairSec === 0) return 0;
  const mean = repairSec / mtbfSec;
  let term = Math.exp(-mean);
  let most = term;
  for (let k = 1; k <= spareHosts; k++) {
    term *= mean / k;
    most += term;
  }
  return Math.max(0, 1 - most);
}

/** What a job is expected to take, at the best checkpoint interval. */
export function goodputOf(r: Reliability, job: JobSize): Goodput {
  const mtbfSec = jobMtbfSec(r, job.devices, job.hosts);
  const slower = stragglerFactor(r.stragglerShare, job.devices);
  const workSec = job.steps * job.stepTimeSec * slower;
  const interval = bestIntervalSec(r.checkpointSec, mtbfSec);
  const running = expectedTimeSec(workSec, interval, r, mtbfSec);
  const waiting = waitingShare(mtbfSec, r.repairSec, r.spareHosts);
  const expectedSec = running / (1 - waiting);
  return {
    mtbfSec,
    stragglerFactor: slower,
    intervalSec: interval,
    youngIntervalSec: youngIntervalSec(r.checkpointSec, mtbfSec),
    goodput: (job.steps * job.stepTimeSec) / expectedSec,
    workSec,
    expectedSec,
    expectedFailures: mtbfSec === Infinity ? 0 : running / mtbfSec,
    waitingShare: waiting,
  };
}

/**
 * One run of a job, failure by failure: work, checkpoints, lost work, restarts that may fail themselves, and waits for
 * repairs when no spare host is left. Time moves on every failure only. Seconds until the work is done.
 */
export function simulateJob(
  r: Reliability,
  job: JobSize & { readonly workSec: number; readonly intervalSec: number },
  random: Random,
): number {
  const mtbfSec = jobMtbfSec(r, job.devices, job.hosts);
  const next = (): number => (mtbfSec === Infinity ? Infinity : -mtbfSec * Math.log(1 - random.next()));
  const interval = Math.min(job.intervalSec, job.workSec);
  const stretch = interval + r.checkpointSec;
  const back: number[] = [];
  let time = 0;
  let left = job.workSec;
  while (left > 0) {
    let until = next();
    // Whole stretches before the failure, and the rest of the job where it comes first.
    const whole = Math.floor(until / stretch);
    const needed = Math.ceil(left / interval);
    if (whole >= needed)
      return time + (needed - 1) * stretch + (left - (needed - 1) * interval) + r.checkpointSec;
    left -= whole * interval;
    time += until;
    time = waitForHost(back, time, r);
    // The restart begins again when it fails.
    for (until = next(); until < r.restartSec; until = next()) time = waitForHost(back, time + until, r);
    time += r.restartSec;
  }
  return time;
}

/** A failed host goes to repair; the job waits for one to come back where no spare is left. @returns when it goes on */
function waitForHost(back: number[], time: number, { spareHosts, repairSec }: Reliability): number {
  if (repairSec === 0) return time;
  back.push(time + repairSec);
  while (back.length > 0 && back[0] <= time) back.shift();
  if (back.length <= spareHosts) return time;
  return back[back.length - 1 - spareHosts];
}
