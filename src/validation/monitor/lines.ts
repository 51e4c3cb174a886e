/**
 * Lines of a log as records: our own JSONL, the iteration lines of Megatron-LM (training_log in
 * megatron/training/training.py) and the step lines of torchtitan (MetricsProcessor.log in
 * torchtitan/components/metrics.py).
 *
 *     [2026-08-01 12:00:00.000000] iteration      100/   50000 | consumed samples:  25600 | elapsed time per iteration
 *     (ms): 5210.4 | throughput per GPU (TFLOP/s/GPU): 412.7 | learning rate: ... | global batch size:   256 | ...
 *     [titan] 2026-08-01 12:00:00,000 - root - INFO - step: 10  loss:  7.1  grad_norm:  1.2  memory: 47.50GiB(59.38%)
 *     tps: 7,012  tflops: 406.11  mfu: 41.06%
 */
import type { JobLayout } from './layout.js';
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

/** One line without its end. */
export function readLine(text: string, format: LineFormat, layout: JobLayout): Line {
  if (format === 'jsonl' || (format === 'auto' && text.charCodeAt(0) === BRACE)) return readJson(text);
  if (format !== 'torchtitan' && text.includes('elapsed time per iteration (ms):')) return readMegatron(text);
  if (format !== 'megatron' && text.includes('tps:')) return readTorchtitan(text, layout);
  return OTHER;
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

const ITERATION = /\biteration\s+(\d+)\s*\/\s*\d+\s*\|/;
const ELAPSED = /elapsed time per iteration \(ms\):\s*([\d.]+)/;
const BRACKETED_TIME = /^\s*\[(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\]/;

function readMegatron(text: string): Line {
  const iteration = ITERATION.exec(text);
  const elapsed = ELAPSED.exec(text);
  if (iteration === null || elapsed === null) return { kind: 'malformed', fault: 'no record' };
  const time = BRACKETED_TIME.exec(text);
  return {
    kind: 'record',
    record: {
      step: Number(iteration[1]),
      stepTimeSec: Number(elapsed[1]) / 1000,
      ...(time === null ? {} : timeOf(time[1], time[2])),
    },
  };
}

// eslint-disable-next-line no-control-regex
const COLOUR = /\u001b\[[0-9;]*m/g;
const STEP = /(?:^|\s)step:\s*(\d+)\s/;
const TOKENS_PER_SEC = /\btps:\s*([\d,]+)/;
const MEMORY = /\bmemory:\s*([\d.]+)GiB/;
const UTILISATION = /\bmfu:\s*([\d.]+)%/;
const TITAN_TIME = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),(\d{3})/;
const RANK = /^\[rank(\d+)\]:?/;

/** Its tps is of a device and of the ranks that share its tokens: step time = tokens of a step / (tps * devices). */
function readTorchtitan(text: string, layout: JobLayout): Line {
  const plain = text.replace(COLOUR, '');
  const step = STEP.exec(plain);
  // `validate step:` lines have the same words and are no training.
  if (step === null || /\bvalidate\b/.test(plain)) return OTHER;
  const rate = Number(TOKENS_PER_SEC.exec(plain)?.[1].replaceAll(',', '') ?? NaN);
  if (!(rate > 0)) return { kind: 'malformed', fault: 'no record' };
  const memory = MEMORY.exec(plain);
  const utilisation = UTILISATION.exec(plain);
  const time = TITAN_TIME.exec(plain);
  const rank = RANK.exec(plain);
  return {
    kind: 'record',
    record: {
      step: Number(step[1]),
      stepTimeSec: layout.prediction.tokensPerStep / (rate * layout.devices),
      ...(memory === null ? {} : { memoryBytes: Number(memory[1]) * 2 ** 30 }),
      ...(utilisation === null ? {} : { utilisation: Number(utilisation[1]) / 100 }),
      ...(time === null ? {} : timeOf(time[1], `${time[2]}.${time[3]}`)),
      ...(rank === null ? {} : { rank: Number(rank[1]) }),
    },
  };
}

/** Launchers write local time without its zone; only differences of it are used. */
function timeOf(day: string, clock: string): { timeSec: number } | Record<string, never> {
  const timeSec = Date.parse(`${day}T${clock.slice(0, 12)}Z`) / 1000;
  return Number.isFinite(timeSec) ? { timeSec } : {};
}
