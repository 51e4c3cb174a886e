/** The known architectures: a table of published hyper-parameters, read from data files. */
import { readFileSync } from 'node:fs';
import { PartitionError } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import { nearNames } from '../util/near.js';
import { completeConfig } from './complete.js';
import { FAMILIES, type ArchConfig, type ArchSketch } from './config.js';

/** One row of a data file: a sketch without its family (the file's name) and with other names it goes by. */
type CatalogRow = Omit<ArchSketch, 'family'> & { readonly aliases?: readonly string[] };

interface Catalog {
  readonly names: readonly string[];
  /** By spelling-insensitive name or alias. */
  readonly byKey: ReadonlyMap<string, ArchSketch>;
}

let loaded: Catalog | null = null;

/** Names of all known architectures, by family and size; `gpt`, `llama` and `moe` are generic. */
export function zooNames(): string[] {
  return [...catalog().names];
}

/**
 * Hyper-parameters of a known architecture. Case, dashes, dots and underscores do not matter. Throws a usage error
 * that lists near names.
 */
export function zooConfig(name: string): ArchConfig {
  const { names, byKey } = catalog();
  const sketch = byKey.get(keyOf(name));
  if (sketch === undefined) {
    const near = nearNames(name, names, 4);
    const hint = near.length > 0 ? `did you mean ${near.join(', ')}?` : `known: ${names.join(', ')}`;
    throw new PartitionError('usage', `unknown architecture ${JSON.stringify(name)}`, 'zoo', hint);
  }
  return completeConfig(sketch);
}

function catalog(): Catalog {
  loaded ??= readCatalog();
  return loaded;
}

function readCatalog(): Catalog {
  const names: string[] = [];
  const byKey = new Map<string, ArchSketch>();
  for (const family of FAMILIES) {
    const rows = JSON.parse(readFileSync(dataPath(`zoo/${family}.json`), 'utf8')) as CatalogRow[];
    for (const { aliases = [], ...row } of rows) {
      names.push(row.name);
      for (const spelling of [row.name, ...aliases]) {
        const key = keyOf(spelling);
        if (byKey.has(key)) throw new Error(`internal: two architectures are called ${spelling}`);
        byKey.set(key, { ...row, family });
      }
    }
  }
  return { names, byKey };
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(/[-_. ]/g, '');
}
