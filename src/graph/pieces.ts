/**
 * Dimensions cut into pieces. A flattened dimension of batch*sequence tokens is two pieces, [batch, sequence], and a factor
 * that indexes it is divided accordingly, so that both axes stay visible after any number of reshapes. At the usual
 * reference batch of one the batch is a piece of size 1: `[1, 128]` for a dimension of 128 tokens.
 */
import type { Factor, FactorRule } from '../ops/types.js';
import { AXIS_BATCH, AXIS_NONE } from './types.js';

export interface Piece {
  readonly size: number;
  /** AXIS_* */
  readonly axis: number;
}

/** Per dimension, pieces major to minor. */
export type PieceShape = readonly (readonly Piece[])[];

export interface RefinedRule {
  readonly rule: FactorRule;
  /** AXIS_* per factor of the rule. */
  readonly axis: Uint8Array;
  /** Per output; `null` where no axis indexes it. */
  readonly outputs: readonly (PieceShape | null)[];
}

/**
 * Lays pieces over a list of factor sizes of the same product. Returns the pieces of each factor, or `null` when the
 * boundaries do not nest. A piece that spans several factors gives its axis to the most major part.
 */
export function layPieces(sizes: readonly number[], pieces: readonly Piece[]): Piece[][] | null {
  const laid: Piece[][] = sizes.map(() => []);
  let f = 0;
  let rest = sizes.length > 0 ? sizes[0] : 1;
  for (const piece of pieces) {
    let { size, axis } = piece;
    if (size === 1) {
      if (axis === AXIS_NONE) continue;
      if (sizes.length === 0) return null;
      // Where a factor is used up the piece leads the next one, except after the last.
      const at = rest === 1 && sizes[f] !== 1 && f + 1 < sizes.length ? f + 1 : f;
      laid[at].push({ size: 1, axis });
      continue;
    }
    while (size > 1) {
      while (rest === 1 && f + 1 < sizes.length) rest = sizes[++f];
      if (rest === 1) return null;
      if (rest % size === 0) {
        laid[f].push({ size, axis });
        rest /= size;
        size = 1;
      } else if (size % rest === 0) {
        laid[f].push({ size: rest, axis });
        size /= rest;
        axis = AXIS_NONE;
        rest = 1;
      } else return null;
    }
  }
  while (rest === 1 && f + 1 < sizes.length) rest = sizes[++f];
  return rest === 1 ? laid : null;
}

/** Common refinement of two piece lists of the same product; `null` when boundaries do not nest. */
export function mergePieces(a: readonly Piece[], b: readonly Piece[]): Piece[] | null {
  const merged: Piece[] = [];
  let i = 0;
  let j = 0;
  let x = 1;
  let y = 1;
  let axisX = AXIS_NONE;
  let axisY = AXIS_NONE;
  while (i < a.length || j < b.length || x > 1 || y > 1) {
    if (x === 1 && y === 1 && ((i < a.length && a[i].size === 1) || (j < b.length && b[j].size === 1))) {
      // Both lists stand at a boundary: their pieces of 1 are the same ones, each axis once.
      const from = merged.length;
      for (; i < a.length && a[i].size === 1; i++) pushOnce(merged, from, a[i].axis);
      for (; j < b.length && b[j].size === 1; j++) pushOnce(merged, from, b[j].axis);
      continue;
    }
    if (x === 1) {
      if (i >= a.length) return null;
      ({ size: x, axis: axisX } = a[i++]);
      if (x === 1) {
        if (axisX !== AXIS_NONE) merged.push({ size: 1, axis: axisX });
        continue;
      }
    }
    if (y === 1) {
      if (j >= b.length) return null;
      ({ size: y, axis: axisY } = b[j++]);
      if (y === 1) {
        if (axisY !== AXIS_NONE) merged.push({ size: 1, axis: axisY });
        continue;
      }
    }
    const size = x % y === 0 ? y : y % x === 0 ? x : 0;
    if (size === 0) return null;
    // The batch names a dimension more firmly than the sequence, and either more than nothing.
    const axis = axisX === AXIS_BATCH || axisY === AXIS_BATCH ? AXIS_BATCH : Math.max(axisX, axisY);
    merged.push({ size, axis });
    x /= size;
    y /= size;
    if (x > 1) axisX = AXIS_NONE;
    if (y > 1) axisY = AXIS_NONE;
  }
  return merged;
}

function pushOnce(list: Piece[], from: number, axis: number): void {
  if (axis === AXIS_NONE) return;
  for (let k = from; k < list.length; k++) if (list[k].axis === axis) return;
  list.push({ size: 1, axis });
}

/**
 * Divides a rule's factors so that they respect the pieces of its inputs, names their axes and carries the pieces to the
 * outputs. Factors of size 1 that carry no axis are left out: nothing can be split there.
 */
export function refineRule(rule: FactorRule, inputs: readonly (PieceShape | null)[]): RefinedRule {
  const parts: (Piece[] | null)[] = rule.factors.map(() => null);
  for (let i = 0; i < rule.inputs.length; i++) {
    const layout = rule.inputs[i];
    const shape = inputs[i];
    if (layout === null || shape === null || shape === undefined) continue;
    for (let d = 0; d < layout.length; d++) {
      const ids = layout[d];
      if (ids.length === 0 || !hasAxis(shape[d])) continue;
      const laid = layPieces(
        ids.map((f) => rule.factors[f].size),
        shape[d],
      );
      if (laid === null) continue;
      ids.forEach((f, k) => {
        if (laid[k].length === 0) return;
        parts[f] = parts[f] === null ? laid[k] : (mergePieces(parts[f], laid[k]) ?? parts[f]);
      });
    }
  }
  return applyParts(rule, parts, inputs);
}

function hasAxis(pieces: readonly Piece[]): boolean {
  for (const p of pieces) if (p.axis !== AXIS_NONE) return true;
  return false;
}

/** Replaces each factor by its parts. */
function applyParts(
  rule: FactorRule,
  parts: readonly (readonly Piece[] | null)[],
  inputs: readonly (PieceShape | null)[],
): RefinedRule {
  const factors: Factor[] = [];
  const axes: number[] = [];
  const ids: number[][] = [];
  rule.factors.forEach(({ size, kind }, f) => {
    const list: number[] = [];
    for (const p of parts[f] ?? [{ size, axis: AXIS_NONE }]) {
      if (p.size === 1 && p.axis === AXIS_NONE) continue;
      // A batch of one cannot be what an operator keeps whole: it stands for any number of samples.
      const freed = p.size === 1 && p.axis === AXIS_BATCH && (kind === 'whole' || kind === 'lookup');
      list.push(factors.push({ size: p.size, kind: freed ? 'parallel' : kind }) - 1);
      axes.push(p.axis);
    }
    ids.push(list);
  });
  const expand = (
    layout: readonly (readonly number[])[],
    carried: PieceShape | null | undefined,
  ): number[][] =>
    layout.map((dim, d) => {
      const out: number[] = [];
      for (const f of dim)
        for (const id of ids[f]) {
          const size1 = factors[id].size === 1;
          // An input of dimension 1 that does not carry the batch is broadcast over it.
          if (size1 && carried !== undefined && !carriesAxis(carried?.[d], axes[id])) continue;
          out.push(id);
        }
      return out;
    });
  const refined: FactorRule = {
    factors,
    inputs: rule.inputs.map((layout, i) => (layout === null ? null : expand(layout, inputs[i] ?? null))),
    outputs: rule.outputs.map((layout) => (layout === null ? null : expand(layout, undefined))),
    ...(rule.linear === undefined ? {} : { linear: rule.linear }),
  };
  const axis = Uint8Array.from(axes);
  return { rule: refined, axis, outputs: refined.outputs.map((o) => piecesOf(o, factors, axis)) };
}

function carriesAxis(pieces: readonly Piece[] | undefined, axis: number): boolean {
  if (pieces === undefined) return false;
  for (const p of pieces) if (p.axis === axis) return true;
  return false;
}

/** Pieces of a tensor from its factors; `null` when none has an axis. */
export function piecesOf(
  layout: readonly (readonly number[])[] | null,
  factors: readonly Factor[],
  axis: Uint8Array,
): PieceShape | null {
  if (layout === null) return null;
  let any = false;
  for (const dim of layout) for (const f of dim) if (axis[f] !== AXIS_NONE) any = true;
  return any ? layout.map((dim) => dim.map((f) => ({ size: factors[f].size, axis: axis[f] }))) : null;
}

/** True when some dimension is indexed by the axis. */
export function indexes(shape: PieceShape | null | undefined, axis: number): boolean {
  if (shape === null || shape === undefined) return false;
  for (const dim of shape) for (const p of dim) if (p.axis === axis) return true;
  return false;
}

/**
 * Factors of an operator that only regroups dimensions in row-major order (Reshape, Flatten, Squeeze, Unsqueeze). Runs of
 * dimensions with equal products are matched and divided as far as they nest; what does not is whole.
 *
 * @param pieces of the input; its batch of one goes to the output dimension of 1 at its place, or leads what follows it
 */
export function regroupRule(
  inShape: readonly number[],
  outShape: readonly number[],
  pieces: PieceShape | null,
): { factors: Factor[]; axis: number[]; input: number[][]; output: number[][] } {
  const factors: Factor[] = [];
  const axis: number[] = [];
  const input: number[][] = inShape.map(() => []);
  const output: number[][] = outShape.map(() => []);
  const flat: { size: number; axis: number; dim: number }[] = [];
  inShape.forEach((size, dim) => {
    for (const p of pieces?.[dim] ?? [{ size, axis: AXIS_NONE }])
      if (p.size !== 1 || p.axis !== AXIS_NONE) flat.push({ ...p, dim });
  });
  const add = (size: number, a: number, kind: Factor['kind']): number => {
    axis.push(a);
    return factors.push({ size, kind }) - 1;
  };
  let d = 0;
  let rest = outShape.length > 0 ? outShape[0] : 1;
  const settle = (): void => {
    // Dimensions of 1 are passed over: only a batch of one may settle there.
    while (rest === 1 && d + 1 < outShape.length) rest = outShape[++d];
  };
  for (let k = 0; k < flat.length; k++) {
    const piece = flat[k];
    if (piece.size === 1) {
      const id = add(1, piece.axis, 'parallel');
      input[piece.dim].push(id);
      if (outShape.length > 0) {
        // An unused dimension of 1 at or right after the cursor takes it; else it leads the next dimension.
        const used = output[d].length > 0 || rest !== outShape[d];
        if (rest === 1 && (used || outShape[d] !== 1) && d + 1 < outShape.length) rest = outShape[++d];
        output[d].push(id);
        if (outShape[d] === 1 && d + 1 < outShape.length) rest = outShape[++d];
      }
      continue;
    }
    let size = piece.size;
    let a = piece.axis;
    while (size > 1) {
      settle();
      const step = rest % size === 0 ? size : size % rest === 0 && rest > 1 ? rest : 0;
      if (step === 0) {
        // No common boundary: the rest of this dimension and of what it meets is whole.
        return regroupWhole(inShape, outShape, pieces);
      }
      const id = add(step, a, 'parallel');
      input[piece.dim].push(id);
      output[d].push(id);
      size /= step;
      rest /= step;
      a = AXIS_NONE;
    }
  }
  return { factors, axis, input, output };
}

function regroupWhole(
  inShape: readonly number[],
  outShape: readonly number[],
  pieces: PieceShape | null,
): { factors: Factor[]; axis: number[]; input: number[][]; output: number[][] } {
  const factors: Factor[] = [];
  const axis: number[] = [];
  const add = (size: number, kind: Factor['kind'], a: number): number => {
    axis.push(a);
    return factors.push({ size, kind }) - 1;
  };
  const whole = (size: number): number[] => (size === 1 ? [] : [add(size, 'whole', AXIS_NONE)]);
  const input = inShape.map(whole);
  const output = outShape.map(whole);
  // A leading batch of one leads the result whatever happens behind it.
  if (pieces?.[0]?.[0]?.size === 1 && pieces[0][0].axis === AXIS_BATCH && outShape.length > 0) {
    const id = add(1, 'parallel', AXIS_BATCH);
    input[0].unshift(id);
    output[0].unshift(id);
  }
  return { factors, axis, input, output };
}
