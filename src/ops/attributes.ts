/** Typed access to a node's attributes. A type that does not fit what an operator asks for reads as if absent. */
import type { AttributeProto, GraphProto, Int64 } from '../model/types.js';
import type { Attributes } from './types.js';

/** AttributeProto.AttributeType, as far as needed here. */
const AttributeType = { FLOAT: 1, INT: 2, FLOATS: 6, INTS: 7, STRINGS: 8 } as const;

const utf8 = new TextDecoder();

export class NodeAttributes implements Attributes {
  constructor(private readonly list: readonly AttributeProto[]) {}

  raw(name: string): AttributeProto | null {
    const list = this.list;
    for (let i = 0; i < list.length; i++) if (list[i].name === name) return list[i];
    return null;
  }

  has(name: string): boolean {
    return this.raw(name) !== null;
  }

  optionalInt(name: string): number | null {
    const a = this.raw(name);
    if (a === null) return null;
    if (a.i !== undefined) return Number(a.i);
    // Protobuf may leave a zero out; a declared INT without a value is zero.
    return a.type === AttributeType.INT ? 0 : null;
  }

  int(name: string, fallback: number): number {
    return this.optionalInt(name) ?? fallback;
  }

  float(name: string, fallback: number): number {
    const a = this.raw(name);
    if (a === null) return fallback;
    return a.f ?? (a.type === AttributeType.FLOAT ? 0 : fallback);
  }

  string(name: string, fallback: string): string {
    const s = this.raw(name)?.s;
    return s === undefined ? fallback : utf8.decode(s);
  }

  ints(name: string): readonly number[] | null {
    const a = this.raw(name);
    if (a === null) return null;
    if (a.ints.length === 0 && a.type !== undefined && a.type !== AttributeType.INTS) return null;
    return toNumbers(a.ints);
  }

  floats(name: string): readonly number[] | null {
    const a = this.raw(name);
    if (a === null || (a.floats.length === 0 && a.type !== undefined && a.type !== AttributeType.FLOATS))
      return null;
    return a.floats;
  }

  strings(name: string): readonly string[] | null {
    const a = this.raw(name);
    if (a === null || (a.strings.length === 0 && a.type !== undefined && a.type !== AttributeType.STRINGS))
      return null;
    return a.strings.map((s) => utf8.decode(s));
  }

  graph(name: string): GraphProto | null {
    return this.raw(name)?.g ?? null;
  }
}

/** int64 as numbers; beyond 2^53 rounded, which only sentinels such as INT64_MAX reach. */
function toNumbers(ints: readonly Int64[]): readonly number[] {
  for (let i = 0; i < ints.length; i++) if (typeof ints[i] === 'bigint') return ints.map(Number);
  return ints as readonly number[];
}

export const NO_ATTRIBUTES: Attributes = new NodeAttributes([]);

/**
 * Attributes of a node inside a function body: references to the function's attributes (`ref_attr_name`) are replaced by
 * what the call passes, else by the function's default, else dropped. Subgraphs of the body are not descended into.
 */
export function resolveReferences(
  list: readonly AttributeProto[],
  passed: ReadonlyMap<string, AttributeProto>,
): readonly AttributeProto[] {
  let refers = false;
  for (const a of list) if (a.refAttrName !== undefined && a.refAttrName !== '') refers = true;
  if (!refers) return list;
  const resolved: AttributeProto[] = [];
  for (const a of list) {
    if (a.refAttrName === undefined || a.refAttrName === '') {
      resolved.push(a);
      continue;
    }
    const target = passed.get(a.refAttrName);
    if (target === undefined) continue;
    const copy: AttributeProto = { ...target };
    if (a.name !== undefined) copy.name = a.name;
    resolved.push(copy);
  }
  return resolved;
}
