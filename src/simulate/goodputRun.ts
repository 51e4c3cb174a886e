/**
 * One run of a job, failure by failure: work, checkpoints, lost work, restarts that may fail themselves, and waits for
 * repairs when no spare host is left. Time moves from failure to failure, whatever the number of steps.
 */
import type { Random } from '../util/random.js';
import type { Reliability } from './goodput.js';
import { stretchesOf } from './goodput.js';

export interface RunSetting extends Pick<
  Reliability,
  'checkpointSec' | 'restartSec' | 'spareHosts' | 'repairSec' | 'failureShape'
> {
  /** Mean time between failures of the whole job. */
  readonly mtbfSec: number;
  /** Seconds of work between checkpoints; Infinity: none is written. */
  readonly intervalSec: number;
}

/** A run that has failed so often will never end. */
export const NEVER_FAILURES = 100_000;

/** Runs jobs of one setting; holds scratch. */
export class JobRun {
  /** Of the last run. */
  failures = 0;
  waitedSec = 0;
  private readonly scaleSec: number;
  /** When the hosts under repair are back, as a ring: at most one more than there are spares. */
  private readonly backSec: Float64Array;
  private first = 0;
  private count = 0;

  constructor(
    private readonly setting: RunSetting,
    private readonly mostFailures = NEVER_FAILURES,
  ) {
    const { mtbfSec, failureShape, spareHosts } = setting;
    this.scaleSec = failureShape === 1 ? mtbfSec : mtbfSec / gamma(1 + 1 / failureShape);
    this.backSec = new Float64Array(spareHosts + 1);
  }

  /** Seconds until `workSec` of work are done; Infinity when the job fails without end. */
  run(workSec: number, random: Random): number {
    const { checkpointSec, restartSec, intervalSec } = this.setting;
    this.first = this.count = this.failures = this.waitedSec = 0;
    let stretches = stretchesOf(workSec, intervalSec);
    const interval = Math.min(intervalSec, workSec);
    const stretchSec = interval + checkpointSec;
    const lastSec = workSec - (stretches - 1) * interval;
    let time = 0;
    // Seconds of running until the next failure.
    let until = this.gapSec(random);
    while (until < (stretches - 1) * stretchSec + lastSec) {
      stretches -= Math.min(stretches - 1, Math.floor(until / stretchSec));
      time = this.waitForHost(time + until);
      until = this.gapSec(random);
      // A restart that fails begins again.
      while (until < restartSec) {
        if (this.failures > this.mostFailures) return Infinity;
        time = this.waitForHost(time + until);
        until = this.gapSec(random);
      }
      if (this.failures > this.mostFailures) return Infinity;
      time += restartSec;
      until -= restartSec;
    }
    return time + (stretches - 1) * stretchSec + lastSec;
  }

  private gapSec(random: Random): number {
    const { failureShape } = this.setting;
    if (this.scaleSec === Infinity) return Infinity;
    const unit = -Math.log(1 - random.next());
    return this.scaleSec * (failureShape === 1 ? unit : unit ** (1 / failureShape));
  }

  /** A host fails and goes to repair; the job waits for one to come back where no spare is left. @returns when it goes on */
  private waitForHost(time: number): number {
    this.failures++;
    const { repairSec, spareHosts } = this.setting;
    if (repairSec === 0) return time;
    const { backSec } = this;
    const places = backSec.length;
    // All repairs take equally long, so hosts come back in the order in which they failed.
    while (this.count > 0 && backSec[this.first] <= time) this.returnFirst();
    backSec[(this.first + this.count++) % places] = time + repairSec;
    if (this.count <= spareHosts) return time;
    const back = backSec[this.first];
    this.returnFirst();
    this.waitedSec += back - time;
    return back;
  }

  private returnFirst(): void {
    this.first = (this.first + 1) % this.backSec.length;
    this.count--;
  }
}

/** The gamma function for x >= 1, by Lanczos' approximation (g = 7, 9 terms; relative error below 1e-14). */
export function gamma(x: number): number {
  const c = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ];
  const z = x - 1;
  const t = z + 7.5;
  const sum = c.reduce((s, v, i) => s + v / (z + i + 1), 0.9999999999998099);
  return Math.sqrt(2 * Math.PI) * t ** (z + 0.5) * Math.exp(-t) * sum;
}
