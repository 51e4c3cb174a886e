/** Fields of a workload file, with a fault that names the operator. */
import { PartitionError } from '../../util/errors.js';

export type Json = Readonly<Record<string, unknown>>;

/** A complaint about one field of one operator, edge or of the file. */
export function refuse(where: string, field: string, expected: string, found: unknown): PartitionError {
  return new PartitionError('input', `${field}: expected ${expected}, found ${shown(found)}`, where);
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectOf(value: unknown, where: string, field: string): Json {
  if (!isObject(value)) throw refuse(where, field, 'an object', value);
  return value;
}

export function listOf(holder: Json, field: string, where: string): readonly unknown[] {
  const value = holder[field];
  if (!Array.isArray(value)) throw refuse(where, field, 'a list', value);
  return value as readonly unknown[];
}

/** A finite number of at least 0. */
export function amountOf(holder: Json, field: string, where: string, missing?: number): number {
  const value = holder[field];
  if (value === undefined && missing !== undefined) return missing;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw refuse(where, field, 'a number of at least 0', value);
  return value;
}

/** A whole number of at least `least`. */
export function countOf(holder: Json, field: string, where: string, least: number, missing?: number): number {
  const value = holder[field];
  if (value === undefined && missing !== undefined) return missing;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > MOST_DEVICES)
    throw refuse(where, field, `a whole number from ${least} to ${MOST_DEVICES}`, value);
  return value;
}

/** Tables are per device. */
export const MOST_DEVICES = 65_536;

/** An id: a name or a number. */
export function idOf(holder: Json, field: string, where: string): string | number {
  const value = holder[field];
  if ((typeof value !== 'string' || value === '') && (typeof value !== 'number' || !Number.isFinite(value)))
    throw refuse(where, field, 'a name or a number', value);
  return value;
}
