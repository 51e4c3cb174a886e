/**
 * From alarms to findings: alarms that stand close together are one incident, and its culprit is what explains the others.
 * A slow rank makes its host slow, a slow host or link makes the step slow.
 */
import type { Alarm } from './drift.js';
import type { Finding, Found, Quantity } from './finding.js';
import { findingOf, placeOf } from './finding.js';

/** Steps that an alarm waits for others of the same cause. */
const SETTLE_STEPS = 5;
/** Steps that a slow step waits for its explanation, which is seen later where it is smaller. */
const EXPLANATION_STEPS = 20;
/** An explanation holds so long. */
const EXPLAINED_STEPS = 80;
/** One rank with this share of its host's change is the culprit, not the host. */
const CULPRIT_SHARE = 0.5;
const REMEMBERED_FINDINGS = 200;

/** What an alarm is of. */
export interface Source {
  readonly scope: 'job' | 'level' | 'host' | 'rank';
  readonly what: Quantity;
  /** Host, rank or level number; 0 for the job. */
  readonly index: number;
}

interface Pending extends Source {
  /** In logs. */
  readonly change: number;
  readonly sinceStep: number;
  readonly step: number;
  /** Steps closed when it came. */
  readonly at: number;
  readonly before: number;
}

interface Told {
  readonly scope: string;
  readonly what: Quantity;
  readonly host: number;
  readonly up: boolean;
  readonly at: number;
  readonly number: number;
  readonly text: string;
}

/** What the incidents need to know of the job. */
export interface Scene {
  readonly hostOfRank: Int32Array;
  hostName(host: number): string;
  levelName(level: number): string | null;
  /** Recent change of a rank against the others, in logs; 0 where ranks do not report. */
  rankChange(rank: number): number;
  /** Hosts that report. */
  hostsKnown(): number;
}

export class Incidents {
  private pending: Pending[] = [];
  private told: Told[] = [];
  private findings = 0;

  constructor(
    private readonly scene: Scene,
    private readonly tell: (finding: Finding) => void,
    private readonly leastChange: number,
  ) {}

  get count(): number {
    return this.findings;
  }

  /** An alarm of a test; too small a change is of no use to anyone and is dropped. */
  alarm(
    source: Source,
    alarm: Alarm,
    beforeLog: number,
    step: number,
    sinceStep: number,
    closed: number,
  ): void {
    if (Math.abs(Math.expm1(alarm.change)) < this.leastChange) return;
    this.pending.push({
      ...source,
      change: alarm.change,
      sinceStep,
      step,
      at: closed,
      before: Math.exp(beforeLog),
    });
  }

  /** A finding that needs no culprit. */
  report(found: Found, closed: number, host = -1): void {
    this.emit(found, closed, host, null);
  }

  /** Resolves what has waited long enough. */
  settle(closed: number, force = false): void {
    if (this.pending.length === 0) return;
    const due = (p: Pending): boolean => force || closed - p.at >= SETTLE_STEPS;
    const units = this.pending.filter((p) => p.scope === 'host' || p.scope === 'rank');
    if (units.some(due)) {
      this.pending = this.pending.filter((p) => !units.includes(p));
      this.resolveUnits(units, closed);
    }
    const shared = this.pending.filter((p) => (p.scope === 'level' || p.what !== 'step time') && due(p));
    for (const p of shared) this.emitPending(p, closed, null);
    this.pending = this.pending.filter((p) => !shared.includes(p));
    const steps = this.pending.filter((p) => {
      const explained = this.explanation(p, closed) !== null;
      return (explained && due(p)) || force || closed - p.at >= EXPLANATION_STEPS;
    });
    for (const p of steps) this.emitPending(p, closed, this.explanation(p, closed));
    this.pending = this.pending.filter((p) => !steps.includes(p));
  }

  snapshot(): unknown {
    return { pending: this.pending, told: this.told, findings: this.findings };
  }

  restore(from: unknown): void {
    const { pending, told, findings } = from as { pending: Pending[]; told: Told[]; findings: number };
    this.pending = pending;
    this.told = told;
    this.findings = findings;
  }

  private resolveUnits(units: readonly Pending[], closed: number): void {
    const hostOf = (p: Pending): number => (p.scope === 'host' ? p.index : this.scene.hostOfRank[p.index]);
    const times = units.filter((p) => p.what !== 'power');
    const hosts = new Set(times.map(hostOf));
    // All of them at once is no host's doing.
    const common = hosts.size > 1 && hosts.size >= this.scene.hostsKnown();
    if (common && times[0].what === 'compute')
      this.emitPending({ ...times[0], scope: 'job', index: 0 }, closed, null);
    for (const host of common ? [] : hosts) {
      const own = times.filter((p) => hostOf(p) === host);
      const whole = own.find((p) => p.scope === 'host');
      const first = whole ?? own[0];
      if (this.isTold(first, host, closed)) continue;
      const culprit = this.culpritRank(host, first.change > 0);
      if (culprit >= 0 && culprit !== first.index) {
        const byRank = own.find((p) => p.scope === 'rank' && p.index === culprit);
        this.emitPending(byRank ?? { ...first, scope: 'rank', index: culprit }, closed, null);
      } else
        this.emitPending(
          culprit >= 0 || whole ? first : { ...first, scope: 'host', index: host },
          closed,
          null,
        );
    }
    for (const p of units) if (p.what === 'power') this.emitPending(p, closed, null);
  }

  /** The rank that most of its host's change comes from; -1 when it is all of them or nobody knows. */
  private culpritRank(host: number, up: boolean): number {
    let best = -1;
    let most = 0;
    let sum = 0;
    let ranks = 0;
    for (let rank = 0; rank < this.scene.hostOfRank.length; rank++) {
      if (this.scene.hostOfRank[rank] !== host) continue;
      const change = this.scene.rankChange(rank) * (up ? 1 : -1);
      ranks++;
      sum += Math.max(0, change);
      if (change > most) {
        most = change;
        best = rank;
      }
    }
    return ranks > 1 && most > CULPRIT_SHARE * sum ? best : -1;
  }

  /** Whether the same change of the same host was told before. */
  private isTold(p: Pending, host: number, closed: number): boolean {
    return this.told.some(
      (t) =>
        t.host === host &&
        t.up === p.change > 0 &&
        t.what === p.what &&
        // Ranks come after their host; a host that changes again is news.
        (p.scope === 'rank' || t.scope === 'rank') &&
        closed - t.at <= EXPLAINED_STEPS,
    );
  }

  /** What was told of a host, a link or all computing that makes this slow step slow. */
  private explanation(p: Pending, closed: number): Told | null {
    if (p.what !== 'step time' || p.scope !== 'job') return null;
    const found = this.told.filter(
      (t) =>
        (t.scope !== 'job' || t.what === 'compute') &&
        t.what !== 'power' &&
        t.up === p.change > 0 &&
        closed - t.at <= EXPLAINED_STEPS,
    );
    return found.at(-1) ?? null;
  }

  private emitPending(p: Pending, closed: number, cause: Told | null): void {
    const host = p.scope === 'host' ? p.index : p.scope === 'rank' ? this.scene.hostOfRank[p.index] : -1;
    this.emit(
      {
        kind: 'drift',
        what: p.what,
        scope: p.scope,
        step: p.step,
        sinceStep: p.sinceStep,
        host: host < 0 ? null : this.scene.hostName(host),
        rank: p.scope === 'rank' ? p.index : null,
        level: p.scope === 'level' ? this.scene.levelName(p.index) : null,
        change: Math.expm1(p.change),
        before: p.before,
        after: p.before * Math.exp(p.change),
        cause: cause?.number ?? null,
      },
      closed,
      host,
      cause?.text ?? null,
    );
  }

  private emit(found: Found, closed: number, host: number, causeText: string | null): void {
    const finding = findingOf(++this.findings, found, causeText);
    if (found.kind === 'drift')
      this.told.push({
        scope: found.scope,
        what: found.what,
        host,
        up: (found.change ?? 0) > 0,
        at: closed,
        number: finding.number,
        text: found.what === 'compute' && found.scope === 'job' ? 'all computing' : placeOf(finding),
      });
    if (this.told.length > REMEMBERED_FINDINGS) this.told.shift();
    this.tell(finding);
  }
}
