/** Counters of devices (power, utilisation, memory), which come with the steps or on their own. */
import type { Alarm } from './drift.js';
import { RelativeTest } from './relativeTest.js';
import type { MonitorRecord } from './record.js';

/** Samples over which power and utilisation are averaged. */
const RECENT_SAMPLES = 30;

export class Telemetry {
  readonly power: RelativeTest;
  /** By host: recent watts of all its devices that report, recent utilisation (NaN: unknown), most bytes of a device. */
  readonly watt: Float64Array;
  readonly utilisation: Float64Array;
  readonly memoryBytes: Float64Array;
  /** Of one round: each unit reports once. */
  private readonly reported: Uint8Array;
  private readonly sum: Float64Array;
  private readonly count: Int32Array;
  private readonly logs: Float64Array;
  private rounds = 0;
  /** Recent watts of the whole job, where a log says them of nobody in particular; NaN: unknown. */
  private jobWatt = NaN;

  constructor(
    private readonly ranks: number,
    private readonly hosts: number,
    reference: number,
    leastDeviation: number,
  ) {
    this.power = new RelativeTest(hosts, reference, leastDeviation);
    this.watt = new Float64Array(hosts).fill(NaN);
    this.utilisation = new Float64Array(hosts).fill(NaN);
    this.memoryBytes = new Float64Array(hosts);
    this.reported = new Uint8Array(ranks + hosts);
    this.sum = new Float64Array(hosts);
    this.count = new Int32Array(hosts);
    this.logs = new Float64Array(hosts);
  }

  /** Takes the counters of a record of one host or rank; a unit that comes again begins a new round. */
  add(record: MonitorRecord, rank: number, host: number, threshold: number, alarms: Alarm[]): void {
    const { powerWatt, utilisation, memoryBytes } = record;
    if (memoryBytes !== undefined && memoryBytes > this.memoryBytes[host])
      this.memoryBytes[host] = memoryBytes;
    if (utilisation !== undefined) {
      const old = this.utilisation[host];
      this.utilisation[host] = Number.isNaN(old) ? utilisation : old + (utilisation - old) / RECENT_SAMPLES;
    }
    if (powerWatt === undefined || powerWatt <= 0) return;
    const unit = rank >= 0 ? rank : this.ranks + host;
    if (this.reported[unit] === 1) this.endRound(threshold, alarms);
    this.reported[unit] = 1;
    this.sum[host] += powerWatt;
    this.count[host]++;
  }

  /** Takes the power of the whole job. */
  addJob({ powerWatt }: MonitorRecord): void {
    if (powerWatt === undefined || powerWatt <= 0) return;
    this.jobWatt = Number.isNaN(this.jobWatt)
      ? powerWatt
      : this.jobWatt + (powerWatt - this.jobWatt) / RECENT_SAMPLES;
  }

  /** Recent watts of all hosts that report, or else of the job; null when nobody says. */
  totalWatt(): number | null {
    let total = 0;
    let known = 0;
    for (let h = 0; h < this.hosts; h++)
      if (!Number.isNaN(this.watt[h])) {
        total += this.watt[h];
        known++;
      }
    if (known > 0) return total;
    return Number.isNaN(this.jobWatt) ? null : this.jobWatt;
  }

  /** Hosts whose power is known. */
  hostsKnown(): number {
    return this.watt.reduce((n, w) => n + (Number.isNaN(w) ? 0 : 1), 0);
  }

  snapshot(): unknown {
    const plain = (values: Float64Array): (number | null)[] =>
      Array.from(values, (v) => (Number.isNaN(v) ? null : v));
    return {
      power: this.power.snapshot(),
      watt: plain(this.watt),
      utilisation: plain(this.utilisation),
      memoryBytes: plain(this.memoryBytes),
      reported: Array.from(this.reported),
      sum: Array.from(this.sum),
      count: Array.from(this.count),
      rounds: this.rounds,
      jobWatt: Number.isNaN(this.jobWatt) ? null : this.jobWatt,
    };
  }

  restore(from: unknown): void {
    const saved = from as Record<'watt' | 'utilisation' | 'memoryBytes', (number | null)[]> &
      Record<'reported' | 'sum' | 'count', number[]> & {
        power: number[][];
        rounds: number;
        jobWatt: number | null;
      };
    this.power.restore(saved.power);
    for (const field of ['watt', 'utilisation', 'memoryBytes'] as const)
      this[field].set(saved[field].map((v) => v ?? NaN));
    this.reported.set(saved.reported);
    this.sum.set(saved.sum);
    this.count.set(saved.count);
    this.rounds = saved.rounds;
    this.jobWatt = saved.jobWatt ?? NaN;
  }

  private endRound(threshold: number, alarms: Alarm[]): void {
    this.rounds++;
    for (let h = 0; h < this.hosts; h++) {
      const known = this.count[h] > 0;
      this.logs[h] = known ? Math.log(this.sum[h] / this.count[h]) : NaN;
      if (known)
        this.watt[h] = Number.isNaN(this.watt[h])
          ? this.sum[h]
          : this.watt[h] + (this.sum[h] - this.watt[h]) / RECENT_SAMPLES;
    }
    this.power.step(this.logs, threshold, alarms);
    this.sum.fill(0);
    this.count.fill(0);
    this.reported.fill(0);
  }
}
