/** Configuration of `partition train`: read, checked, and completed with defaults. */
import { dirname, resolve } from 'node:path';
import type { PpoOptions } from '../agent/index.js';
import { DEFAULT_PPO } from '../agent/index.js';
import type { VerdictRule } from '../agent/policyVerdict.js';
import { DEFAULT_RULE } from '../agent/policyVerdict.js';
import { Fields } from '../cluster/fields.js';
import { PRECISIONS } from './problem.js';
import type { Precision } from '../cost/types.js';
import type { TrainingOverrides } from './trainingDocument.js';
import { trainingDocument } from './trainingDocument.js';

export type { TrainingOverrides } from './trainingDocument.js';

/** Bounds of a number that is drawn evenly in its logarithm, both included. */
export type Span = readonly [number, number];

/** A family of graphs to draw from. */
export type GraphFamily = { readonly weight: number } & (
  | {
      readonly kind: 'zoo';
      readonly names: readonly string[];
      /** Layers are drawn from here; null: as published. */
      readonly layers: Span | null;
      /** Widths and heads are multiplied by one of these. */
      readonly scales: readonly number[];
      readonly sequenceLengths: readonly number[];
    }
  | { readonly kind: 'files'; readonly paths: readonly string[]; readonly sequenceLengths: readonly number[] }
  | {
      readonly kind: 'irregular';
      readonly cells: Span;
      readonly nodes: Span;
      readonly hidden: Span;
      readonly tokens: Span;
    }
);

/** A family of clusters to draw from. */
export type ClusterFamily = { readonly weight: number } & (
  | { readonly kind: 'presets'; readonly names: readonly string[]; readonly devices: Span }
  | {
      readonly kind: 'hosts';
      /** Presets of the groups of one cluster; one or more. */
      readonly mixes: readonly (readonly string[])[];
      /** Hosts of each group. */
      readonly hosts: Span;
      /** Chance that a device is missing, that one throttles, and that the widest network is oversubscribed. */
      readonly damage: number;
    }
);

export interface TrainingConfig {
  readonly algorithm: 'ppo';
  readonly seed: number;
  readonly budget: {
    /** Updates of the whole training; `episodes` in the file comes to this. */
    readonly updates: number;
    /** Training stops for now after this long; it can be resumed. */
    readonly maxSec: number;
  };
  /** Updates between two checkpoints. */
  readonly checkpointEvery: number;
  readonly problems: number;
  readonly updatesPerProblem: number;
  readonly episodes: number;
  readonly teacher: {
    readonly evaluations: number;
    readonly weight: number;
    readonly steps: number;
    readonly memory: number;
  };
  /** Whether the policy sees the embedding of each graph. */
  readonly embedding: boolean;
  readonly ppo: PpoOptions;
  readonly graphs: readonly GraphFamily[];
  readonly clusters: readonly ClusterFamily[];
  /** Sequences per device and step. */
  readonly batchPerDevice: Span;
  readonly precisions: readonly Precision[];
  readonly stacks: readonly string[];
  readonly objectives: readonly string[];
  /** Problems of an update that are observed jobs, where there are any. */
  readonly observed: number;
  readonly guard: VerdictRule & {
    /** Instances of the suite that policies are judged on; null: all. */
    readonly suite: readonly string[] | null;
  };
  /** The file's content without its limit in seconds: who resumes must bring the same. */
  readonly canonical: string;
}

/** @throws PartitionError input naming the field, what was expected and what was found */
export function readTrainingConfig(path: string, asked: TrainingOverrides = {}): TrainingConfig {
  const document = trainingDocument(path, asked);
  const fields = Fields.of(document, path, '', []);
  const algorithm = fields.oneOf('algorithm', ['ppo'] as const, 'ppo');
  const whole = (f: Fields, name: string, fallback: number, min = 1): number =>
    f.number(name, { min, integer: true, default: fallback });
  const problems = whole(fields, 'problems', 8);
  const episodes = whole(fields, 'episodes', 12, 2);
  const teacher = fields.child('teacher');
  const config: TrainingConfig = {
    algorithm,
    seed: fields.number('seed', { max: 2 ** 32 - 1, integer: true, default: 0 }),
    budget: readBudget(fields.required('budget'), problems * episodes),
    checkpointEvery: whole(fields, 'checkpointEvery', 50),
    problems,
    updatesPerProblem: whole(fields, 'updatesPerProblem', 6),
    episodes,
    teacher: {
      evaluations: teacher === null ? 0 : whole(teacher, 'evaluations', 400, 0),
      weight: teacher?.number('weight', { max: 100, default: 1 }) ?? 0,
      steps: teacher === null ? 0 : whole(teacher, 'steps', 2, 0),
      memory: teacher === null ? 1 : whole(teacher, 'memory', 8),
    },
    embedding: yes(fields, 'embedding'),
    ppo: readPpo(fields.child('ppo')),
    graphs: families(fields, 'graphs', (f) => readGraphs(f, dirname(path))),
    clusters: families(fields, 'clusters', readClusters),
    batchPerDevice: span(fields, 'batchPerDevice', [1, 8], 0.001),
    precisions: words(fields, 'precisions', ['bf16']).map((p) => precisionOf(fields, p)),
    stacks: words(fields, 'stacks', ['megatron']),
    objectives: words(fields, 'objectives', ['time']),
    observed: whole(fields, 'observed', Math.ceil(problems / 2)),
    guard: readGuard(fields.child('guard')),
    canonical: canonicalOf(document as { budget: object }),
  };
  if (config.observed > problems) throw fields.fault('observed', `at most ${problems} (problems)`);
  teacher?.done();
  fields.done();
  return config;
}

function readGuard(fields: Fields | null): TrainingConfig['guard'] {
  if (fields === null) return { ...DEFAULT_RULE, suite: null };
  const { evaluations, seeds, meanTolerance, instanceTolerance } = DEFAULT_RULE;
  const rule = {
    evaluations: fields.number('evaluations', { min: 1, integer: true, default: evaluations }),
    seeds: fields.has('seeds') ? numbers(fields, 'seeds') : seeds,
    meanTolerance: fields.number('meanTolerance', { max: 1, default: meanTolerance }),
    instanceTolerance: fields.number('instanceTolerance', { max: 1, default: instanceTolerance }),
    suite: fields.has('suite') ? words(fields, 'suite') : null,
  };
  fields.done();
  return rule;
}

/** A switch that is off unless it is on. */
function yes(fields: Fields, name: string): boolean {
  const value = fields.raw(name) ?? false;
  if (typeof value !== 'boolean') throw fields.fault(name, 'true or false');
  return value;
}

function canonicalOf(document: { readonly budget: object }): string {
  return JSON.stringify({ ...document, budget: { ...document.budget, seconds: undefined } });
}

function readBudget(fields: Fields, episodesPerUpdate: number): TrainingConfig['budget'] {
  const byEpisodes = fields.has('episodes');
  const amount = fields.number(byEpisodes ? 'episodes' : 'updates', { min: 1, integer: true });
  const maxSec = fields.number('seconds', { min: 0.001, default: Number.MAX_SAFE_INTEGER });
  fields.done();
  return { updates: byEpisodes ? Math.ceil(amount / episodesPerUpdate) : amount, maxSec };
}

function readPpo(fields: Fields | null): PpoOptions {
  if (fields === null) return DEFAULT_PPO;
  const options: Record<string, number> = {};
  for (const [name, fallback] of Object.entries(DEFAULT_PPO)) {
    // Episodes of one update are the distribution's business.
    if (name === 'environments') continue;
    const integer = Number.isInteger(fallback) && fallback >= 4;
    options[name] = fields.number(name, {
      max: 1e6,
      integer,
      ...(integer ? { min: 1 } : {}),
      default: fallback as number,
    });
  }
  fields.done();
  return { ...DEFAULT_PPO, ...options };
}

function families<T>(fields: Fields, name: string, read: (f: Fields) => T): (T & { weight: number })[] {
  const children = fields.children(name);
  if (children.length === 0) throw fields.fault(name, 'at least one entry');
  return children.map((f) => {
    const family = { weight: f.number('weight', { min: 0.001, max: 1e6, default: 1 }), ...read(f) };
    f.done();
    return family;
  });
}

function readGraphs(f: Fields, folder: string): Unweighted<GraphFamily> {
  if (f.has('zoo'))
    return {
      kind: 'zoo',
      names: words(f, 'zoo'),
      layers: f.has('layers') ? span(f, 'layers', [1, 1]) : null,
      scales: f.has('scale') ? numbers(f, 'scale') : [1],
      sequenceLengths: f.has('seq') ? numbers(f, 'seq') : [],
    };
  if (f.has('files'))
    return {
      kind: 'files',
      paths: words(f, 'files').map((p) => resolve(folder, p)),
      sequenceLengths: f.has('seq') ? numbers(f, 'seq') : [],
    };
  const inner = f.child('irregular');
  if (inner === null) throw f.fault('zoo', 'zoo, files or irregular');
  const family = {
    kind: 'irregular' as const,
    cells: span(inner, 'cells', [4, 12]),
    nodes: span(inner, 'nodes', [3, 7]),
    hidden: span(inner, 'hidden', [1024, 8192]),
    tokens: span(inner, 'tokens', [128, 1024]),
  };
  inner.done();
  return family;
}

function readClusters(f: Fields): Unweighted<ClusterFamily> {
  if (f.has('presets'))
    return { kind: 'presets', names: words(f, 'presets'), devices: span(f, 'devices', [8, 1024]) };
  if (!f.has('mixes')) throw f.fault('presets', 'presets or mixes');
  return {
    kind: 'hosts',
    mixes: f.list('mixes').map((_, i) => mix(f, i)),
    hosts: span(f, 'hosts', [1, 16]),
    damage: f.number('damage', { max: 1, default: 0 }),
  };
}

/** A union without its `weight`, member by member. */
type Unweighted<T> = T extends unknown ? Omit<T, 'weight'> : never;

function mix(f: Fields, i: number): string[] {
  const presets = f.list('mixes')[i];
  if (!Array.isArray(presets) || presets.length === 0 || presets.some((p) => typeof p !== 'string'))
    throw f.fault('mixes', 'lists of preset names');
  return presets as string[];
}

function span(f: Fields, name: string, fallback: Span, min = 1): Span {
  if (!f.has(name)) return fallback;
  const values = f.numbers(name, { min });
  if (values.length !== 2 || values[0] > values[1]) throw f.fault(name, 'two numbers, the smaller first');
  return [values[0], values[1]];
}

function numbers(f: Fields, name: string): number[] {
  const values = f.numbers(name, { min: 0.001 });
  if (values.length === 0) throw f.fault(name, 'at least one number');
  return values;
}

function words(f: Fields, name: string, fallback?: readonly string[]): string[] {
  const values = f.list(name, fallback);
  if (values.length === 0 || values.some((v) => typeof v !== 'string' || v === ''))
    throw f.fault(name, 'a list of names');
  return values as string[];
}

function precisionOf(f: Fields, name: string): Precision {
  const found = PRECISIONS.find((p) => p === name);
  if (found === undefined) throw f.fault('precisions', `one of ${PRECISIONS.join(', ')}`);
  return found;
}
