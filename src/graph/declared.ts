/** Comparing what a model declares with what is inferred. */
import { DType, dtypeName } from '../model/dtype.js';
import { canBeEqual, shapeText } from '../ops/dim.js';
import type { ValueType } from '../ops/types.js';

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
