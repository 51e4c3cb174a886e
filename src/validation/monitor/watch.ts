/**
 * Follows a job: takes its records one by one, in constant memory, puts the steps together and tells what changed. Drift is
 * tested step by step (stepTests.ts); hosts that fall silent, clocks that jump, memory and step times that the plan did not
 * foretell are seen here.
 */
import type { Alarm } from './drift.js';
import { SEED_VALUES, WARM_UP_VALUES } from './drift.js';
import type { Finding, Found } from './finding.js';
import { Incidents } from './incidents.js';
import type { HostNames, JobLayout } from './layout.js';
import { Presence } from './presence.js';
import type { Checked, MonitorRecord } from './record.js';
import { LEAST_DEVIATION, REFERENCE, StepTests } from './stepTests.js';
import { StepTimes } from './stepTimes.js';
import type { Place, StepValues } from './stepWindow.js';
import { SILENT_STEPS, StepWindow } from './stepWindow.js';
import { Telemetry } from './telemetry.js';

export interface WatchOptions {
  /** Steps between false alarms. */
  readonly falseAlarmSteps: number;
  /** Smaller relative changes are not told. */
  readonly leastChange: number;
}

export const WATCH_DEFAULTS: WatchOptions = { falseAlarmSteps: 40_000, leastChange: 0.01 };

/** Steps before a change can be found: to learn what is usual, and how it varies. */
export const STEPS_TO_LEARN = SEED_VALUES + WARM_UP_VALUES;

type PlaceOfFinding = Pick<Found, 'scope' | 'host' | 'rank'>;

/** Prediction and truth within this share are called equal. */
const PREDICTION_TOLERANCE = 0.2;
const MEMORY_TOLERANCE = 0.1;
/** A clock may go back by this without anybody minding. */
const CLOCK_SLACK_SEC = 1;
/** A time between two stamps that is longer than so many usual steps is a pause. */
const PAUSE_STEPS = 20;
/** After a restart or a pause so many steps are slow for reasons of their own, and are not tested. */
const WARMING_STEPS = 10;

export class Watch {
  /** Names of the link levels, and last what is said of communication as a whole. */
  readonly levels: readonly string[];
  readonly window: StepWindow;
  readonly tests: StepTests;
  readonly telemetry: Telemetry;
  readonly times = new StepTimes();
  readonly incidents: Incidents;
  readonly counts = { accepted: 0, late: 0, twice: 0, restarts: 0, clockJumps: 0, pauses: 0 };
  private readonly lastTime: Float64Array;
  private readonly presence: Presence;
  private readonly powerAlarms: Alarm[] = [];
  private ranksReport = false;
  private comparedWithPlan = false;
  private memoryTold = false;
  private clockToldAt = -SILENT_STEPS;
  private pauseToldAt = -SILENT_STEPS;
  /** Steps that are still slow after a restart or a pause. */
  private warming = 0;
  private readonly close = (values: StepValues): void => this.endStep(values);

  constructor(
    readonly layout: JobLayout,
    readonly names: HostNames,
    tell: (finding: Finding) => void,
    options: WatchOptions = WATCH_DEFAULTS,
  ) {
    const { hosts, devices } = layout;
    this.levels = [...layout.levels, ''];
    this.window = new StepWindow(devices, hosts, this.levels.length);
    this.telemetry = new Telemetry(devices, hosts, REFERENCE, LEAST_DEVIATION);
    this.lastTime = new Float64Array(this.window.units).fill(-1);
    this.incidents = new Incidents(
      {
        hostOfRank: layout.hostOfRank,
        hostName: (host) => names.nameOf(host),
        levelName: (level) => this.levels[level] || null,
        rankChange: (rank) => this.tests.rankTimes?.recentRise(rank) ?? 0,
        hostsKnown: () => this.presence.hostsSeen(),
      },
      tell,
      options.leastChange,
    );
    this.presence = new Presence(layout, {
      host: (kind, host, closed) => this.report(kind, this.hostPlace(host), host, closed),
      rank: (kind, rank, closed) => {
        const host = layout.hostOfRank[rank];
        this.report(kind, { scope: 'rank', rank, host: names.nameOf(host) }, host, closed);
      },
      isHostKnown: (host) => this.hostReports(host),
      isRankKnown: (rank) => this.tests.rankTimes?.isKnown(rank) ?? false,
    });
    this.tests = new StepTests(layout, this.levels.length, this.incidents, options.falseAlarmSteps);
  }

  /** Whether the host has said how fast it is, often enough to know. */
  hostReports(host: number): boolean {
    return this.tests.hostTimes.isKnown(host);
  }

  isSilent(host: number): boolean {
    return this.presence.isSilent(host);
  }

  /** Takes a record that passed its checks (record.ts). */
  take(record: MonitorRecord, { rank, host }: Checked): Place | 'sample' {
    const { step } = record;
    if (host >= 0) this.takeCounters(record, rank, host);
    else this.telemetry.addJob(record);
    this.checkMemory(record, host);
    if (step === undefined) {
      this.counts.accepted++;
      return 'sample';
    }
    const unit = this.window.unitOf(rank, host);
    const lastStep = this.window.lastSeen[unit];
    let place = this.window.admit(unit, step, this.close);
    if (place === 'restart') {
      this.counts.restarts++;
      this.warming = WARMING_STEPS;
      this.incidents.report(
        { kind: 'restart', what: 'step time', scope: 'job', step },
        this.window.closedSteps,
      );
      place = this.window.admit(unit, step, this.close);
    }
    const seconds = record.stepTimeSec ?? this.spacing(record, unit, step - lastStep);
    this.checkClock(record, unit, host, step, step - lastStep);
    if (place !== 'new') {
      this.counts[place === 'twice' ? 'twice' : 'late']++;
      return place;
    }
    this.counts.accepted++;
    if (rank >= 0) this.ranksReport = true;
    this.fill(this.window.slotOf(step), record, unit, host, seconds);
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
      tests: this.tests.snapshot(),
      telemetry: this.telemetry.snapshot(),
      times: this.times.snapshot(),
      incidents: this.incidents.snapshot(),
      names: this.names.snapshot(),
      counts: this.counts,
      lastTime: Array.from(this.lastTime),
      presence: this.presence.snapshot(),
      flags: [this.ranksReport, this.comparedWithPlan, this.memoryTold],
      toldAt: [this.clockToldAt, this.pauseToldAt, this.warming],
    };
  }

  restore(from: unknown): void {
    const s = from as { lastTime: number[]; presence: number[][] } & Record<string, unknown>;
    this.window.restore(s['window']);
    this.tests.restore(s['tests']);
    this.telemetry.restore(s['telemetry']);
    this.times.restore(s['times']);
    this.incidents.restore(s['incidents']);
    this.names.restore(s['names'] as ReturnType<HostNames['snapshot']>);
    Object.assign(this.counts, s['counts']);
    this.lastTime.set(s.lastTime);
    this.presence.restore(s.presence);
    [this.ranksReport, this.comparedWithPlan, this.memoryTold] = s['flags'] as [boolean, boolean, boolean];
    [this.clockToldAt, this.pauseToldAt, this.warming] = s['toldAt'] as [number, number, number];
    this.tests.setThreshold(this.telemetry.power.bank.activeTests);
  }

  private takeCounters(record: MonitorRecord, rank: number, host: number): void {
    const alarms = this.powerAlarms;
    this.telemetry.add(record, rank, host, this.tests.threshold, alarms);
    if (alarms.length > 0) this.tests.pass('host', 'power', this.telemetry.power, alarms);
  }

  private fill(
    slot: StepValues,
    record: MonitorRecord,
    unit: number,
    host: number,
    stepTimeSec: number,
  ): void {
    if (stepTimeSec > 0) {
      slot.stepLogSum += Math.log(stepTimeSec);
      slot.stepLogs++;
    }
    if (record.computeSec !== undefined) this.tests.hasCompute = true;
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
    // A rank that waits for others says more than the transfer takes.
    slot.levelLeast[at] = Math.min(slot.levelLeast[at], Math.log(seconds));
  }

  private endStep(values: StepValues): void {
    const { closedSteps } = this.window;
    const isWarming = this.warming > 0;
    if (isWarming) this.warming--;
    const others = this.telemetry.power.bank.activeTests;
    const log = this.tests.begin(values, closedSteps, others, isWarming);
    if (!Number.isNaN(log)) this.times.add(Math.exp(log), values.step, values.tokens);
    if (this.ranksReport) this.presence.seeRanks(values.own, closedSteps);
    this.tests.testHosts(values, this.ranksReport, (host) => this.presence.seeHost(host, closedSteps));
    this.tests.testLevels(values);
    this.presence.check(closedSteps);
    this.compareWithPlan(values.step);
    this.incidents.settle(closedSteps);
  }

  /** Step time from two time stamps of one unit, where the log states none; NaN when they do not say. */
  private spacing(record: MonitorRecord, unit: number, steps: number): number {
    const last = this.lastTime[unit];
    if (record.timeSec === undefined || last < 0 || steps <= 0) return NaN;
    const seconds = (record.timeSec - last) / steps;
    return seconds > 0 && !(seconds > PAUSE_STEPS * this.usualStepSec) ? seconds : NaN;
  }

  /** Mean step time so far; NaN before the first. */
  get usualStepSec(): number {
    return this.times.sumSec / this.times.count;
  }

  /** @param steps since the same unit's last report */
  private checkClock(
    { timeSec }: MonitorRecord,
    unit: number,
    host: number,
    step: number,
    steps: number,
  ): void {
    if (timeSec === undefined) return;
    const last = this.lastTime[unit];
    this.lastTime[unit] = timeSec;
    const { closedSteps } = this.window;
    if (last < 0) return;
    if (timeSec - last > PAUSE_STEPS * this.usualStepSec * Math.max(1, steps)) {
      this.warming = WARMING_STEPS;
      // All that report see the same pause.
      if (closedSteps - this.pauseToldAt < SILENT_STEPS) return;
      this.counts.pauses++;
      this.pauseToldAt = closedSteps;
      const before = this.usualStepSec;
      const after = timeSec - last;
      this.incidents.report(
        { kind: 'pause', what: 'step time', scope: 'job', step, before, after },
        closedSteps,
      );
      return;
    }
    if (timeSec >= last - CLOCK_SLACK_SEC) return;
    this.counts.clockJumps++;
    if (closedSteps - this.clockToldAt < SILENT_STEPS) return;
    this.clockToldAt = closedSteps;
    this.incidents.report(
      { kind: 'clock', what: 'clock', ...this.placeOfHost(host), step, before: last, after: timeSec },
      closedSteps,
    );
  }

  private checkMemory({ memoryBytes }: MonitorRecord, host: number): void {
    const before = this.layout.prediction.peakMemoryBytes;
    if (memoryBytes === undefined || this.memoryTold || memoryBytes <= before * (1 + MEMORY_TOLERANCE))
      return;
    this.memoryTold = true;
    const step = Math.max(0, this.window.newestStep);
    const change = memoryBytes / before - 1;
    this.incidents.report(
      { kind: 'memory', what: 'memory', ...this.placeOfHost(host), step, change, before, after: memoryBytes },
      this.window.closedSteps,
    );
  }

  private report(kind: 'silent' | 'back', place: PlaceOfFinding, host: number, closed: number): void {
    const { closedSteps } = this.window;
    const step = this.tests.lastStep;
    const sinceStep = kind === 'back' ? step : this.tests.stepBefore(closedSteps - closed);
    this.incidents.report({ kind, what: 'reports', ...place, step, sinceStep }, closedSteps, host);
  }

  private compareWithPlan(step: number): void {
    if (this.comparedWithPlan || this.times.count < WARM_UP_VALUES) return;
    this.comparedWithPlan = true;
    const before = this.layout.prediction.stepTimeSec;
    const after = this.times.median();
    if (!(before > 0) || Math.abs(Math.log(after / before)) < Math.log1p(PREDICTION_TOLERANCE)) return;
    this.incidents.report(
      {
        kind: 'prediction',
        what: 'step time',
        scope: 'job',
        step,
        change: after / before - 1,
        before,
        after,
      },
      this.window.closedSteps,
    );
  }

  private placeOfHost(host: number): { scope: 'job' } | { scope: 'host'; host: string } {
    return host < 0 ? { scope: 'job' } : this.hostPlace(host);
  }

  private hostPlace(host: number): { scope: 'host'; host: string } {
    return { scope: 'host', host: this.names.nameOf(host) };
  }
}
