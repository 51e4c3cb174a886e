/** The document of a training configuration: over that of the file that it is `like`, under what the command line asks for. */
import { dirname, resolve } from 'node:path';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';

/** What the command line puts in place of a configuration's own. */
export interface TrainingOverrides {
  readonly updates?: number | undefined;
  readonly maxSec?: number | undefined;
  readonly seed?: number | undefined;
}

type Document = Readonly<Record<string, unknown>>;

/** @throws PartitionError input when a file cannot be read, or is like itself */
export function trainingDocument(path: string, { updates, maxSec, seed }: TrainingOverrides): Document {
  const document = documentOf(path, []);
  const { budget } = document;
  if (!isMap(budget)) return document;
  return {
    ...document,
    ...(seed === undefined ? {} : { seed }),
    budget: {
      // Episodes are another way to say updates.
      ...(updates === undefined ? budget : { ...without(budget, 'episodes'), updates }),
      ...(maxSec === undefined ? {} : { seconds: maxSec }),
    },
  };
}

/** @param users files that are like this one, one after the other */
function documentOf(path: string, users: readonly string[]): Document {
  const value = readYaml(path);
  const fields = Fields.of(value, path, '', []);
  const document = value as Document;
  if (!fields.has('like')) return document;
  const folder = dirname(path);
  const base = resolve(folder, fields.string('like'));
  const used = [...users, resolve(path)];
  if (used.includes(base)) throw fields.fault('like', 'a file that is not like this one');
  return { ...located(documentOf(base, used), dirname(base)), ...without(document, 'like') };
}

/** The same document, its files named so that they are found from another folder too. */
function located(document: Document, folder: string): Document {
  const { graphs } = document;
  if (!Array.isArray(graphs)) return document;
  const found = (file: unknown): unknown => (typeof file === 'string' ? resolve(folder, file) : file);
  const families = graphs.map((family: unknown): unknown =>
    isMap(family) && Array.isArray(family['files'])
      ? { ...family, files: family['files'].map(found) }
      : family,
  );
  return { ...document, graphs: families };
}

function without(map: Document, name: string): Document {
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));
}

function isMap(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
