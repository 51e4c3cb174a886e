/**
 * The common refinement of two shapes of equal volume, for reshapes. Row-major reshapes merge and split neighbouring
 * dimensions; reading from the minor end, every place where one of the shapes has a boundary cuts the index space:
 *
 *     [b, s, 12*64] -> [b*s, 12, 64]     factors b, s, 12, 64
 *     inputs  [[b], [s], [12, 64]]       outputs [[b, s], [12], [64]]
 *
 * Where the boundaries do not nest (`[6,4] -> [4,6]`) the stretch between two common boundaries may not be split.
 * A dimension of size 1 keeps a factor of size 1, because it is often a batch axis that was baked into the shape.
 */
import type { Factor } from './types.js';
import { countOf } from './value.js';

export interface Refinement {
  readonly factors: Factor[];
  readonly from: number[][];
  readonly to: number[][];
}

/**
 * @param from dimensions before
 * @param to dimensions after, of the same volume (all `whole` when not, or when the volume is zero)
 * @param inferred the index in `to` that was computed (the -1 of a Reshape), or -1: size-1 factors without a partner of
 *   their own join it when they touch it, for that is where a larger batch would go
 */
export function refineShapes(from: readonly number[], to: readonly number[], inferred = -1): Refinement {
  const out: Refinement = { factors: [], from: from.map(() => []), to: to.map(() => []) };
  if (countOf(from) !== countOf(to) || countOf(from) === 0) {
    from.forEach((size, k) => out.from[k].push(out.factors.push({ size, kind: 'whole' }) - 1));
    to.forEach((size, k) => out.to[k].push(out.factors.push({ size, kind: 'whole' }) - 1));
    return out;
  }
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    // Size-1 dimensions at the same place are the same axis.
    if (from[i] === 1 && to[j] === 1) {
      link(out, 1, [i++], [j++]);
      continue;
    }
    if (from[i] === 1) {
      attachOne(out, i++, to, j, inferred);
      continue;
    }
    if (to[j] === 1) {
      j++;
      continue;
    }
    if (i >= from.length || j >= to.length) break;
    [i, j] = refineGroup(out, from, to, i, j, inferred);
  }
  return out;
}

function link(out: Refinement, size: number, from: readonly number[], to: readonly number[]): void {
  const id = out.factors.push({ size, kind: 'parallel' }) - 1;
  for (const k of from) out.from[k].push(id);
  for (const k of to) out.to[k].push(id);
}

/** A size-1 dimension without a partner: major part of what follows, or minor part of the inferred dimension before. */
function attachOne(out: Refinement, i: number, to: readonly number[], j: number, inferred: number): void {
  if (inferred >= 0 && inferred === j - 1) link(out, 1, [i], [inferred]);
  else if (j < to.length) link(out, 1, [i], [j]);
}

/** The smallest run of dimensions on both sides with equal volume, starting at i and j. Returns the ends. */
function refineGroup(
  out: Refinement,
  from: readonly number[],
  to: readonly number[],
  i: number,
  j: number,
  inferred: number,
): [number, number] {
  let [endFrom, endTo] = [i + 1, j + 1];
  let [a, b] = [from[i], to[j]];
  while (a !== b) {
    if (a < b) a *= from[endFrom++];
    else b *= to[endTo++];
  }
  const [bounds, nested] = boundaries(from, i, endFrom, to, j, endTo);
  if (!nested) {
    for (let k = i; k < endFrom; k++)
      out.from[k].push(out.factors.push({ size: from[k], kind: 'whole' }) - 1);
    for (let k = j; k < endTo; k++) out.to[k].push(out.factors.push({ size: to[k], kind: 'whole' }) - 1);
    return [endFrom, endTo];
  }
  // From major to minor: walk both sides together, giving each dimension the factors inside it.
  let [f, t] = [i, j];
  let [leftFrom, leftTo] = [from[f], to[t]];
  for (let k = bounds.length - 1; k > 0; k--) {
    while (from[f] === 1 && f < endFrom) {
      const target = inferred >= j && inferred < t + 1 ? inferred : t;
      link(out, 1, [f], [target]);
      leftFrom = from[++f];
    }
    while (to[t] === 1 && t < endTo) leftTo = to[++t];
    const size = bounds[k] / bounds[k - 1];
    link(out, size, [f], [t]);
    leftFrom /= size;
    leftTo /= size;
    if (leftFrom === 1 && k > 1) leftFrom = from[++f];
    if (leftTo === 1 && k > 1) leftTo = to[++t];
  }
  return [endFrom, endTo];
}

/** Cumulative volumes from the minor end where either side has a boundary, ascending from 1; whether they nest. */
function boundaries(
  from: readonly number[],
  i: number,
  endFrom: number,
  to: readonly number[],
  j: number,
  endTo: number,
): [number[], boolean] {
  const set = new Set<number>([1]);
  let v = 1;
  for (let k = endFrom - 1; k >= i; k--) set.add((v *= from[k]));
  v = 1;
  for (let k = endTo - 1; k >= j; k--) set.add((v *= to[k]));
  const sorted = [...set].sort((x, y) => x - y);
  for (let k = 1; k < sorted.length; k++) if (sorted[k] % sorted[k - 1] !== 0) return [sorted, false];
  return [sorted, true];
}
