import { readFileSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { PartitionError, oneLine } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import { nearNames } from './near.js';

/** A cluster file is a page of text; anything larger is a wrong file. */
const MAX_BYTES = 1 << 20;

/** Parses a YAML (or JSON) file; faults name the file and the line. */
export function readYaml(path: string): unknown {
  let text: string;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new PartitionError('input', 'expected a file, found a directory', path);
    if (stat.size > MAX_BYTES)
      throw new PartitionError(
        'input',
        `expected a YAML file of at most ${MAX_BYTES} bytes, found ${stat.size}`,
        path,
      );
    text = readFileSync(path, 'utf8');
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    throw new PartitionError(
      'input',
      `cannot read (${(e as NodeJS.ErrnoException).code ?? String(e)})`,
      path,
    );
  }
  try {
    const document = parseDocument(text, { prettyErrors: true, logLevel: 'silent' });
    const error = document.errors[0];
    if (error !== undefined) throw error;
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (e) {
    const first = (e as Error).message.split('\n')[0] ?? '';
    throw new PartitionError('input', `expected YAML: ${oneLine(first.replace(/:$/, ''), 200)}`, path);
  }
}

/** Preset files of one data folder by name and alias. */
export interface PresetFolder {
  /** Names in alphabetical order. */
  readonly names: readonly string[];
  /** Lower-case name or alias to name. */
  readonly byAlias: ReadonlyMap<string, string>;
  readonly documents: ReadonlyMap<string, unknown>;
  path(name: string): string;
}

const folders = new Map<string, PresetFolder>();

/** Reads a data folder of presets once; the data ships with the package and does not change under us. */
export function presetFolder(folder: 'devices' | 'clusters'): PresetFolder {
  const known = folders.get(folder);
  if (known !== undefined) return known;
  const root = fileURLToPath(dataPath(`${folder}/`));
  const names = readdirSync(root)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
  const documents = new Map<string, unknown>();
  const byAlias = new Map<string, string>();
  for (const name of names) {
    const document = readYaml(`${root}${name}.yaml`);
    documents.set(name, document);
    byAlias.set(name.toLowerCase(), name);
    const aliases = (document as { aliases?: unknown }).aliases;
    if (Array.isArray(aliases)) for (const alias of aliases) byAlias.set(String(alias).toLowerCase(), name);
  }
  const loaded: PresetFolder = { names, byAlias, documents, path: (name) => `${root}${name}.yaml` };
  folders.set(folder, loaded);
  return loaded;
}

/** Preset name behind what the user wrote; a usage error with near names otherwise. */
export function resolvePreset(folder: 'devices' | 'clusters', name: string, where: string): string {
  const presets = presetFolder(folder);
  const found = presets.byAlias.get(name.toLowerCase());
  if (found !== undefined) return found;
  const what = folder === 'devices' ? 'device' : 'cluster';
  const near = nearNames(name, [...presets.byAlias.keys()])
    .map((alias) => presets.byAlias.get(alias)!)
    .filter((preset, i, all) => all.indexOf(preset) === i);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known: ${presets.names.join(', ')}`;
  throw new PartitionError('usage', `unknown ${what} preset "${oneLine(name, 60)}"`, where, hint);
}
