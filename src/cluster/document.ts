import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { PartitionError, invariant, oneLine } from '../util/errors.js';
import { dataPath, readTextFile } from '../util/files.js';
import { nearNames } from '../util/near.js';

/** A cluster file is a page of text; anything larger is a wrong file. */
const MAX_BYTES = 1 << 20;

/** Parses a YAML (or JSON) file; faults name the file and the line. */
export function readYaml(path: string): unknown {
  const text = readTextFile(path, 'a YAML file', MAX_BYTES);
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

/** Folders of presets under `src/data`. */
export type PresetKind = 'devices' | 'clusters' | 'stacks';

/**
 * Presets of one kind: the files of a data folder, read when first asked for (they ship with the package and do not change
 * under us), and those that were added.
 */
export class PresetFolder {
  /** Names in alphabetical order. */
  readonly names: string[];
  private readonly root: string;
  private readonly documents = new Map<string, unknown>();
  private aliases: Map<string, string> | null = null;

  constructor(folder: PresetKind) {
    this.root = fileURLToPath(dataPath(`${folder}/`));
    this.names = readdirSync(this.root)
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => file.slice(0, -'.yaml'.length))
      .sort();
  }

  path(name: string): string {
    return `${this.root}${name}.yaml`;
  }

  document(name: string): unknown {
    let document = this.documents.get(name);
    if (document === undefined) {
      document = readYaml(this.path(name));
      this.documents.set(name, document);
    }
    return document;
  }

  /** Adds a preset as a document; its name, in lower case, must be new. */
  add(name: string, document: unknown): void {
    invariant(this.find(name) === undefined && name === name.toLowerCase(), `a new preset, found ${name}`);
    this.names.push(name);
    this.names.sort();
    this.documents.set(name, document);
    this.aliases = null;
  }

  /** Lower-case name or alias to name; reads every file. */
  byAlias(): ReadonlyMap<string, string> {
    if (this.aliases === null) {
      this.aliases = new Map();
      for (const name of this.names) {
        const { aliases } = this.document(name) as { aliases?: readonly string[] };
        for (const alias of aliases ?? []) this.aliases.set(alias.toLowerCase(), name);
      }
      for (const name of this.names) this.aliases.set(name.toLowerCase(), name);
    }
    return this.aliases;
  }

  /** Name behind what the user wrote, in any case; undefined when unknown. */
  find(name: string): string | undefined {
    const lower = name.toLowerCase();
    return this.names.includes(lower) ? lower : this.byAlias().get(lower);
  }
}

const folders = new Map<string, PresetFolder>();

export function presetFolder(folder: PresetKind): PresetFolder {
  let known = folders.get(folder);
  if (known === undefined) {
    known = new PresetFolder(folder);
    folders.set(folder, known);
  }
  return known;
}

/** Preset name behind what the user wrote, on the command line or in a file (`code`); an error with near names otherwise. */
export function resolvePreset(
  folder: PresetKind,
  name: string,
  where: string,
  code: 'usage' | 'input' = 'usage',
): string {
  const presets = presetFolder(folder);
  const found = presets.find(name);
  if (found !== undefined) return found;
  const what = folder.slice(0, -1);
  const near = nearNames(name, [...presets.byAlias().keys()])
    .map((alias) => presets.byAlias().get(alias)!)
    .filter((preset, i, all) => all.indexOf(preset) === i);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known: ${presets.names.join(', ')}`;
  throw new PartitionError(code, `unknown ${what} preset "${oneLine(name, 60)}"`, where, hint);
}
