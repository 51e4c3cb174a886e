/**
 * The suite as data: which models, on which clusters, methods are compared. Describes only; `api/suite` builds the
 * problems, because models of the zoo are beyond this folder.
 */
import { fileURLToPath } from 'node:url';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import { PartitionError } from '../util/errors.js';
import { dataPath } from '../util/files.js';

/** Where a graph comes from. */
export type SuiteModel =
  | { readonly kind: 'zoo'; readonly name: string; readonly sizes: Readonly<Record<string, number>> }
  /** A file below `graphs/`. */
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'irregular';
      readonly seed: number;
      readonly cells: number;
      readonly nodes: number;
      readonly hidden: number;
      readonly tokens: number;
      readonly towers: number;
    };

export interface SuiteInstance {
  readonly name: string;
  /** What the instance is there to test. */
  readonly about: string;
  readonly model: SuiteModel;
  /** Preset, or a file below `graphs/`. */
  readonly cluster: string;
  readonly devices: number;
  /** Tokens of a sequence; undefined where the model has none, or fixes it. */
  readonly seq: number | undefined;
  /** Sequences (or images) of a step. */
  readonly batch: number;
  readonly precision: string;
  readonly stack: string;
  readonly objective: string;
}

/** The best value that anybody found for an instance. */
export interface BestKnown {
  readonly value: number;
  readonly foundBy: string;
  /** Evaluations of the search that found it, all its methods together. */
  readonly evaluations: number;
  /** The whole stated space was seen: nothing is better. */
  readonly proved: boolean;
}

const COUNT = { min: 1, integer: true } as const;

/** Path of a data file of the suite. */
export function suitePath(file: string): string {
  return fileURLToPath(dataPath(`suite/${file}`));
}

/**
 * Reads the instances.
 *
 * @throws PartitionError input, naming file and field
 */
export function loadSuite(path = suitePath('instances.yaml')): SuiteInstance[] {
  const fields = Fields.of(readYaml(path), path, '', []);
  fields.number('version', { min: 1, max: 1, integer: true });
  const instances = fields.children('instances').map(readInstance);
  fields.done();
  const names = new Set<string>();
  for (const { name } of instances) {
    if (names.has(name)) throw new PartitionError('input', `two instances are called ${name}`, path);
    names.add(name);
  }
  return instances;
}

function readInstance(fields: Fields): SuiteInstance {
  const instance: SuiteInstance = {
    name: fields.string('name'),
    about: fields.string('about'),
    model: readModel(fields.required('model')),
    cluster: fields.string('cluster'),
    devices: fields.number('devices', COUNT),
    seq: fields.has('seq') ? fields.number('seq', COUNT) : undefined,
    batch: fields.number('batch', COUNT),
    precision: fields.string('precision', 'bf16'),
    stack: fields.string('stack', 'megatron'),
    objective: fields.string('objective', 'time'),
  };
  fields.done();
  return instance;
}

function readModel(fields: Fields): SuiteModel {
  const kinds = ['zoo', 'file', 'irregular'].filter((kind) => fields.has(kind));
  if (kinds.length !== 1) throw fields.fault(kinds[0] ?? 'zoo', 'one of zoo, file, irregular');
  const model = modelOf(fields, kinds[0]);
  fields.done();
  return model;
}

function modelOf(fields: Fields, kind: string): SuiteModel {
  if (kind === 'file') return { kind, path: fields.string('file') };
  if (kind === 'zoo') {
    const given = fields.child('sizes');
    const sizes: Record<string, number> = {};
    for (const size of given?.names() ?? []) sizes[size] = given!.number(size, COUNT);
    return { kind, name: fields.string('zoo'), sizes };
  }
  const drawn = fields.required('irregular');
  const model: SuiteModel = {
    kind: 'irregular',
    seed: drawn.number('seed', { min: 0, integer: true }),
    cells: drawn.number('cells', COUNT),
    nodes: drawn.number('nodes', COUNT),
    hidden: drawn.number('hidden', COUNT),
    tokens: drawn.number('tokens', COUNT),
    towers: drawn.number('towers', { ...COUNT, max: 2, default: 1 }),
  };
  drawn.done();
  return model;
}

/** Best known values by instance; empty when none are stored. */
export function loadBestKnown(path = suitePath('best-known.yaml')): Map<string, BestKnown> {
  const fields = Fields.of(readYaml(path), path, '', []);
  fields.string('command');
  const table = fields.required('instances');
  const known = new Map<string, BestKnown>();
  for (const name of table.names()) {
    const row = table.required(name);
    known.set(name, {
      value: row.number('value'),
      foundBy: row.string('foundBy'),
      evaluations: row.number('evaluations', { integer: true }),
      proved: row.raw('proved') === true,
    });
    row.done();
  }
  fields.done();
  return known;
}
