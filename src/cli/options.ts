/** Options shared by commands, and how their text becomes values. */
import type { Argv } from 'yargs';
import { PartitionError } from '../util/errors.js';

export interface CommonArgs {
  json: boolean;
  quiet: boolean;
}

export interface ModelArgs {
  seq: number | undefined;
  bind: string[] | undefined;
  strict: boolean;
}

export function withCommon<T>(argv: Argv<T>): Argv<T & CommonArgs> {
  return argv
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object on stdout' })
    .option('quiet', { type: 'boolean', default: false, describe: 'no progress on stderr' });
}

export function withModel<T>(argv: Argv<T>): Argv<T & ModelArgs> {
  return argv
    .option('seq', { type: 'number', describe: 'sequence length, bound to the sequence dimension' })
    .option('bind', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'value of a symbolic dimension, name=value',
    })
    .option('strict', { type: 'boolean', default: false, describe: 'refuse operators that are not known' });
}

/** `--bind batch=1 --bind seq=128` or `--bind batch=1,seq=128` as a record. */
export function parseBindings(texts: readonly string[] | undefined): Record<string, number> | undefined {
  if (texts === undefined) return undefined;
  const bound: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const term of texts.flatMap((t) => t.split(','))) {
    const at = term.lastIndexOf('=');
    const name = term.slice(0, at);
    const value = Number(term.slice(at + 1));
    if (at < 1 || term.slice(at + 1).trim() === '' || !Number.isSafeInteger(value) || value < 0) {
      throw new PartitionError(
        'usage',
        `expected name=value with a whole number, found ${term || 'nothing'}`,
        '--bind',
        'for example --bind seq=1024',
      );
    }
    bound[name] = value;
  }
  return bound;
}

/** A positive whole number, or undefined when the flag is absent. */
export function positiveInteger(value: number | undefined, flag: string): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new PartitionError('usage', `expected a whole number of at least 1, found ${String(value)}`, flag);
  }
  return value;
}

/** `10s`, `2000ev`, or both as `10s,2000ev`. */
export function parseBudget(text: string): { maxSec: number; maxEvaluations: number } {
  const budget = { maxSec: Infinity, maxEvaluations: Infinity };
  for (const term of text.split(',')) {
    const match = /^\s*(\d+(?:\.\d+)?)\s*(s|ms|ev)\s*$/.exec(term);
    if (!match || Number(match[1]) <= 0) {
      throw new PartitionError(
        'usage',
        `expected seconds or evaluations, found ${term || 'nothing'}`,
        '--budget',
        'for example --budget 10s or --budget 2000ev',
      );
    }
    const amount = Number(match[1]);
    if (match[2] === 'ev') budget.maxEvaluations = amount;
    else budget.maxSec = match[2] === 'ms' ? amount / 1000 : amount;
  }
  return budget;
}
