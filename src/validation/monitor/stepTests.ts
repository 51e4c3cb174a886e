/**
 * The drift tests of one closed step. What is tested, each on the log of its time so that changes are relative:
 *
 *     the step time of the job
 *     the median compute time of the hosts                     computing is slower everywhere
 *     each host's, each rank's own time against the others'    one of them is slower
 *     per link level, the least time of any host               a link is slower
 *
 * The threshold is set so that all tests together give one false alarm in `falseAlarmSteps` steps (threshold.ts).
 */
import type { Alarm } from './drift.js';
import { DriftBank } from './drift.js';
import type { Incidents, Source } from './incidents.js';
import type { JobLayout } from './layout.js';
import { RelativeTest } from './relativeTest.js';
import type { StepValues } from './stepWindow.js';
import { thresholdFor } from './threshold.js';

/** Half of the change, in standard deviations, that is found soonest. */
export const REFERENCE = 0.5;
/** Logs of times differ by at least this from step to step. */
export const LEAST_DEVIATION = 0.002;
/** Tests of the job as a whole. */
const STEP_TEST = 0;
const COMPUTE_TEST = 1;
const FIRST_LEVEL_TEST = 2;
/** Numbers of the last steps, to say since when. */
const REMEMBERED_STEPS = 512;
/** Steps over which recent levels are averaged. */
const RECENT_STEPS = 30;

export class StepTests {
  readonly hostTimes: RelativeTest;
  /** Made when the first rank reports. */
  rankTimes: RelativeTest | null = null;
  readonly job: DriftBank;
  /** By level: log of its time, recently, and as first learned; NaN: unknown. */
  readonly recentLevel: Float64Array;
  readonly usualLevel: Float64Array;
  threshold = Infinity;
  tests = 0;
  /** Whether anybody says how long it computed. */
  hasCompute = false;
  private readonly hostLogs: Float64Array;
  private readonly hostCount: Int32Array;
  private readonly leastOfStage: Float64Array;
  private readonly stepNumbers: number[] = [];
  private readonly alarms: Alarm[] = [];
  private closed = 0;
  private isWarming = false;

  constructor(
    private readonly layout: JobLayout,
    private readonly levels: number,
    private readonly incidents: Incidents,
    private readonly falseAlarmSteps: number,
  ) {
    const { hosts, stageOfHost } = layout;
    this.hostTimes = new RelativeTest(hosts, REFERENCE, LEAST_DEVIATION);
    this.job = new DriftBank(FIRST_LEVEL_TEST + levels, REFERENCE, LEAST_DEVIATION);
    this.recentLevel = new Float64Array(levels).fill(NaN);
    this.usualLevel = new Float64Array(levels).fill(NaN);
    this.hostLogs = new Float64Array(hosts);
    this.hostCount = new Int32Array(hosts);
    this.leastOfStage = new Float64Array(stageOfHost.reduce((most, s) => Math.max(most, s), 0) + 1);
  }

  get lastStep(): number {
    return this.stepNumbers.at(-1) ?? 0;
  }

  /** Number of the step so many steps ago. */
  stepBefore(steps: number): number {
    return this.stepNumbers[Math.max(0, this.stepNumbers.length - Math.max(1, steps))] ?? 0;
  }

  /**
   * Takes a step.
   *
   * @param closed steps so far, this one included
   * @param otherTests tests elsewhere that share the rate of false alarms
   * @param isWarming the step is slow for reasons of its own: nothing is learned from it
   * @returns log of the step time; NaN when nobody said it
   */
  begin(values: StepValues, closed: number, otherTests: number, isWarming = false): number {
    this.isWarming = isWarming;
    this.closed = closed;
    this.stepNumbers.push(values.step);
    if (this.stepNumbers.length > 2 * REMEMBERED_STEPS) this.stepNumbers.splice(0, REMEMBERED_STEPS);
    this.setThreshold(otherTests);
    if (values.stepLogs === 0) return NaN;
    const log = values.stepLogSum / values.stepLogs;
    this.jobTest(STEP_TEST, { scope: 'job', what: 'step time', index: 0 }, log);
    return log;
  }

  /** Hosts and ranks. @param reports is told of each host that said something */
  testHosts(values: StepValues, ranksReport: boolean, reports: (host: number) => void): void {
    const known = this.hostMeans(values, ranksReport, reports);
    if (known === 0 || this.isWarming) return;
    const what = this.hasCompute ? 'compute' : 'step time';
    // One host alone is the job.
    const threshold = known > 1 ? this.threshold : Infinity;
    const middle = this.hostTimes.step(this.hostLogs, threshold, this.alarms);
    this.pass('host', what, this.hostTimes, this.alarms);
    if (ranksReport) {
      const ranks = this.ranks();
      ranks.step(values.own.subarray(0, this.layout.devices), threshold, this.alarms, middle);
      this.pass('rank', what, ranks, this.alarms);
    }
    // Two hosts have no middle: when both change, their own tests say it.
    if (this.hasCompute && known !== 2 && !Number.isNaN(middle))
      this.jobTest(COMPUTE_TEST, { scope: 'job', what: 'compute', index: 0 }, middle, this.typicalLog());
  }

  /** Whoever comes last to a collective waits for nobody: the least time of the hosts that do equal work is the link's own. */
  testLevels(values: StepValues): void {
    if (this.isWarming) return;
    for (let level = 0; level < this.levels; level++) {
      const log = this.levelLog(values, level);
      if (Number.isNaN(log)) continue;
      const recent = this.recentLevel[level];
      this.recentLevel[level] = Number.isNaN(recent) ? log : recent + (log - recent) / RECENT_STEPS;
      const test = FIRST_LEVEL_TEST + level;
      if (Number.isNaN(this.usualLevel[level])) this.usualLevel[level] = this.job.level(test);
      this.jobTest(test, { scope: 'level', what: 'communication', index: level }, log);
    }
  }

  /** Hands the alarms of a relative test on, and empties their list. */
  pass(scope: 'host' | 'rank', what: Source['what'], test: RelativeTest, alarms: Alarm[]): void {
    for (const alarm of alarms) {
      const source = { scope, what, index: alarm.test };
      const since = this.stepBefore(alarm.length);
      this.incidents.alarm(source, alarm, test.usualLog(alarm.test), this.lastStep, since, this.closed);
    }
    alarms.length = 0;
  }

  snapshot(): unknown {
    return {
      hostTimes: this.hostTimes.snapshot(),
      rankTimes: this.rankTimes?.snapshot() ?? null,
      job: this.job.snapshot(),
      recentLevel: Array.from(this.recentLevel, finiteOrNull),
      usualLevel: Array.from(this.usualLevel, finiteOrNull),
      stepNumbers: this.stepNumbers,
      hasCompute: this.hasCompute,
      closed: this.closed,
    };
  }

  restore(from: unknown): void {
    const s = from as {
      hostTimes: number[][];
      rankTimes: number[][] | null;
      job: number[][];
      recentLevel: (number | null)[];
      usualLevel: (number | null)[];
      stepNumbers: number[];
      hasCompute: boolean;
      closed: number;
    };
    this.hostTimes.restore(s.hostTimes);
    if (s.rankTimes !== null) this.ranks().restore(s.rankTimes);
    this.job.restore(s.job);
    this.recentLevel.set(s.recentLevel.map((v) => v ?? NaN));
    this.usualLevel.set(s.usualLevel.map((v) => v ?? NaN));
    this.stepNumbers.push(...s.stepNumbers);
    this.hasCompute = s.hasCompute;
    this.closed = s.closed;
  }

  setThreshold(otherTests: number): void {
    const tests =
      otherTests +
      this.job.activeTests +
      this.hostTimes.bank.activeTests +
      (this.rankTimes?.bank.activeTests ?? 0);
    if (tests === this.tests && this.threshold !== Infinity) return;
    this.tests = tests;
    this.threshold = thresholdFor(REFERENCE, tests, this.falseAlarmSteps);
  }

  /** Mean log of every host over those of its ranks that report; how many hosts do. */
  private hostMeans(values: StepValues, ranksReport: boolean, reports: (host: number) => void): number {
    const { hosts, devices, hostOfRank } = this.layout;
    const logs = this.hostLogs.fill(0);
    const count = this.hostCount.fill(0);
    if (ranksReport)
      for (let rank = 0; rank < devices; rank++) {
        const log = values.own[rank];
        if (Number.isNaN(log)) continue;
        logs[hostOfRank[rank]] += log;
        count[hostOfRank[rank]]++;
      }
    let known = 0;
    for (let h = 0; h < hosts; h++) {
      const said = values.own[devices + h];
      if (!Number.isNaN(said)) {
        logs[h] += said;
        count[h]++;
      }
      logs[h] = count[h] > 0 ? logs[h] / count[h] : NaN;
      if (count[h] === 0) continue;
      known++;
      reports(h);
    }
    return known;
  }

  /** Mean over pipeline ranks of the least log of their hosts; NaN when nobody said it. */
  private levelLog(values: StepValues, level: number): number {
    const { hosts, stageOfHost } = this.layout;
    const least = this.leastOfStage.fill(Infinity);
    for (let h = 0; h < hosts; h++) {
      const log = values.levelLeast[level * hosts + h];
      if (log < least[stageOfHost[h]]) least[stageOfHost[h]] = log;
    }
    let sum = 0;
    let stages = 0;
    for (let i = 0; i < least.length; i++)
      if (least[i] < Infinity) {
        sum += least[i];
        stages++;
      }
    return stages === 0 ? NaN : sum / stages;
  }

  /** @param usualLog of the seconds, where the values are deviations from it */
  private jobTest(test: number, source: Source, value: number, usualLog?: number): void {
    if (this.isWarming) return;
    const level = this.job.level(test);
    const alarm = this.job.push(test, value, this.threshold);
    if (alarm === null) return;
    const since = this.stepBefore(alarm.length);
    this.incidents.alarm(source, alarm, usualLog ?? level, this.lastStep, since, this.closed);
  }

  private ranks(): RelativeTest {
    return (this.rankTimes ??= new RelativeTest(this.layout.devices, REFERENCE, LEAST_DEVIATION));
  }

  /** Mean usual log of the hosts. */
  private typicalLog(): number {
    let sum = 0;
    let known = 0;
    for (let h = 0; h < this.layout.hosts; h++)
      if (this.hostTimes.isKnown(h)) {
        sum += this.hostTimes.usualLog(h);
        known++;
      }
    return sum / known;
  }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
