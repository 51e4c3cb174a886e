/**
 * Puts records of many hosts together, step by step. Records come in any order within a few steps; a step closes when all
 * that usually report have reported, or when the job is well ahead of it. Steps close in order.
 */

/** Steps that are open at a time. */
const OPEN_STEPS = 8;
/** A step that is so far behind the newest closes as it is. */
const LAG_STEPS = 4;
/** Who has been silent for so many steps is not waited for. */
export const SILENT_STEPS = 20;
/** So many records in a row of steps that are over mean that the job went back, to a checkpoint. */
const LEAST_RESTART_RECORDS = 16;

/** What was said of one step. Logs of seconds; NaN where nobody said it. */
export interface StepValues {
  step: number;
  /** By unit: ranks, then hosts, then the job as a whole. */
  readonly own: Float64Array;
  readonly reported: Uint8Array;
  reports: number;
  stepLogSum: number;
  stepLogs: number;
  /** [level * hosts + host]: least log of seconds of the host's ranks; Infinity where nobody said it. */
  readonly levelLeast: Float64Array;
  tokens: number;
}

export type Place = 'new' | 'late' | 'twice' | 'restart';

export class StepWindow {
  readonly units: number;
  private readonly slots: StepValues[];
  private lowest = -1;
  private newest = -1;
  /** Step in which each unit last reported; -1: never. */
  readonly lastSeen: Float64Array;
  private active = 0;
  private lateInRow = 0;
  closedSteps = 0;

  constructor(
    private readonly ranks: number,
    private readonly hosts: number,
    levels: number,
  ) {
    this.units = ranks + hosts + 1;
    this.lastSeen = new Float64Array(this.units).fill(-1);
    this.slots = Array.from({ length: OPEN_STEPS }, () => ({
      step: -1,
      own: new Float64Array(this.units).fill(NaN),
      reported: new Uint8Array(this.units),
      reports: 0,
      stepLogSum: 0,
      stepLogs: 0,
      levelLeast: new Float64Array(levels * hosts).fill(Infinity),
      tokens: 0,
    }));
  }

  unitOf(rank: number, host: number): number {
    return rank >= 0 ? rank : this.ranks + (host >= 0 ? host : this.hosts);
  }

  /** Step that the job has reached; -1 before the first. */
  get newestStep(): number {
    return this.newest;
  }

  /**
   * Makes room for a report, closing what must be closed.
   *
   * @param close takes each step that is over, in order; the values are used again afterwards
   * @returns `new` when the report may be filled into `slotOf(step)`
   */
  admit(unit: number, step: number, close: (values: StepValues) => void): Place {
    if (step < this.lowest) {
      this.see(unit, this.lowest);
      if (++this.lateInRow < Math.max(LEAST_RESTART_RECORDS, 4 * this.active)) return 'late';
      this.goBack(step, close);
      return 'restart';
    }
    if (this.lowest < 0) this.lowest = step;
    // A leap: nothing that is open gets company any more.
    if (step >= this.lowest + OPEN_STEPS) {
      this.closeUpTo(Math.min(this.newest, step - LAG_STEPS - 1), close);
      this.lowest = Math.max(this.lowest, step - LAG_STEPS);
    }
    this.newest = Math.max(this.newest, step);
    this.closeUpTo(this.newest - LAG_STEPS - 1, close);
    const slot = this.slotOf(step);
    if (slot.reported[unit] === 1) return 'twice';
    this.lateInRow = 0;
    slot.reported[unit] = 1;
    slot.reports++;
    this.see(unit, step);
    return 'new';
  }

  /** Values of an open step. */
  slotOf(step: number): StepValues {
    const slot = this.slots[step % OPEN_STEPS];
    slot.step = step;
    return slot;
  }

  /** Closes steps that nobody else will report on; call it after the report was filled in. */
  settle(close: (values: StepValues) => void): void {
    while (this.lowest <= this.newest && this.isComplete(this.lowest)) this.closeUpTo(this.lowest, close);
  }

  /** Closes everything. */
  flush(close: (values: StepValues) => void): void {
    this.closeUpTo(this.newest, close);
  }

  snapshot(): unknown {
    const { lowest, newest, active, lateInRow, closedSteps } = this;
    return {
      ...{ lowest, newest, active, lateInRow, closedSteps },
      lastSeen: Array.from(this.lastSeen),
      // NaN is no JSON: who reported, and what.
      open: this.slots
        .filter((s) => s.reports > 0)
        .map((s) => ({
          ...s,
          own: Array.from(s.own, (v) => (Number.isNaN(v) ? null : v)),
          reported: Array.from(s.reported),
          levelLeast: Array.from(s.levelLeast, (v) => (v === Infinity ? null : v)),
        })),
    };
  }

  restore(from: unknown): void {
    const { lastSeen, open, ...numbers } = from as {
      lastSeen: number[];
      open: (Record<string, number> & Record<'own' | 'reported' | 'levelLeast', number[]>)[];
    };
    Object.assign(this, numbers);
    this.lastSeen.set(lastSeen);
    for (const saved of open) {
      const slot = this.slots[saved['step'] % OPEN_STEPS];
      slot.step = saved['step'];
      slot.reports = saved['reports'];
      slot.stepLogSum = saved['stepLogSum'];
      slot.stepLogs = saved['stepLogs'];
      slot.tokens = saved['tokens'];
      slot.own.set(saved.own.map((v: number | null) => v ?? NaN));
      slot.reported.set(saved.reported);
      slot.levelLeast.set(saved.levelLeast.map((v: number | null) => v ?? Infinity));
    }
  }

  private see(unit: number, step: number): void {
    if (this.lastSeen[unit] < 0 || this.lastSeen[unit] < this.lowest - SILENT_STEPS) this.active++;
    if (step > this.lastSeen[unit]) this.lastSeen[unit] = step;
  }

  private isComplete(step: number): boolean {
    // Before anything closed, nobody knows how many report.
    return this.closedSteps > 0 && this.slotOf(step).reports >= this.active;
  }

  private closeUpTo(last: number, close: (values: StepValues) => void): void {
    for (; this.lowest <= last; this.lowest++) {
      const slot = this.slots[this.lowest % OPEN_STEPS];
      if (slot.step !== this.lowest || slot.reports === 0) continue;
      this.closedSteps++;
      close(slot);
      slot.own.fill(NaN);
      slot.reported.fill(0);
      slot.reports = 0;
      slot.stepLogSum = 0;
      slot.stepLogs = 0;
      slot.levelLeast.fill(Infinity);
      slot.tokens = 0;
      this.countActive();
    }
  }

  private countActive(): void {
    this.active = 0;
    for (let u = 0; u < this.units; u++)
      if (this.lastSeen[u] >= 0 && this.lastSeen[u] >= this.lowest - SILENT_STEPS) this.active++;
  }

  private goBack(step: number, close: (values: StepValues) => void): void {
    this.flush(close);
    for (let u = 0; u < this.units; u++) if (this.lastSeen[u] >= 0) this.lastSeen[u] = step;
    this.lowest = -1;
    this.newest = -1;
    this.lateInRow = 0;
  }
}
