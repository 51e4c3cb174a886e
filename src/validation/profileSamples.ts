/**
 * What a PyTorch profiler's trace says of kernels: matrix products, fused attention, collectives and memory-bound kernels
 * with their sizes and times. Kernels (`cat: kernel`) carry the id of the operator that launched them (`External id`,
 * or through the `correlation` of the launch); operators (`cat: cpu_op`) carry shapes when they were recorded
 * (`record_shapes=True`); NCCL kernels carry their message (format: pytorch/kineto `output_json.cpp`).
 */
import { PRECISION_BYTES } from '../cost/compute.js';
import { PartitionError } from '../util/errors.js';
import { median, quantile } from '../util/stats.js';
import { collectiveKind } from './collectiveTable.js';
import type { CollectiveSample } from './collectiveTable.js';
import { attentionOf, elementwiseBytes, gemmOf, torchPrecision } from './profileOps.js';
import type { AttentionShape, GemmShape, OperatorCall } from './profileOps.js';
import { readTraceEvents } from './profileReader.js';

/** Kernels of the same work, as one sample. */
export interface Timed<T> {
  readonly work: T;
  /** Median over its runs, without the gap before the next kernel. */
  readonly timeSec: number;
  readonly runs: number;
}

export interface Profile {
  /** As the driver calls it; null when the trace does not say. */
  readonly deviceName: string | null;
  readonly deviceMemoryBytes: number | null;
  readonly gemms: readonly Timed<GemmShape>[];
  readonly attentions: readonly Timed<AttentionShape>[];
  readonly elementwise: readonly Timed<{ readonly bytes: number }>[];
  readonly collectives: readonly CollectiveSample[];
  /** Median gap between kernels that follow each other at once in one stream, seconds; null when none do. */
  readonly gapSec: number | null;
  readonly kernels: number;
  /** Share of the kernels' time that became samples. */
  readonly explainedShare: number;
  readonly notes: readonly string[];
}

interface Kernel {
  readonly operator: number;
  readonly correlation: number;
  readonly timeUs: number;
  readonly name: string;
}

/** Longer pauses are the host's, not the device's. */
const LONGEST_GAP_US = 12;
/** Gaps of fewer pairs than this say nothing. */
const LEAST_GAPS = 20;
/** NCCL kernels wait for the slowest rank: of equal ones the fastest tenth counts. */
const COLLECTIVE_QUANTILE = 0.1;
/** A trace may hold this many kernels. */
const MOST_KERNELS = 20e6;

/** @throws PartitionError input: no trace, cut off, no kernels, or nothing that can be told apart */
export async function readProfile(
  file: string,
  onProgress: (text: string) => void = () => undefined,
): Promise<Profile> {
  const reader = new ProfileReader(file);
  let seen = 0;
  const head = await readTraceEvents(file, (text) => {
    reader.event(text, seen++);
    if ((seen & 0xffff) === 0) onProgress(`reading the trace: ${seen} events`);
  });
  return reader.profile(head.text);
}

/** Only these events are parsed; the rest of a trace is call stacks. */
const WANTED = /"cat"\s*:\s*"(kernel|cpu_op|cuda_runtime|cuda_driver|hip_runtime|Kernel|Operator)"/;

class ProfileReader {
  private readonly kernels: Kernel[] = [];
  private readonly operators = new Map<number, OperatorCall>();
  private readonly launches = new Map<number, number>();
  private readonly collectives = new Map<string, { sample: CollectiveSample; timesSec: number[] }>();
  private readonly lastEnd = new Map<string, number>();
  private readonly gapsUs: number[] = [];
  private collectiveUs = 0;
  private unnamedCollectives = 0;
  private operatorCount = 0;
  private shapedCount = 0;

  constructor(private readonly file: string) {}

  event(text: string, index: number): void {
    const category = WANTED.exec(text);
    if (category === null) return;
    let event: Record<string, unknown>;
    try {
      event = JSON.parse(text) as Record<string, unknown>;
    } catch (e) {
      throw new PartitionError(
        'input',
        `event ${index}: expected JSON, ${(e as Error).message.replace(/ in JSON at position.*$/, '')}`,
        this.file,
      );
    }
    const args = event['args'];
    if (event['ph'] !== 'X' || typeof args !== 'object' || args === null) return;
    const a = args as Record<string, unknown>;
    if (/kernel/i.test(category[1])) this.kernel(event, a, index);
    else if (/cpu_op|Operator/.test(category[1])) this.operator(event, a);
    else {
      const correlation = idOf(a, 'correlation');
      const operator = externalId(a);
      if (correlation > 0 && operator > 0) this.launches.set(correlation, operator);
    }
  }

  private kernel(event: Record<string, unknown>, args: Record<string, unknown>, index: number): void {
    const timeUs = event['dur'];
    const startUs = event['ts'];
    if (typeof timeUs !== 'number' || typeof startUs !== 'number' || !(timeUs >= 0))
      throw new PartitionError(
        'input',
        `event ${index}: expected numbers in ts and dur of a kernel`,
        this.file,
      );
    if (this.kernels.length >= MOST_KERNELS)
      throw new PartitionError(
        'input',
        `more than ${MOST_KERNELS} kernels`,
        this.file,
        'profile fewer steps',
      );
    const name = typeof event['name'] === 'string' ? event['name'] : '';
    const collective = args['Collective name'];
    if (typeof collective === 'string' || /^nccl|^rccl|ncclDev/i.test(name)) {
      this.collective(collective, args, timeUs);
      return;
    }
    const stream = `${String(event['pid'])} ${String(event['tid'])}`;
    const end = this.lastEnd.get(stream);
    // Events of a stream come in order of time; where they do not, the pair is skipped.
    if (end !== undefined && startUs >= end && startUs - end <= LONGEST_GAP_US)
      this.gapsUs.push(startUs - end);
    this.lastEnd.set(stream, startUs + timeUs);
    if (timeUs > 0)
      this.kernels.push({ operator: externalId(args), correlation: idOf(args, 'correlation'), timeUs, name });
  }

  private collective(named: unknown, args: Record<string, unknown>, timeUs: number): void {
    this.collectiveUs += timeUs;
    const kind = typeof named === 'string' ? collectiveKind(named) : null;
    const ranks = Number(args['Group size']);
    const precision = torchPrecision(args['dtype']);
    const sent = Number(args['In msg nelems']);
    const received = Number(args['Out msg nelems']);
    if (
      kind === null ||
      !(ranks >= 2) ||
      precision === null ||
      !(sent >= 0 && received >= 0) ||
      timeUs <= 0
    ) {
      this.unnamedCollectives++;
      return;
    }
    // All-gather counts what is gathered, the others what a rank puts in.
    const elements = kind === 'allGather' ? received : sent;
    const bytes = Math.round(elements * PRECISION_BYTES[precision]);
    if (bytes === 0) return;
    const rankStride = strideOf(args['Process Group Ranks'], ranks);
    const key = `${kind} ${bytes} ${ranks} ${rankStride}`;
    const timeSec = timeUs * 1e-6;
    const known = this.collectives.get(key);
    if (known !== undefined) known.timesSec.push(timeSec);
    else {
      const sample = {
        device: null,
        kind,
        ranks,
        ranksPerHost: null,
        rankStride,
        alone: false,
        bytes,
        timeSec,
      };
      this.collectives.set(key, { sample, timesSec: [timeSec] });
    }
  }

  private operator(event: Record<string, unknown>, args: Record<string, unknown>): void {
    this.operatorCount++;
    const id = externalId(args);
    const dims = args['Input Dims'] ?? args['Input dims'];
    const types = args['Input type'];
    if (id === 0 || typeof event['name'] !== 'string' || !Array.isArray(dims) || !Array.isArray(types))
      return;
    this.shapedCount++;
    const concrete = args['Concrete Inputs'];
    const call = { name: event['name'], dims, types, concrete: Array.isArray(concrete) ? concrete : [] };
    if (gemmOf(call) !== null || attentionOf(call) !== null || elementwiseBytes(call) > 0)
      this.operators.set(id, call);
  }

  profile(head: string): Profile {
    if (this.kernels.length === 0 && this.collectives.size === 0)
      throw new PartitionError(
        'input',
        'the trace holds no device kernels',
        this.file,
        'profile with ProfilerActivity.CUDA, or see that the device was traced',
      );
    if (this.shapedCount === 0 && this.collectives.size === 0)
      throw new PartitionError(
        'input',
        this.operatorCount === 0
          ? 'the trace holds no operators: kernels cannot be told apart'
          : 'the operators have no shapes',
        this.file,
        'profile with activities CPU and CUDA and record_shapes=True',
      );
    const work = this.timeOfOperators();
    const gemms = new Samples<GemmShape>();
    const attentions = new Samples<AttentionShape>();
    const elementwise = new Samples<{ bytes: number }>();
    let explainedUs = 0;
    for (const [id, { timeUs, tf32 }] of work.times) {
      const call = this.operators.get(id)!;
      const gemm = gemmOf(call);
      const attention = gemm === null ? attentionOf(call) : null;
      const bytes = elementwiseBytes(call);
      if (gemm !== null)
        gemms.add(tf32 && gemm.precision === 'fp32' ? { ...gemm, precision: 'tf32' } : gemm, timeUs);
      else if (attention !== null) attentions.add(attention, timeUs);
      else elementwise.add({ bytes }, timeUs);
      explainedUs += timeUs;
    }
    const notes: string[] = [];
    if (this.unnamedCollectives > 0)
      notes.push(
        `${this.unnamedCollectives} NCCL kernels do not say what they carry (point to point or grouped)`,
      );
    const explainedShare = explainedUs / Math.max(work.totalUs, 1e-9);
    return {
      deviceName: /"deviceProperties"[^]*?"name"\s*:\s*"([^"]+)"/.exec(head)?.[1] ?? null,
      deviceMemoryBytes: Number(/"totalGlobalMem"\s*:\s*(\d+)/.exec(head)?.[1] ?? NaN) || null,
      gemms: gemms.list(),
      attentions: attentions.list(),
      elementwise: elementwise.list(),
      collectives: [...this.collectives.values()].map(({ sample, timesSec }) => ({
        ...sample,
        timeSec: quantile(timesSec, COLLECTIVE_QUANTILE),
      })),
      gapSec: this.gapsUs.length < LEAST_GAPS ? null : median(this.gapsUs) * 1e-6,
      kernels: this.kernels.length,
      explainedShare,
      notes,
    };
  }

  /** Kernel time of every operator that has a meaning here; one operator may launch several kernels. */
  private timeOfOperators(): {
    times: Map<number, { timeUs: number; tf32: boolean }>;
    totalUs: number;
  } {
    const times = new Map<number, { timeUs: number; tf32: boolean }>();
    let totalUs = 0;
    for (const { operator, correlation, timeUs, name } of this.kernels) {
      totalUs += timeUs;
      const id = operator > 0 ? operator : (this.launches.get(correlation) ?? 0);
      if (!this.operators.has(id)) continue;
      const known = times.get(id);
      const tf32 = /tf32/i.test(name);
      if (known === undefined) times.set(id, { timeUs, tf32 });
      else {
        known.timeUs += timeUs;
        known.tf32 ||= tf32;
      }
    }
    return { times, totalUs };
  }
}

/** Times of equal work. */
class Samples<T> {
  private readonly byKey = new Map<string, { work: T; timesUs: number[] }>();

  add(work: T, timeUs: number): void {
    const key = JSON.stringify(work);
    const known = this.byKey.get(key);
    if (known === undefined) this.byKey.set(key, { work, timesUs: [timeUs] });
    else known.timesUs.push(timeUs);
  }

  list(): Timed<T>[] {
    return [...this.byKey.values()].map(({ work, timesUs }) => ({
      work,
      timeSec: median(timesUs) * 1e-6,
      runs: timesUs.length,
    }));
  }
}

function externalId(args: Record<string, unknown>): number {
  return idOf(args, 'External id') || idOf(args, 'external id');
}

/** 0 when absent. */
function idOf(args: Record<string, unknown>, name: string): number {
  const value = args[name];
  return typeof value === 'number' && value > 0 ? value : 0;
}

/** Distance between the ranks of a group, listed as `[0, 8, 16]`; null where the list is abridged or irregular. */
function strideOf(list: unknown, size: number): number | null {
  if (typeof list !== 'string' || list.includes('...')) return null;
  const ranks = list.match(/\d+/g)?.map(Number) ?? [];
  if (ranks.length !== size) return null;
  const step = ranks[1] - ranks[0];
  return step > 0 && ranks.every((rank, i) => i === 0 || rank - ranks[i - 1] === step) ? step : null;
}
