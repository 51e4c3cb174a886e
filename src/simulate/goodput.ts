/**
 * Goodput: how long a job takes when things fail. Failures come at a constant rate (exponential times between them);
 * the job writes a checkpoint after every `intervalSec` of work but the last, and starts again from the last one written.
 *
 * With M the job's mean time between failures and R the time of a restart, which may fail itself, a stretch of x seconds
 * that must pass without a failure takes in expectation (Daly 2006, eq. 13)
 *
 *     M exp(R / M) (exp(x / M) - 1)
 *
 * A job of n stretches has n - 1 of x = t + C, interval and checkpoint, and a last one without a checkpoint. Where n is
 * large the best t solves  exp(-(t + C) / M) = 1 - t / M.  Young (1974) takes t = sqrt(2 C M), its limit for C << M.
 */
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
  /**
   * Weibull shape of the times between the job's failures; 1: exponential. Below 1 they come in bursts: Schroeder and
   * Gibson (2006) fit 0.7 to 0.8 to those of whole systems. Only the simulation reads it: the expectations are for 1.
   */
  readonly failureShape: number;
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
  /** Parts of `expectedSec` beside `workSec`: checkpoints that held, work done for nothing, restarts, waits. */
  readonly checkpointingSec: number;
  readonly lostSec: number;
  readonly restartingSec: number;
  readonly waitingSec: number;
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

/** Where the time of a job goes while its hosts are there, in expectation; seconds. */
export interface RunningTime {
  readonly checkpointingSec: number;
  readonly lostSec: number;
  readonly restartingSec: number;
  /** All of it, work included. */
  readonly totalSec: number;
}

/** Stretches of work between checkpoints, the last one shorter or equal. */
export function stretchesOf(workSec: number, intervalSec: number): number {
  // A job cut into n equal intervals has n of them, whatever the division rounds to.
  return Math.max(1, Math.ceil(workSec / intervalSec - 1e-9));
}

/** A job of `workSec` that checkpoints after every `intervalSec` of work; waits for hosts not counted (Daly 2006). */
export function runningTime(
  workSec: number,
  intervalSec: number,
  { checkpointSec, restartSec }: Pick<Reliability, 'checkpointSec' | 'restartSec'>,
  mtbfSec: number,
): RunningTime {
  if (workSec === 0) return { checkpointingSec: 0, lostSec: 0, restartingSec: 0, totalSec: 0 };
  const checkpoints = stretchesOf(workSec, intervalSec) - 1;
  const checkpointingSec = checkpoints * checkpointSec;
  const straightSec = workSec + checkpointingSec;
  if (mtbfSec === Infinity) return { checkpointingSec, lostSec: 0, restartingSec: 0, totalSec: straightSec };
  const interval = Math.min(intervalSec, workSec);
  const last = workSec - checkpoints * interval;
  const failures =
    checkpoints * Math.expm1((interval + checkpointSec) / mtbfSec) + Math.expm1(last / mtbfSec);
  const triedSec = mtbfSec * failures;
  const restartingSec = triedSec * Math.expm1(restartSec / mtbfSec);
  return {
    checkpointingSec,
    lostSec: Math.max(0, triedSec - straightSec),
    restartingSec,
    totalSec: triedSec + restartingSec,
  };
}

/** Expected seconds of a job that has all its hosts. */
export function expectedTimeSec(...job: Parameters<typeof runningTime>): number {
  return runningTime(...job).totalSec;
}

/**
 * The interval that a job of `workSec` is best cut by: equal stretches, near `bestIntervalSec` where there are many, of a
 * step at least; Infinity where no checkpoint pays.
 */
export function jobIntervalSec(
  workSec: number,
  stepTimeSec: number,
  costs: Pick<Reliability, 'checkpointSec' | 'restartSec'>,
  mtbfSec: number,
): number {
  const steady = Math.max(bestIntervalSec(costs.checkpointSec, mtbfSec), stepTimeSec);
  const about = Math.floor(workSec / steady);
  if (about > MANY_STRETCHES) return steady;
  let best = Infinity;
  let bestSec = expectedTimeSec(workSec, Infinity, costs, mtbfSec);
  for (let stretches = Math.max(2, about - 1); stretches <= about + 2; stretches++) {
    const interval = workSec / stretches;
    const timeSec = expectedTimeSec(workSec, interval, costs, mtbfSec);
    if (timeSec >= bestSec || interval < stepTimeSec) continue;
    best = interval;
    bestSec = timeSec;
  }
  return best;
}

/** With more stretches the last one is of no matter. */
const MANY_STRETCHES = 1000;

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
 * Share of the time in which the job waits, because more hosts are under repair than there are spares. While it waits
 * nothing fails, so repairs are a queue of spares + 1 places that turns arrivals away when it is full: Erlang's B formula,
 * which holds whatever the repair times look like.
 */
export function waitingShare(mtbfSec: number, repairSec: number, spareHosts: number): number {
  if (mtbfSec === Infinity || repairSec === 0) return 0;
  const load = repairSec / mtbfSec;
  let blocked = 1;
  for (let places = 1; places <= spareHosts + 1; places++)
    blocked = (load * blocked) / (places + load * blocked);
  return blocked;
}

/** What a job is expected to take, at the best checkpoint interval or at a given one. */
export function goodputOf(r: Reliability, job: JobSize, intervalSec?: number): Goodput {
  const mtbfSec = jobMtbfSec(r, job.devices, job.hosts);
  const slower = stragglerFactor(r.stragglerShare, job.devices);
  const workSec = job.steps * job.stepTimeSec * slower;
  const interval = intervalSec ?? jobIntervalSec(workSec, job.stepTimeSec * slower, r, mtbfSec);
  const { totalSec, ...parts } = runningTime(workSec, interval, r, mtbfSec);
  const waiting = waitingShare(mtbfSec, r.repairSec, r.spareHosts);
  const expectedSec = totalSec / (1 - waiting);
  return {
    mtbfSec,
    stragglerFactor: slower,
    intervalSec: interval,
    youngIntervalSec: youngIntervalSec(r.checkpointSec, mtbfSec),
    goodput: (job.steps * job.stepTimeSec) / expectedSec,
    workSec,
    expectedSec,
    expectedFailures: mtbfSec === Infinity ? 0 : totalSec / mtbfSec,
    waitingShare: waiting,
    ...parts,
    waitingSec: expectedSec - totalSec,
  };
}
