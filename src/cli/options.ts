/** Options shared by commands, and how their text becomes values. */
import type { Argv } from 'yargs';
import { PartitionError } from '../util/errors.js';

export interface CommonArgs {
  json: boolean;
  quiet: boolean;
}

export interface ModelArgs {
  seq: string | undefined;
  bind: string[] | undefined;
  strict: boolean;
}

/**
 * An option that takes one word; of equal flags the last counts. Numbers are words too, so that a message can quote what
 * was written.
 */
export function text(describe: string, defaultValue?: string) {
  return {
    type: 'string',
    requiresArg: true,
    describe,
    coerce: (value: string | string[]): string => (Array.isArray(value) ? (value.at(-1) ?? '') : value),
    ...(defaultValue === undefined ? {} : { default: defaultValue }),
  } as const;
}

/** What `--calibration` is, wherever it is taken. */
export const CALIBRATION_TEXT =
  'YAML file of measured numbers over the presets (partition calibrate makes one)';

/** What `--cost-model` is, wherever it is taken. */
export const COST_MODEL_TEXT = 'corrections of the cost tables that a --plugin registers';

export function withCommon<T>(argv: Argv<T>): Argv<T & CommonArgs> {
  return argv
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object on stdout' })
    .option('quiet', { type: 'boolean', default: false, describe: 'no progress and warnings on stderr' });
}

export function withModel<T>(argv: Argv<T>): Argv<T & ModelArgs> {
  return argv
    .option('seq', text('sequence length in tokens, bound to the sequence dimension'))
    .option('bind', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'value of a symbolic dimension: name=value',
    })
    .option('strict', {
      type: 'boolean',
      default: false,
      describe: 'refuse operators that are not known',
    });
}

/** A positional argument that the command cannot do without. */
export function required(value: string | undefined, what: string, usage: string): string {
  if (value === undefined || value === '') {
    throw new PartitionError('usage', `expected ${what}`, null, `partition ${usage}`);
  }
  return value;
}

/** `--bind batch=1 --bind seq=128` or `--bind batch=1,seq=128` as a record. */
export function parseBindings(texts: readonly string[] | undefined): Record<string, number> | undefined {
  if (texts === undefined) return undefined;
  const bound: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const term of texts.flatMap((t) => t.split(','))) {
    const at = term.lastIndexOf('=');
    const name = term.slice(0, at);
    const value = wholeNumber(term.slice(at + 1));
    if (at < 1 || value === null) {
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

/** A positive whole number up to `most`, or undefined when the flag is absent. */
export function positiveInteger(
  value: string | undefined,
  flag: string,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  return value === undefined ? undefined : integerBetween(value, flag, 1, most);
}

/** A whole number within bounds, both included. */
export function integerBetween(value: string, flag: string, least: number, most: number): number {
  const number = wholeNumber(value);
  if (number === null || number < least || number > most) {
    const range =
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number of at least ${least}`
        : `a whole number from ${least} to ${most}`;
    throw new PartitionError('usage', `expected ${range}, found ${value || 'nothing'}`, flag);
  }
  return number;
}

function wholeNumber(value: string): number | null {
  const number = /^\s*\d+\s*$/.test(value) ? Number(value) : NaN;
  return Number.isSafeInteger(number) ? number : null;
}

/** One of a few words, or undefined when the flag is absent. */
export function oneOf<T extends string>(value: string, choices: readonly T[], flag: string): T {
  const found = choices.find((c) => c === value);
  if (found === undefined) {
    throw new PartitionError(
      'usage',
      `expected one of ${choices.join(', ')}, found ${value || 'nothing'}`,
      flag,
    );
  }
  return found;
}

/** Seconds of wall clock: `30s`, `500ms`. */
export function parseSeconds(value: string, flag: string): number {
  const { maxSec, maxEvaluations } = parseBudget(value, flag, 'seconds', `for example ${flag} 30s`);
  if (maxEvaluations !== Infinity || maxSec === Infinity)
    throw new PartitionError('usage', `expected seconds, found ${value}`, flag, `for example ${flag} 30s`);
  return maxSec;
}

/** `10s`, `2000ev`, or both as `10s,2000ev`. */
export function parseBudget(
  value: string,
  flag = '--budget',
  expected = 'seconds or evaluations',
  hint = 'for example --budget 10s or --budget 2000ev',
): { maxSec: number; maxEvaluations: number } {
  const budget = { maxSec: Infinity, maxEvaluations: Infinity };
  for (const term of value.split(',')) {
    const match = /^\s*(\d+(?:\.\d+)?)\s*(s|ms|ev)\s*$/.exec(term);
    const amount = match === null ? 0 : Number(match[1]);
    if (match === null || amount <= 0 || (match[2] === 'ev' && !Number.isSafeInteger(amount))) {
      throw new PartitionError(
        'usage',
        `expected ${expected} above 0, found ${term || 'nothing'}`,
        flag,
        hint,
      );
    }
    if (match[2] === 'ev') budget.maxEvaluations = amount;
    else budget.maxSec = match[2] === 'ms' ? amount / 1000 : amount;
  }
  return budget;
}
