import { PartitionError } from '../util/errors.js';
import { nearNames } from '../util/near.js';
import type { SourcedFigure } from './types.js';

/** Bounds of a number, both inclusive. */
export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  readonly integer?: boolean;
  readonly default?: number;
}

/**
 * Reads the fields of one map of a YAML file. Each fault is one line that names file, field, what was expected and
 * what was found. A number stands alone or as `{value, source}`; sources are collected.
 */
export class Fields {
  private readonly read = new Set<string>();

  constructor(
    private readonly map: Readonly<Record<string, unknown>>,
    readonly file: string,
    readonly path: string,
    private readonly sources: SourcedFigure[],
    private readonly sourceLabel = '',
  ) {}

  /** The map at the top of a document, or inside a list. */
  static of(value: unknown, file: string, path: string, sources: SourcedFigure[], sourceLabel = ''): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw fault(file, path, 'a map', value);
    return new Fields(value as Record<string, unknown>, file, path, sources, sourceLabel);
  }

  has(name: string): boolean {
    return this.map[name] !== undefined && this.map[name] !== null;
  }

  raw(name: string): unknown {
    this.read.add(name);
    return this.map[name] ?? undefined;
  }

  at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  fault(name: string, expected: string): PartitionError {
    return fault(this.file, this.at(name), expected, this.map[name]);
  }

  string(name: string, fallback?: string): string {
    const value = this.raw(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value !== 'string' || value.length === 0) throw this.fault(name, 'text');
    return value;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[], fallback?: T): T {
    const value = this.string(name, fallback);
    if (!(allowed as readonly string[]).includes(value))
      throw this.fault(name, `one of ${allowed.join(', ')}`);
    return value as T;
  }

  number(name: string, range: NumberRange = {}): number {
    let value = this.raw(name);
    if (value === undefined && range.default !== undefined) return range.default;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const sourced = new Fields(value as Record<string, unknown>, this.file, this.at(name), this.sources);
      const source = sourced.string('source');
      sourced.string('note', '-');
      value = sourced.raw('value');
      if (value === undefined) throw sourced.fault('value', 'a number');
      sourced.done();
      if (typeof value === 'number')
        this.sources.push({ field: `${this.sourceLabel}${this.at(name)}`, value, source });
    }
    const low = range.min ?? 0;
    const high = range.max ?? Number.MAX_SAFE_INTEGER;
    const ok =
      typeof value === 'number' &&
      Number.isFinite(value) &&
      value >= low &&
      value <= high &&
      (range.integer !== true || Number.isSafeInteger(value));
    if (!ok) {
      const kind = range.integer === true ? 'an integer' : 'a number';
      const bounds = range.max === undefined ? `of at least ${low}` : `between ${low} and ${high}`;
      throw fault(this.file, this.at(name), `${kind} ${bounds}`, value);
    }
    return value as number;
  }

  numbers(name: string, range: NumberRange = {}): number[] {
    return this.list(name).map((_, i) =>
      new Fields(
        { [`${name}[${i}]`]: (this.map[name] as unknown[])[i] },
        this.file,
        this.path,
        this.sources,
      ).number(`${name}[${i}]`, range),
    );
  }

  list(name: string, fallback?: readonly unknown[]): readonly unknown[] {
    const value = this.raw(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (!Array.isArray(value)) throw this.fault(name, 'a list');
    return value as unknown[];
  }

  /** A nested map; null when absent. */
  child(name: string): Fields | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    return Fields.of(value, this.file, this.at(name), this.sources, this.sourceLabel);
  }

  children(name: string, fallback?: readonly unknown[]): Fields[] {
    return this.list(name, fallback).map((value, i) =>
      Fields.of(value, this.file, `${this.at(name)}[${i}]`, this.sources, this.sourceLabel),
    );
  }

  required(name: string): Fields {
    const child = this.child(name);
    if (child === null) throw this.fault(name, 'a map');
    return child;
  }

  /** Names of this map, for tables keyed by user words. */
  names(): string[] {
    return Object.keys(this.map);
  }

  /** Throws on the first field that nobody read: most often a slip of the pen. */
  done(): void {
    for (const name of Object.keys(this.map))
      if (!this.read.has(name)) {
        const near = nearNames(name, [...this.read]);
        throw new PartitionError(
          'input',
          `${this.at(name)}: unknown field`,
          this.file,
          near.length > 0
            ? `did you mean ${near.join(' or ')}?`
            : `known: ${[...this.read].sort().join(', ')}`,
        );
      }
  }
}

/** `file: field: expected X, found Y`. */
export function fault(file: string, path: string, expected: string, found: unknown): PartitionError {
  const shown = found === undefined || found === null ? 'nothing' : JSON.stringify(found).slice(0, 80);
  return new PartitionError(
    'input',
    `${path === '' ? 'document' : path}: expected ${expected}, found ${shown}`,
    file,
  );
}
