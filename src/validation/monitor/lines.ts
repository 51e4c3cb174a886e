/**
 * Lines of a log as records: our own JSONL, the iteration lines of Megatron-LM (training_log in
 * megatron/training/training.py) with the timers that follow them (megatronTimers.ts), and the step lines of torchtitan
 * (MetricsProcessor.log in torchtitan/components/metrics.py), whoever prints them (logPrefix.ts).
 *
 *     [2026-08-01 12:00:00.000000] iteration      100/   50000 | consumed samples:  25600 | elapsed time per iteration
 *     (ms): 5210.4 | throughput per GPU (TFLOP/s/GPU): 412.7 | learning rate: ... | global batch size:   256 | ...
 *     [titan] 2026-08-01 12:00:00,000 - root - INFO - step: 10  loss:  7.1  grad_norm:  1.2  memory: 47.50GiB(59.38%)
 *     tps: 7,012  tflops: 406.11  mfu: 41.06%
 */
import type { JobLayout } from './layout.js';
import type { Prefixed } from './logPrefix.js';
import { withoutPrefix } from './logPrefix.js';
import type { TimerBlock } from './megatronTimers.js';
import { newBlock, recordsOf, takeTimerLine } from './megatronTimers.js';
import type { MonitorHeader, MonitorRecord } from './record.js';

export const LINE_FORMATS = ['auto', 'jsonl', 'megatron', 'torchtitan'] as const;
export type LineFormat = (typeof LINE_FORMATS)[number];

export type Line =
  | { readonly kind: 'record'; readonly record: MonitorRecord }
  | { readonly kind: 'header'; readonly header: MonitorHeader }
  /** A line that is not meant for us: launchers write much else. */
  | { readonly kind: 'other' }
  | { readonly kind: 'malformed'; readonly fault: 'not JSON' | 'no record' };

const OTHER: Line = { kind: 'other' };
const BRACE = 123;

/** What is known of who speaks in a source: the timers that are being told, how many tokens a FLOP stands for. */
interface Speaker {
  block: TimerBlock | null;
  /** Bounds of tokens per second over TFLOP/s. */
  least: number;
  most: number;
}

/** Reads lines of several sources and speakers, which may be mixed; plain JSON outlives it. */
export class LineReader {
  private readonly speakers = new Map<string, Speaker>();

  constructor(
    private readonly format: LineFormat,
    private readonly layout: JobLayout,
  ) {}

  /**
   * Reads one line without its end.
   *
   * @param source lines of one source come in order
   * @param earlier takes records that are complete now, of lines before
   */
  read(text: string, source: string, earlier: (record: MonitorRecord) => void): Line {
    const { format } = this;
    if (format === 'jsonl' || (format === 'auto' && text.charCodeAt(0) === BRACE)) return readJson(text);
    const line = withoutPrefix(text, this.layout.hosts);
    if (format === 'auto' && line.text.charCodeAt(0) === BRACE) return readJson(line.text);
    const key = `${source}\n${line.speaker}`;
    if (format !== 'torchtitan' && line.text.includes(MEGATRON)) {
      const read = readMegatron(line, this.layout);
      this.endBlock(key, earlier);
      if (read.kind === 'record') {
        const speaker = this.speaker(key);
        if (speaker !== null) speaker.block = newBlock(read.record.step!);
      }
      return read;
    }
    if (format !== 'megatron' && line.text.includes('tps:'))
      return readTorchtitan(line, this.layout, this.speaker(key));
    const block = this.speakers.get(key)?.block ?? null;
    if (block !== null && !takeTimerLine(block, line.text)) this.endBlock(key, earlier);
    return OTHER;
  }

  /** At the end of all sources: what nothing more is added to. */
  finish(earlier: (record: MonitorRecord) => void): void {
    for (const key of this.speakers.keys()) this.endBlock(key, earlier);
  }

  /** Whether a line that lacks its end has all that it should have. */
  isWhole(text: string): boolean {
    const { text: plain } = withoutPrefix(text, this.layout.hosts);
    if (this.format === 'jsonl' || plain.charCodeAt(0) === BRACE) return readJson(plain).kind !== 'malformed';
    return !(plain.includes(MEGATRON) || plain.includes('tps:')) || /[|%]\s*$/.test(plain);
  }

  snapshot(): unknown {
    return [...this.speakers].map(([key, { block, least, most }]) => [
      key,
      block,
      least,
      Number.isFinite(most) ? most : null,
    ]);
  }

  restore(from: unknown): void {
    for (const [key, block, least, most] of from as [string, TimerBlock | null, number, number | null][])
      this.speakers.set(key, { block, least, most: most ?? Infinity });
  }

  private endBlock(key: string, earlier: (record: MonitorRecord) => void): void {
    const speaker = this.speakers.get(key);
    if (speaker === undefined || speaker.block === null) return;
    recordsOf(speaker.block).forEach(earlier);
    speaker.block = null;
  }

  /** Null when there are more than a job has: then nothing is remembered of them. */
  private speaker(key: string): Speaker | null {
    let speaker = this.speakers.get(key);
    if (speaker === undefined) {
      if (this.speakers.size >= 2 * this.layout.devices + SPARE_SPEAKERS) return null;
      speaker = { block: null, least: 0, most: Infinity };
      this.speakers.set(key, speaker);
    }
    return speaker;
  }
}

function readJson(text: string): Line {
  if (text.trim() === '') return OTHER;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'malformed', fault: 'not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { kind: 'malformed', fault: 'no record' };
  const header = (value as { header?: unknown }).header;
  if (header === undefined) return { kind: 'record', record: value };
  if (typeof header !== 'object' || header === null) return { kind: 'malformed', fault: 'no record' };
  const { planDigest, hosts } = header as { planDigest?: unknown; hosts?: unknown };
  return {
    kind: 'header',
    header: {
      ...(typeof planDigest === 'string' ? { planDigest } : {}),
      ...(Array.isArray(hosts) ? { hosts: hosts.map(String) } : {}),
    },
  };
}

const MEGATRON = 'elapsed time per iteration (ms):';
const SPARE_SPEAKERS = 64;
const ITERATION = /\biteration\s+(\d+)\s*\/\s*\d+\s*\|/;
const ELAPSED = /elapsed time per iteration \(ms\):\s*([\d.]+)\s*(?:\||$)/;
const POWER = /power per GPU \(W\/GPU\):\s*([\d.]+)/;
const BRACKETED_TIME = /^\s*\[(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\]/;

/** Printed by the last rank, of the whole job. */
function readMegatron({ text, timeSec }: Prefixed, { devices }: JobLayout): Line {
  const iteration = ITERATION.exec(text);
  const elapsed = ELAPSED.exec(text);
  if (iteration === null || elapsed === null) return { kind: 'malformed', fault: 'no record' };
  const time = BRACKETED_TIME.exec(text);
  const power = POWER.exec(text);
  return {
    kind: 'record',
    record: {
      step: Number(iteration[1]),
      stepTimeSec: Number(elapsed[1]) / 1000,
      ...(power === null ? {} : { powerWatt: Number(power[1]) * devices }),
      ...(time === null ? stamped(timeSec) : timeOf(time[1], time[2])),
    },
  };
}

const STEP = /(?:^|\s)step:\s*(\d+)\s/;
const TOKENS_PER_SEC = /\btps:\s*([\d,]+)/;
const TFLOPS = /\btflops:\s*([\d,]+\.\d\d)/;
const MEMORY = /\bmemory:\s*([\d.]+)GiB/;
const UTILISATION = /\bmfu:\s*([\d.]+)%/;
const TITAN_TIME = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),(\d{3})/;

/** Its tps is of a device and of the ranks that share its tokens: step time = tokens of a step / (tps * devices). */
function readTorchtitan({ text, rank, timeSec }: Prefixed, layout: JobLayout, speaker: Speaker | null): Line {
  const step = STEP.exec(text);
  // `validate step:` lines have the same words and are no training.
  if (step === null || /\bvalidate\b/.test(text)) return OTHER;
  const rounded = Number(TOKENS_PER_SEC.exec(text)?.[1].replaceAll(',', '') ?? NaN);
  if (!(rounded > 0)) return { kind: 'malformed', fault: 'no record' };
  const tflops = Number(TFLOPS.exec(text)?.[1].replaceAll(',', '') ?? NaN);
  const rate = speaker === null ? rounded : exactRate(rounded, tflops, speaker);
  const memory = MEMORY.exec(text);
  const utilisation = UTILISATION.exec(text);
  const time = TITAN_TIME.exec(text);
  return {
    kind: 'record',
    record: {
      step: Number(step[1]),
      stepTimeSec: layout.prediction.tokensPerStep / (rate * layout.devices),
      ...(memory === null ? {} : { memoryBytes: Number(memory[1]) * 2 ** 30 }),
      ...(utilisation === null ? {} : { utilisation: Number(utilisation[1]) / 100 }),
      ...(time === null ? stamped(timeSec) : timeOf(time[1], `${time[2]}.${time[3]}`)),
      ...(rank === null ? {} : { rank }),
    },
  };
}

const HALF_TOKEN = 0.5;
const HALF_TFLOP = 0.005;

/**
 * Tokens per second are printed whole, which for a large model is a coarse step (52 to 53 is 2 %); TFLOP/s have two places
 * and the same ratio to them in every line, which the lines so far bound from both sides.
 */
function exactRate(rounded: number, tflops: number, speaker: Speaker): number {
  if (!(tflops > 2 * HALF_TFLOP) || HALF_TOKEN / rounded <= HALF_TFLOP / tflops) return rounded;
  const least = (rounded - HALF_TOKEN) / (tflops + HALF_TFLOP);
  const most = (rounded + HALF_TOKEN) / (tflops - HALF_TFLOP);
  speaker.least = Math.max(speaker.least, least);
  speaker.most = Math.min(speaker.most, most);
  // Sequences of another length have another ratio.
  if (speaker.least > speaker.most) Object.assign(speaker, { least, most });
  return tflops * ((speaker.least + speaker.most) / 2);
}

function stamped(timeSec: number | null): { timeSec?: number } {
  return timeSec === null ? {} : { timeSec };
}

/** Launchers write local time without its zone; only differences of it are used. */
function timeOf(day: string, clock: string): { timeSec: number } | Record<string, never> {
  const timeSec = Date.parse(`${day}T${clock.slice(0, 12)}Z`) / 1000;
  return Number.isFinite(timeSec) ? { timeSec } : {};
}
