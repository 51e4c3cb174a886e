/**
 * Follows a job: takes its records one by one, in constant memory, and tells what changed. What is tested for drift, each
 * on the log of its time so that changes are relative:
 *
 *     the step time of the job
 *     the median compute time of the hosts              computing is slower everywhere
 *     each host's, each rank's own time against the others'    one of them is slower
 *     per link level, the least time of any host        a link is slower: who came last has not waited for others
 *     each host's power against the others'
 *
 * The threshold is set so that all tests together give one false alarm in `falseAlarmSteps` steps (threshold.ts).
 */
import type { Alarm } from './drift.js';
import { DriftBank, SEED_VALUES, WARM_UP_VALUES } from './drift.js';
import type { Finding } from './finding.js';
import { Incidents } from './incidents.js';
import type { Source } from './incidents.js';
import type { HostNames, JobLayout } from './layout.js';
import type { Checked, MonitorRecord } from './record.js';
import { RelativeTest } from './relativeTest.js';
import type { Place, StepValues } from './stepWindow.js';
import { SILENT_STEPS, StepWindow } from './stepWindow.js';
import { StepTimes } from './stepTimes.js';
import { Telemetry } from './telemetry.js';
import { thresholdFor } from './threshold.js';

export interface WatchOptions {
  /** Steps between false alarms. */
  readonly falseAlarmSteps: number;
  /** Smaller relative changes are not told. */
  readonly leastChange: number;
}

export const WATCH_DEFAULTS: WatchOptions = { falseAlarmSteps: 25_000, leastChange: 0.01 };

/** Half of the change, in standard deviations, that is found soonest. */
const REFERENCE = 0.5;
/** Logs of times differ by at least this from step to step. */
const LEAST_DEVIATION = 0.002;
/** Prediction and truth within this ratio are called equal. */
const PREDICTION_TOLERANCE = 0.2;
const MEMORY_TOLERANCE = 0.1;
/** Tests of the job as a whole. */
const STEP_TEST = 0;
const COMPUTE_TEST = 1;
const FIRST_LEVEL_TEST = 2;
/** A clock may go back by this without anybody minding. */
const CLOCK_SLACK_SEC = 1;
const SINCE_MEMORY = 512;
/** Steps over which recent levels are averaged. */
const RECENT_STEPS = 30;

export class Watch {
  readonly levels: readonly string[];
  readonly window: StepWindow;
  readonly hostTimes: RelativeTest;
  /** Made when the first rank reports. */
  rankTimes: RelativeTest | null = null;
  /** By level: log of its time, recently, and as first learned; NaN: unknown. */
  readonly recentLevel: Float64Array;
  readonly usualLevel: Float64Array;
  readonly telemetry: Telemetry;
  readonly job: DriftBank;
  readonly times: StepTimes;
  readonly incidents: Incidents;
  readonly counts = { accepted: 0, late: 0, twice: 0, restarts: 0, clockJumps: 0 };
  private readonly hostLogs: Float64Array;
  private readonly hostRanks: Int32Array;
  private readonly leastOfStage: Float64Array;
  private readonly lastTime: Float64Array;
  private readonly silent: Uint8Array;
  private readonly lastHostClose: Int32Array;
  private readonly closedNumbers: number[] = [];
  private readonly alarms: Alarm[] = [];
  private hasCompute = false;
  private ranksReport = false;
  private threshold = Infinity;
  private thresholdTests = 0;
  private comparedWithPlan = false;
  private memoryTold = false;
  private clockToldAt = -Infinity;
  private readonly close = (values: StepValues): void => this.endStep(values);

  constructor(
    readonly layout: JobLayout,
    readonly names: HostNames,
    tell: (finding: Finding) => void,
    readonly options: WatchOptions = WATCH_DEFAULTS,
  ) {
    const { hosts, devices } = layout;
    this.levels = [...layout.levels, ''];
    this.window = new StepWindow(devices, hosts, this.levels.length);
    this.hostTimes = new RelativeTest(hosts, REFERENCE, LEAST_DEVIATION);
    this.leastOfStage = new Float64Array(layout.stageOfHost.reduce((most, s) => Math.max(most, s), 0) + 1);
    this.recentLevel = new Float64Array(this.levels.length).fill(NaN);
    this.usualLevel = new Float64Array(this.levels.length).fill(NaN);
    this.telemetry = new Telemetry(devices, hosts, REFERENCE, LEAST_DEVIATION);
    this.job = new DriftBank(FIRST_LEVEL_TEST + this.levels.length, REFERENCE, LEAST_DEVIATION);
    this.times = new StepTimes();
    this.hostLogs = new Float64Array(hosts);
    this.hostRanks = new Int32Array(hosts);
    this.lastTime = new Float64Array(this.window.units).fill(-1);
    this.silent = new Uint8Array(hosts);
    this.lastHostClose = new Int32Array(hosts).fill(-1);
    this.incidents = new Incidents(
      {
        hostOfRank: layout.hostOfRank,
        hostName: (host) => names.nameOf(host),
        levelName: (level) => this.levels[level] || null,
        rankChange: (rank) => this.rankTimes?.recentChange(rank) ?? 0,
        hostsKnown: () => this.lastHostClose.reduce((n, at) => n + (at >= 0 ? 1 : 0), 0),
      },
      tell,
      options.leastChange,
    );
  }

  /** Two-sided tests that can give alarms, and their common threshold in deviations. */
  get testing(): { tests: number; threshold: number } {
    return { tests: this.thresholdTests, threshold: this.threshold };
  }

  /** Takes a record that passed its checks (record.ts). */
  take(record: MonitorRecord, { rank, host }: Checked): Place | 'sample' {
    const { step } = record;
    if (host >= 0) {
      this.telemetry.add(record, rank, host, this.threshold, this.alarms);
      if (this.alarms.length > 0) this.pass('host', 'power', (h) => this.telemetry.power.usualLog(h));
      this.checkMemory(record, host);
    }
    if (step === undefined) {
      this.counts.accepted++;
      return 'sample';
    }
    const unit = this.window.unitOf(rank, host);
    const before = this.window.lastSeen[unit];
    let place = this.window.admit(unit, step, this.close);
    if (place === 'restart') {
      this.counts.restarts++;
      this.incidents.report({ kind: 'restart', what: 'step time', scope: 'job', step, sinceStep: step }, this.window.closedSteps);
      place = this.window.admit(unit, step, this.close);
    }
    const seconds = record.stepTimeSec ?? this.spacing(record, unit, step - before);
    this.checkClock(record, unit, host, step);
    if (place !== 'new') {
      this.counts[place === 'twice' ? 'twice' : 'late']++;
      return place;
    }
    this.counts.accepted++;
    this.fill(this.window.slotOf(step), record, unit, host, seconds);
    if (rank >= 0) this.ranksReport = true;
    this.window.settle(this.close);
    return place;
  }

  /** Ends what is open: no more records come. */
  finish(): void {
    this.window.flush(this.close);
    this.incidents.settle(this.window.closedSteps, true);
  }

  snapshot(): unknown {
    return {
      window: this.window.snapshot(),
      hostTimes: this.hostTimes.snapshot(),
      rankTimes: this.rankTimes?.snapshot() ?? null,
      recentLevel: Array.from(this.recentLevel, finiteOrNull),
      usualLevel: Array.from(this.usualLevel, finiteOrNull),
      telemetry: this.telemetry.snapshot(),
      job: this.job.snapshot(),
      times: this.times.snapshot(),
      incidents: this.incidents.snapshot(),
      names: this.names.snapshot(),
      counts: this.counts,
      lastTime: Array.from(this.lastTime),
      silent: Array.from(this.silent),
      lastHostClose: Array.from(this.lastHostClose),
      closedNumbers: this.closedNumbers,
      flags: [this.hasCompute, this.ranksReport, this.comparedWithPlan, this.memoryTold],
      clockToldAt: Number.isFinite(this.clockToldAt) ? this.clockToldAt : null,
    };
  }

  restore(from: unknown): void {
    const s = from as Record<string, never>;
    this.window.restore(s['window']);
    this.hostTimes.restore(s['hostTimes']);
    if (s['rankTimes'] !== null) this.ranks().restore(s['rankTimes']);
    this.recentLevel.set((s['recentLevel'] as (number | null)[]).map((v) => v ?? NaN));
    this.usualLevel.set((s['usualLevel'] as (number | null)[]).map((v) => v ?? NaN));
    this.telemetry.restore(s['telemetry']);
    this.job.restore(s['job']);
    this.times.restore(s['times']);
    this.incidents.restore(s['incidents']);
    this.names.restore(s['names']);
    Object.assign(this.counts, s['counts']);
    this.lastTime.set(s['lastTime']);
    this.silent.set(s['silent']);
    this.lastHostClose.set(s['lastHostClose']);
    this.closedNumbers.push(...(s['closedNumbers'] as number[]));
    [this.hasCompute, this.ranksReport, this.comparedWithPlan, this.memoryTold] = s['flags'] as boolean[];
    this.clockToldAt = (s['clockToldAt'] as number | null) ?? -Infinity;
    this.setThreshold();
  }

  private fill(slot: StepValues, record: MonitorRecord, unit: number, host: number, stepTimeSec: number): void {
    if (stepTimeSec > 0) {
      slot.stepLogSum += Math.log(stepTimeSec);
      slot.stepLogs++;
    }
    if (record.computeSec !== undefined) this.hasCompute = true;
    const own = record.computeSec ?? stepTimeSec;
    if (own > 0) slot.own[unit] = Math.log(own);
    if (record.tokens !== undefined) slot.tokens += record.tokens;
    // What the whole job says of its links stands for host 0.
    const at = Math.max(0, host);
    const { levels, communicationSec } = record;
    if (levels !== undefined) {
      for (const name in levels) this.addLevel(slot, this.levels.indexOf(name), at, levels[name]);
    } else if (communicationSec !== undefined)
      this.addLevel(slot, this.levels.length - 1, at, communicationSec);
  }

  private addLevel(slot: StepValues, level: number, host: number, seconds: number): void {
    if (level < 0 || !(seconds > 0)) return;
    const at = level * this.layout.hosts + host;
    slot.levelSum[at] += Math.log(seconds);
    slot.levelCount[at]++;
  }

  private endStep(values: StepValues): void {
    this.closedNumbers.push(values.step);
    if (this.closedNumbers.length > 2 * SINCE_MEMORY) this.closedNumbers.splice(0, SINCE_MEMORY);
    this.setThreshold();
    if (values.stepLogs > 0) {
      const log = values.stepLogSum / values.stepLogs;
      this.times.add(Math.exp(log), values.step, values.tokens);
      this.jobTest(STEP_TEST, { scope: 'job', what: 'step time', index: 0 }, log);
    }
    this.testHosts(values);
    for (let level = 0; level < this.levels.length; level++) this.testLevel(values, level);
    this.checkSilence(values.step);
    this.compareWithPlan(values.step);
    this.incidents.settle(this.window.closedSteps);
  }

  private testHosts(values: StepValues): void {
    const { hosts, devices, hostOfRank } = this.layout;
    const logs = this.hostLogs.fill(0);
    const count = this.hostRanks.fill(0);
    if (this.ranksReport)
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
      if (this.silent[h] === 1) this.report('back', h, values.step);
      this.silent[h] = 0;
      this.lastHostClose[h] = this.window.closedSteps;
    }
    if (known === 0) return;
    const what = this.hasCompute ? 'compute' : 'step time';
    // One host alone is the job.
    const threshold = known > 1 ? this.threshold : Infinity;
    const middle = this.hostTimes.step(logs, threshold, this.alarms);
    this.pass('host', what, (h) => this.hostTimes.usualLog(h), values.step);
    if (this.ranksReport) {
      this.ranks().step(values.own.subarray(0, devices), threshold, this.alarms, middle);
      this.pass('rank', what, (r) => this.ranks().usualLog(r), values.step);
    }
    // Two hosts have no middle: when both change, their own tests say it.
    if (this.hasCompute && known !== 2 && !Number.isNaN(middle))
      this.jobTest(COMPUTE_TEST, { scope: 'job', what: 'compute', index: 0 }, middle, this.typicalLog());
  }

  /**
   * Whoever comes last to a collective waits for nobody: the least time of the hosts that do equal work is the link's own.
   */
  private testLevel(values: StepValues, level: number): void {
    const { hosts, stageOfHost } = this.layout;
    const least = this.leastOfStage.fill(Infinity);
    for (let h = 0; h < hosts; h++) {
      const at = level * hosts + h;
      if (values.levelCount[at] === 0) continue;
      const log = values.levelSum[at] / values.levelCount[at];
      if (log < least[stageOfHost[h]]) least[stageOfHost[h]] = log;
    }
    let sum = 0;
    let stages = 0;
    for (const log of least)
      if (log < Infinity) {
        sum += log;
        stages++;
      }
    if (stages === 0) return;
    const log = sum / stages;
    const recent = this.recentLevel[level];
    this.recentLevel[level] = Number.isNaN(recent) ? log : recent + (log - recent) / RECENT_STEPS;
    if (Number.isNaN(this.usualLevel[level])) this.usualLevel[level] = this.job.level(FIRST_LEVEL_TEST + level);
    this.jobTest(FIRST_LEVEL_TEST + level, { scope: 'level', what: 'communication', index: level }, log);
  }

  private jobTest(test: number, source: Source, value: number, usualLog?: number): void {
    const level = this.job.level(test);
    const alarm = this.job.push(test, value, this.threshold);
    if (alarm === null) return;
    const { closedSteps } = this.window;
    const step = this.closedNumbers.at(-1)!;
    this.incidents.alarm(source, alarm, usualLog ?? level, step, this.since(alarm), closedSteps);
  }

  /** Hands the alarms of a relative test on, and empties their list. */
  private pass(scope: 'host' | 'rank', what: Source['what'], usualLog: (unit: number) => number, step = this.closedNumbers.at(-1) ?? 0): void {
    for (const alarm of this.alarms)
      this.incidents.alarm({ scope, what, index: alarm.test }, alarm, usualLog(alarm.test), step, this.since(alarm), this.window.closedSteps);
    this.alarms.length = 0;
  }

  private since({ length }: Alarm): number {
    const { closedNumbers } = this;
    return closedNumbers[Math.max(0, closedNumbers.length - length)] ?? 0;
  }

  private setThreshold(): void {
    const tests =
      this.job.activeTests +
      this.hostTimes.bank.activeTests +
      (this.rankTimes?.bank.activeTests ?? 0) +
      this.telemetry.power.bank.activeTests;
    if (tests === this.thresholdTests && this.threshold !== Infinity) return;
    this.thresholdTests = tests;
    this.threshold = thresholdFor(REFERENCE, tests, this.options.falseAlarmSteps);
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

  /** Step time from two time stamps of one unit, where the log states none; NaN when they do not say. */
  private spacing(record: MonitorRecord, unit: number, steps: number): number {
    const last = this.lastTime[unit];
    if (record.timeSec === undefined || last < 0 || steps <= 0) return NaN;
    const seconds = (record.timeSec - last) / steps;
    const usual = this.times.sumSec / this.times.count;
    return seconds > 0 && !(seconds > 20 * usual) ? seconds : NaN;
  }

  private checkClock(record: MonitorRecord, unit: number, host: number, step: number): void {
    const { timeSec } = record;
    if (timeSec === undefined) return;
    const last = this.lastTime[unit];
    this.lastTime[unit] = timeSec;
    const { closedSteps } = this.window;
    if (last < 0 || timeSec >= last - CLOCK_SLACK_SEC) return;
    this.counts.clockJumps++;
    if (closedSteps - this.clockToldAt < SILENT_STEPS) return;
    this.clockToldAt = closedSteps;
    this.incidents.report(
      {
        kind: 'clock',
        what: 'clock',
        scope: host < 0 ? 'job' : 'host',
        host: host < 0 ? null : this.names.nameOf(host),
        step,
        before: last,
        after: timeSec,
      },
      closedSteps,
    );
  }

  private checkMemory({ memoryBytes }: MonitorRecord, host: number): void {
    const { peakMemoryBytes } = this.layout.prediction;
    if (memoryBytes === undefined || this.memoryTold || memoryBytes <= peakMemoryBytes * (1 + MEMORY_TOLERANCE)) return;
    this.memoryTold = true;
    this.incidents.report(
      {
        kind: 'memory',
        what: 'memory',
        scope: 'host',
        host: this.names.nameOf(host),
        step: Math.max(0, this.window.newestStep),
        change: memoryBytes / peakMemoryBytes - 1,
        before: peakMemoryBytes,
        after: memoryBytes,
      },
      this.window.closedSteps,
    );
  }

  private checkSilence(step: number): void {
    const { closedSteps } = this.window;
    for (let h = 0; h < this.layout.hosts; h++) {
      if (this.lastHostClose[h] < 0 || this.silent[h] === 1 || !this.hostTimes.isKnown(h)) continue;
      if (closedSteps - this.lastHostClose[h] <= SILENT_STEPS) continue;
      this.silent[h] = 1;
      this.report('silent', h, step);
    }
  }

  private report(kind: 'silent' | 'back', host: number, step: number): void {
    const { closedSteps } = this.window;
    const since = this.since({ test: 0, change: 0, length: closedSteps - this.lastHostClose[host] });
    this.incidents.report(
      {
        kind,
        what: 'reports',
        scope: 'host',
        host: this.names.nameOf(host),
        step,
        sinceStep: kind === 'silent' ? since : step,
      },
      closedSteps,
      host,
    );
  }

  private compareWithPlan(step: number): void {
    if (this.comparedWithPlan || this.times.count < WARM_UP_VALUES) return;
    this.comparedWithPlan = true;
    const before = this.layout.prediction.stepTimeSec;
    const after = this.times.median();
    if (!(before > 0) || Math.abs(Math.log(after / before)) < Math.log1p(PREDICTION_TOLERANCE)) return;
    this.incidents.report(
      { kind: 'prediction', what: 'step time', scope: 'job', step, change: after / before - 1, before, after },
      this.window.closedSteps,
    );
  }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Steps before the first alarm can come: to learn what is usual, and to learn how it varies. */
export const STEPS_TO_LEARN = SEED_VALUES + WARM_UP_VALUES;
