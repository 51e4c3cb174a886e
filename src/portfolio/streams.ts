/**
 * Event streams: what happens to a cluster while a job runs on it. Describes only. Streams of a file are data; `drawStream`
 * draws others from any seed, in the way in which those of the file were drawn.
 */
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import type { Condition } from '../cluster/condition.js';
import { PartitionError } from '../util/errors.js';
import { Random } from '../util/random.js';
import { suitePath } from './suite.js';

/** What happens, at an hour of the job's wall clock. */
export type StreamEvent = { readonly atHour: number } & (
  | { readonly kind: 'fail' | 'leave' | 'join' | 'recover'; readonly hosts: readonly number[] }
  | { readonly kind: 'slow'; readonly host: number; readonly device: number; readonly factor: number }
  | {
      readonly kind: 'degrade';
      readonly level: string;
      /** -1: of all hosts. */
      readonly host: number;
      readonly factor: number;
    }
);

export const EVENT_KINDS = ['fail', 'leave', 'join', 'recover', 'slow', 'degrade'] as const;

export interface EventStream {
  readonly name: string;
  readonly seed: number;
  /** Of the zoo. */
  readonly model: string;
  /** Preset. */
  readonly cluster: string;
  /** At the start: hosts 0 and up. */
  readonly devices: number;
  /** Hosts that are there at one time or another. */
  readonly hosts: number;
  readonly seq: number;
  readonly batch: number;
  /** How long the job would take if nothing happened, hours. */
  readonly workHours: number;
  readonly events: readonly StreamEvent[];
}

/** What is wrong after an event. `fail`, `leave`: hosts go, without warning or with; `join`, `recover`: they are there, healthy. */
export function afterEvent(before: Condition, event: StreamEvent): Condition {
  switch (event.kind) {
    case 'fail':
    case 'leave':
      return {
        ...before,
        failed: [...before.failed, ...event.hosts.map((host) => ({ host, device: null }))],
      };
    case 'join':
    case 'recover': {
      const still = <T extends { readonly host: number | null }>(at: T): boolean =>
        at.host === null || !event.hosts.includes(at.host);
      return {
        failed: before.failed.filter(still),
        slow: before.slow.filter(still),
        degraded: before.degraded.filter(still),
      };
    }
    case 'slow': {
      const { host, device, factor } = event;
      const others = before.slow.filter((s) => s.host !== host || s.device !== device);
      return { ...before, slow: factor < 1 ? [...others, { host, device, factor }] : others };
    }
    case 'degrade': {
      const { level, factor } = event;
      const host = event.host < 0 ? null : event.host;
      const others = before.degraded.filter((d) => d.level !== level || d.host !== host);
      return { ...before, degraded: factor < 1 ? [...others, { level, host, factor }] : others };
    }
  }
}

/** Hosts that are not there when the job starts. */
export function startOf(stream: EventStream, devicesPerHost: number): Condition {
  const first = stream.devices / devicesPerHost;
  const absent = Array.from({ length: stream.hosts - first }, (_, i) => ({ host: first + i, device: null }));
  return { failed: absent, slow: [], degraded: [] };
}

/** @throws PartitionError input, naming file and field */
export function loadStreams(path = suitePath('streams.yaml')): EventStream[] {
  const fields = Fields.of(readYaml(path), path, '', []);
  fields.number('version', { min: 1, max: 1, integer: true });
  const streams = fields.children('streams').map(readStream);
  fields.done();
  return streams;
}

const COUNT = { min: 1, integer: true } as const;
const INDEX = { min: 0, integer: true } as const;

function readStream(f: Fields): EventStream {
  const stream: EventStream = {
    name: f.string('name'),
    seed: f.number('seed', INDEX),
    model: f.string('model'),
    cluster: f.string('cluster'),
    devices: f.number('devices', COUNT),
    hosts: f.number('hosts', COUNT),
    seq: f.number('seq', COUNT),
    batch: f.number('batch', COUNT),
    workHours: f.number('workHours', { min: 0.01 }),
    events: f.children('events').map(readEvent),
  };
  f.done();
  const hours = stream.events.map((e) => e.atHour);
  if (hours.some((h, i) => i > 0 && h < hours[i - 1]))
    throw new PartitionError('input', `events of ${stream.name} are out of order`, f.file);
  return stream;
}

function readEvent(f: Fields): StreamEvent {
  const atHour = f.number('atHour', { min: 0 });
  const kind = f.oneOf('kind', EVENT_KINDS);
  const factor = (): number => f.number('factor', { min: 0.01, max: 1 });
  const event: StreamEvent =
    kind === 'slow'
      ? { atHour, kind, host: f.number('host', INDEX), device: f.number('device', INDEX), factor: factor() }
      : kind === 'degrade'
        ? {
            atHour,
            kind,
            level: f.string('level'),
            host: f.number('host', { min: -1, integer: true }),
            factor: factor(),
          }
        : { atHour, kind, hosts: f.numbers('hosts', INDEX) };
  f.done();
  return event;
}

/** Jobs that streams are drawn of: enough devices to hold the model, and batches that published runs use. */
const JOBS = [
  { model: 'gpt2-xl', cluster: 'a100-80gb', seq: 1024, devices: [64, 128, 256], batches: [512, 768] },
  { model: 'llama3-8b', cluster: 'h100-sxm', seq: 8192, devices: [64, 256, 512, 1024], batches: [512, 1024] },
  {
    model: 'mixtral-8x7b',
    cluster: 'h100-sxm',
    seq: 4096,
    devices: [128, 256, 512, 1024],
    batches: [1024, 1536],
  },
  {
    model: 'llama3-70b',
    cluster: 'h100-sxm',
    seq: 8192,
    devices: [256, 512, 1024, 2048],
    batches: [1024, 1536],
  },
  {
    model: 'gpt3-175b',
    cluster: 'a100-80gb',
    seq: 2048,
    devices: [512, 1024, 2048, 4096],
    batches: [1536, 2048],
  },
] as const;

const PER_HOST = 8;

/** A stream drawn from a seed: job and size in turn, so that a run of seeds covers all models. */
export function drawStream(seed: number): EventStream {
  const random = new Random(seed ^ 0x57ea);
  const job = JOBS[seed % JOBS.length];
  const devices = job.devices[Math.floor(seed / JOBS.length) % job.devices.length];
  const batch = random.pick(job.batches);
  const first = devices / PER_HOST;
  const joining = random.next() < 0.5 ? Math.max(1, Math.round(first * random.pick([0.125, 0.25, 0.5]))) : 0;
  const hosts = first + joining;
  const workHours = round(24 * (1 + 6 * random.next()));
  const events: StreamEvent[] = [];
  const at = (): number => round(workHours * 1.1 * random.next());
  const host = (): number => random.int(first);
  const returns = (atHour: number, hours: number, event: (at: number) => StreamEvent): void => {
    if (random.next() < 0.7) events.push(event(round(atHour - hours * Math.log(1 - random.next()))));
  };
  // A host serves one event only, so that none fails twice.
  const used = new Set<number>();
  const fresh = (): number | null => {
    for (let i = 0; i < 32; i++) {
      const h = host();
      if (!used.has(h)) {
        used.add(h);
        return h;
      }
    }
    return null;
  };
  const count = (mean: number): number => Math.floor(mean * (0.5 + random.next()) + 0.5);
  for (let i = count(2); i > 0; i--) {
    const h = fresh();
    if (h === null) continue;
    const atHour = at();
    events.push({ atHour, kind: 'fail', hosts: [h] });
    returns(atHour, 12, (back) => ({ atHour: back, kind: 'recover', hosts: [h] }));
  }
  for (let i = count(2); i > 0; i--) {
    const h = fresh();
    if (h === null) continue;
    const atHour = at();
    const device = random.int(PER_HOST);
    events.push({ atHour, kind: 'slow', host: h, device, factor: round(0.5 + 0.45 * random.next()) });
    returns(atHour, 24, (back) => ({ atHour: back, kind: 'slow', host: h, device, factor: 1 }));
  }
  for (let i = count(1); i > 0; i--) {
    const h = random.next() < 0.5 ? -1 : (fresh() ?? -1);
    const atHour = at();
    const level = random.pick(LEVELS);
    events.push({
      atHour,
      kind: 'degrade',
      level,
      host: h,
      factor: round(0.25 + 0.6 * random.next()),
    });
    returns(atHour, 12, (back) => ({ atHour: back, kind: 'degrade', level, host: h, factor: 1 }));
  }
  if (joining > 0) {
    const atHour = at();
    events.push({ atHour, kind: 'join', hosts: Array.from({ length: joining }, (_, i) => first + i) });
  }
  if (random.next() < 0.4 && first >= 16) {
    const leaving = Math.max(1, Math.round(first * random.pick([0.125, 0.25])));
    const going = Array.from({ length: first }, (_, i) => first - 1 - i).filter((h) => !used.has(h));
    events.push({ atHour: at(), kind: 'leave', hosts: going.slice(0, leaving).sort((a, b) => a - b) });
  }
  events.sort((a, b) => a.atHour - b.atHour);
  const { model, cluster, seq } = job;
  return {
    name: `${model}-${devices}-${seed}`,
    seed,
    model,
    cluster,
    devices,
    hosts,
    seq,
    batch,
    workHours,
    events,
  };
}

/** The networks between hosts, in both presets. */
const LEVELS = ['rail', 'spine'];

function round(x: number): number {
  return Math.round(x * 100) / 100;
}
