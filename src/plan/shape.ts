/**
 * Descriptions of JSON values: one description checks what is read, orders what is written and prints the published
 * JSON Schema, so that the three cannot drift apart.
 */
import { PartitionError } from '../util/errors.js';

export type Shape =
  | { readonly kind: 'object'; readonly fields: Readonly<Record<string, Shape>>; readonly doc?: string }
  | { readonly kind: 'array'; readonly items: Shape; readonly doc?: string }
  | {
      readonly kind: 'number';
      readonly integer: boolean;
      readonly min?: number;
      readonly max?: number;
      readonly doc?: string;
    }
  | { readonly kind: 'string'; readonly doc?: string }
  | { readonly kind: 'boolean'; readonly doc?: string }
  | { readonly kind: 'choice'; readonly values: readonly (string | number)[]; readonly doc?: string }
  | { readonly kind: 'nullable'; readonly of: Shape; readonly doc?: string }
  /** Only as a field of an object: may be absent. */
  | { readonly kind: 'optional'; readonly of: Shape; readonly doc?: string };

type Doc = { readonly doc?: string };
const documented = (doc?: string): Doc => (doc === undefined ? {} : { doc });

export const object = (fields: Readonly<Record<string, Shape>>, doc?: string): Shape => ({
  kind: 'object',
  fields,
  ...documented(doc),
});
export const array = (items: Shape, doc?: string): Shape => ({ kind: 'array', items, ...documented(doc) });
export const integer = (min: number, doc?: string): Shape => ({
  kind: 'number',
  integer: true,
  min,
  ...documented(doc),
});
/** A non-negative quantity. */
export const quantity = (doc?: string): Shape => ({
  kind: 'number',
  integer: false,
  min: 0,
  ...documented(doc),
});
export const fraction = (doc?: string): Shape => ({
  kind: 'number',
  integer: false,
  min: 0,
  max: 1,
  ...documented(doc),
});
export const text = (doc?: string): Shape => ({ kind: 'string', ...documented(doc) });
export const flag = (doc?: string): Shape => ({ kind: 'boolean', ...documented(doc) });
export const choice = (values: readonly (string | number)[], doc?: string): Shape => ({
  kind: 'choice',
  values,
  ...documented(doc),
});
export const nullable = (of: Shape, doc?: string): Shape => ({ kind: 'nullable', of, ...documented(doc) });
export const optional = (of: Shape): Shape => ({ kind: 'optional', of });

/**
 * Checks a value field by field and rebuilds it with its keys in the order of the description.
 *
 * @param at path of the value in its document, such as `degrees.tp`
 * @throws PartitionError `input`: file and field, what was expected and what was found
 */
export function conform(value: unknown, shape: Shape, where: string, at = ''): unknown {
  switch (shape.kind) {
    case 'nullable':
      return value === null ? null : conform(value, shape.of, where, at);
    case 'optional':
      return conform(value, shape.of, where, at);
    case 'object':
      return conformObject(value, shape.fields, where, at);
    case 'array':
      if (!Array.isArray(value)) throw fault(where, at, 'a list', value);
      return value.map((item, i) => conform(item, shape.items, where, `${at}[${i}]`));
    case 'choice':
      if (!shape.values.some((allowed) => allowed === value))
        throw fault(where, at, shape.values.map((v) => JSON.stringify(v)).join(' or '), value);
      return value;
    case 'number':
      return conformNumber(value, shape, where, at);
    case 'string':
    case 'boolean':
      if (typeof value !== shape.kind)
        throw fault(where, at, shape.kind === 'string' ? 'text' : 'true or false', value);
      return value;
  }
}

function conformObject(
  value: unknown,
  fields: Readonly<Record<string, Shape>>,
  where: string,
  at: string,
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault(where, at, 'an object', value);
  const given = value as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(fields)) {
    const path = at === '' ? name : `${at}.${name}`;
    if (shape.kind === 'optional' && !Object.hasOwn(given, name)) continue;
    if (!Object.hasOwn(given, name)) throw fault(where, path, expectation(shape), undefined);
    result[name] = conform(given[name], shape, where, path);
  }
  for (const name of Object.keys(given))
    if (!Object.hasOwn(fields, name))
      throw fault(where, at === '' ? name : `${at}.${name}`, 'no such field', given[name]);
  return result;
}

function conformNumber(value: unknown, shape: Shape & { kind: 'number' }, where: string, at: string): number {
  const good =
    typeof value === 'number' &&
    (shape.integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    value >= (shape.min ?? -Infinity) &&
    value <= (shape.max ?? Infinity);
  if (!good) throw fault(where, at, expectation(shape), value);
  // -0 and 0 are one value, and only 0 survives JSON.
  return value === 0 ? 0 : value;
}

function expectation(shape: Shape): string {
  if (shape.kind === 'choice') return shape.values.map((v) => JSON.stringify(v)).join(' or ');
  if (shape.kind === 'nullable') return `${expectation(shape.of)} or null`;
  if (shape.kind === 'optional') return expectation(shape.of);
  if (shape.kind !== 'number')
    return { object: 'an object', array: 'a list', string: 'text', boolean: 'true or false' }[shape.kind];
  const range =
    shape.max === undefined ? `of at least ${shape.min ?? 0}` : `from ${shape.min ?? 0} to ${shape.max}`;
  return `${shape.integer ? 'an integer' : 'a number'} ${range}`;
}

function fault(where: string, at: string, expected: string, found: unknown): PartitionError {
  const shown = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 80);
  return new PartitionError(
    'input',
    `field ${at === '' ? '(whole file)' : at}: expected ${expected}, found ${shown}`,
    where,
  );
}

/** The JSON Schema (draft-07) of a description. */
export function jsonSchema(shape: Shape): Record<string, unknown> {
  const doc = shape.doc === undefined ? {} : { description: shape.doc };
  switch (shape.kind) {
    case 'nullable':
      return { ...doc, anyOf: [jsonSchema(shape.of), { type: 'null' }] };
    case 'optional':
      return jsonSchema(shape.of);
    case 'object':
      return {
        ...doc,
        type: 'object',
        properties: Object.fromEntries(Object.entries(shape.fields).map(([k, s]) => [k, jsonSchema(s)])),
        required: Object.keys(shape.fields).filter((k) => shape.fields[k].kind !== 'optional'),
        additionalProperties: false,
      };
    case 'array':
      return { ...doc, type: 'array', items: jsonSchema(shape.items) };
    case 'choice':
      return { ...doc, enum: [...shape.values] };
    case 'number':
      return {
        ...doc,
        type: shape.integer ? 'integer' : 'number',
        ...(shape.min === undefined ? {} : { minimum: shape.min }),
        ...(shape.max === undefined ? {} : { maximum: shape.max }),
      };
    default:
      return { ...doc, type: shape.kind };
  }
}
