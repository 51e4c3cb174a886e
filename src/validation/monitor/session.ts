/** A watch with its state: lines in, findings out, counts of what was turned away; goes on where an earlier one stopped. */
import { PartitionError, oneLine } from '../../util/errors.js';
import type { Finding, Found } from './finding.js';
import type { Journal } from './journal.js';
import type { JobLayout } from './layout.js';
import { HostNames } from './layout.js';
import type { LineFormat } from './lines.js';
import { LineReader } from './lines.js';
import type { Checked, Fault, MonitorRecord } from './record.js';
import { faultOf } from './record.js';
import type { TailPosition } from './tail.js';
import type { WatchOptions } from './watch.js';
import { WATCH_DEFAULTS, Watch } from './watch.js';

/** Lines that were turned away are quoted up to this number of each fault. */
const QUOTED_FAULTS = 3;
const RECENT_FINDINGS = 50;

export interface TurnedAway {
  readonly fault: Fault;
  readonly where: string;
  readonly text: string;
}

interface SavedBody {
  readonly watch: unknown;
  readonly positions: Record<string, TailPosition>;
  readonly lines: number;
  readonly others: number;
  readonly faults: Partial<Record<Fault, number>>;
  readonly quoted: TurnedAway[];
  readonly recent: Finding[];
  readonly reader: unknown;
}

/** Lines of a pipe are read again from the journal: both are one stream. */
const JOURNAL = 'journal';

export class MonitorSession {
  readonly watch: Watch;
  readonly names: HostNames;
  /** Where each file goes on. */
  positions: Record<string, TailPosition> = {};
  lines = 0;
  /** Lines that were not meant for us. */
  others = 0;
  readonly faults: Partial<Record<Fault, number>> = {};
  readonly quoted: TurnedAway[] = [];
  readonly recent: Finding[] = [];
  /** Whether there was a state to go on from. */
  resumed = false;
  private readonly reader: LineReader;
  private readonly checked: Checked = { rank: -1, host: -1 };
  private replaying = false;

  /**
   * @param journal null: nothing outlives the process
   * @param tell is told of every finding, also of those that a resumed session finds again
   */
  constructor(
    readonly layout: JobLayout,
    format: LineFormat,
    private readonly journal: Journal | null,
    private readonly tell: (finding: Finding) => void,
    options: WatchOptions = WATCH_DEFAULTS,
  ) {
    this.names = new HostNames(layout.hosts);
    this.reader = new LineReader(format, layout);
    this.watch = new Watch(layout, this.names, (finding) => this.found(finding), options);
  }

  /** Goes on from the saved state and the lines that were accepted after it. */
  open(): void {
    this.journal?.open(
      (body) => this.restore(body as SavedBody),
      (line) => {
        this.replaying = true;
        this.line(line, JOURNAL);
      },
    );
    this.replaying = false;
  }

  /**
   * Lines of a source that cannot be read again.
   *
   * @throws PartitionError input when a header says that the log is of another plan or job; so does `line`
   */
  acceptLines(lines: readonly string[], source: string, firstLine = 1): void {
    this.journal?.append(lines);
    for (let i = 0; i < lines.length; i++) this.line(lines[i], source, firstLine + i, JOURNAL);
  }

  /** Whether a line without end is a record all the same. */
  isWhole(text: string): boolean {
    return this.reader.isWhole(text);
  }

  /**
   * One line.
   *
   * @param source with `number`, for messages
   * @param stream whose lines follow each other
   * @returns step of the record; -1 where it has none
   */
  line(text: string, source: string, number = 0, stream = source): number {
    this.lines++;
    const where = `${source}:${number}`;
    const line = this.reader.read(text, stream, (record) => this.take(record, where, 'timers'));
    if (line.kind === 'record') return this.take(line.record, where, text);
    if (line.kind === 'other') this.others++;
    else if (line.kind === 'malformed') this.turnAway(line.fault, where, text);
    else this.header(line.header.planDigest, line.header.hosts, where);
    return -1;
  }

  /** Ends what is open: no more lines come. */
  finish(): void {
    this.reader.finish((record) => this.take(record, 'end', 'timers'));
    this.watch.finish();
  }

  /** A finding from outside of the records: a source that gives none. */
  report(found: Omit<Found, 'step'>): void {
    const { window, incidents } = this.watch;
    incidents.report({ ...found, step: Math.max(0, window.newestStep) }, window.closedSteps);
  }

  turnAway(fault: Fault, where: string, text: string): void {
    const count = (this.faults[fault] = (this.faults[fault] ?? 0) + 1);
    if (count <= QUOTED_FAULTS) this.quoted.push({ fault, where, text: oneLine(text, 100) });
  }

  /** Writes the state: what was taken so far counts from now on. */
  save(): void {
    this.journal?.save(this.body());
  }

  /** All that a session goes on from, as plain JSON. */
  body(): unknown {
    return {
      watch: this.watch.snapshot(),
      positions: this.positions,
      lines: this.lines,
      others: this.others,
      faults: this.faults,
      quoted: this.quoted,
      recent: this.recent,
      reader: this.reader.snapshot(),
    } satisfies SavedBody;
  }

  restoreBody(body: unknown): void {
    this.restore(body as SavedBody);
  }

  private restore(body: SavedBody): void {
    this.resumed = true;
    this.watch.restore(body.watch);
    this.positions = body.positions;
    this.lines = body.lines;
    this.others = body.others;
    Object.assign(this.faults, body.faults);
    this.quoted.push(...body.quoted);
    this.recent.push(...body.recent);
    this.reader.restore(body.reader);
  }

  private take(record: MonitorRecord, where: string, text: string): number {
    const fault = faultOf(record, this.layout, this.names, this.checked);
    if (fault !== null) this.turnAway(fault, where, text);
    else this.watch.take(record, this.checked);
    return fault === null ? (record.step ?? -1) : -1;
  }

  private header(digest: string | undefined, hosts: readonly string[] | undefined, where: string): void {
    if (digest !== undefined && digest !== this.layout.planDigest)
      throw new PartitionError(
        'input',
        `header: expected plan ${this.layout.planDigest.slice(0, 12)}, found ${oneLine(digest, 12)}`,
        where,
        'the log is of another plan: monitor it with the plan that the job runs',
      );
    if (hosts !== undefined) this.names.list(hosts, where);
  }

  private found(finding: Finding): void {
    this.journal?.appendFinding(JSON.stringify(finding));
    this.recent.push(finding);
    if (this.recent.length > RECENT_FINDINGS) this.recent.shift();
    if (!this.replaying) this.tell(finding);
  }
}
