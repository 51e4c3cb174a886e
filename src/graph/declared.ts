/** Comparing what a model declares with what is inferred. */
import { DType, dtypeName } from '../model/dtype.js';
import { canBeEqual, shapeText, symbolsOf } from '../ops/dim.js';
import type { Dim, ValueType } from '../ops/types.js';

/** True when no value can have both types. Unknown parts contradict nothing. */
export function contradicts(a: ValueType, b: ValueType): boolean {
  if (a.kind !== b.kind) return true;
  if ((a.kind === 'tensor' && b.kind === 'tensor') || (a.kind === 'sparse' && b.kind === 'sparse')) {
    if (a.dtype !== b.dtype && a.dtype !== DType.UNDEFINED && b.dtype !== DType.UNDEFINED) return true;
    if (a.shape === null || b.shape === null) return false;
    if (a.shape.length !== b.shape.length) return true;
    for (let i = 0; i < a.shape.length; i++) if (!canBeEqual(a.shape[i], b.shape[i])) return true;
    return false;
  }
  if ((a.kind === 'sequence' && b.kind === 'sequence') || (a.kind === 'optional' && b.kind === 'optional')) {
    return a.elem !== null && b.elem !== null && contradicts(a.elem, b.elem);
  }
  return false;
}

/** `FLOAT [batch, 768]`, for messages. */
export function typeText(t: ValueType | null): string {
  if (t === null) return 'of unknown type';
  if (t.kind === 'tensor') return `${dtypeName(t.dtype)} ${shapeText(t.shape)}`;
  if (t.kind === 'sparse') return `sparse ${dtypeName(t.dtype)} ${shapeText(t.shape)}`;
  if (t.kind === 'sequence' || t.kind === 'optional') return `${t.kind} of ${typeText(t.elem)}`;
  return t.kind;
}

const isFresh = (name: string): boolean => name.startsWith('unk__');

/**
 * `inferred` with symbolic dimensions spelled as declared, where the declaration uses symbols of the inputs only. Names
 * that exporters invent for outputs say nothing.
 */
export function renameDims(
  inferred: ValueType,
  declared: ValueType,
  inputSymbols: ReadonlySet<string>,
): ValueType {
  if (inferred.kind !== 'tensor' || declared.kind !== 'tensor') return inferred;
  const [from, to] = [inferred.shape, declared.shape];
  if (from === null || to === null || from.every((d, k) => d === to[k])) return inferred;
  const shape = from.map((d, k): Dim => {
    const other = to[k];
    if (typeof d === 'number') return d;
    // A number where the data decides (a fresh symbol of ours) is all that anybody can say.
    if (typeof other === 'number') return symbolsOf(d).some(isFresh) ? other : d;
    return symbolsOf(other).every((name) => inputSymbols.has(name)) ? other : d;
  });
  return { kind: 'tensor', dtype: inferred.dtype, shape };
}
