/** The base of rotary positions, from the inverse frequencies that the model holds: base^(-2i/d) for i in 0..d/2. */
import { elementCount, isFloat, readNumbers } from '../model/index.js';
import type { ModelProto, TensorProto } from '../model/types.js';

export interface Rotary {
  readonly base: number;
  /** Share of a head that is rotated, times the head's width: d. */
  readonly dim: number;
  /** How many times slower the slowest frequency turns than the base says; 1 = not scaled. */
  readonly scaling: number;
}

const LEAST_FREQUENCIES = 4;
const MOST_FREQUENCIES = 512;

/** Null where the model holds no such vector, or two that differ. */
export function rotaryOf(model: ModelProto): Rotary | null {
  let found: Rotary | null = null;
  for (const tensor of constants(model)) {
    const rotary = rotaryVector(tensor);
    if (rotary === null) continue;
    if (found !== null && (found.base !== rotary.base || found.dim !== rotary.dim)) return null;
    found = rotary;
  }
  return found;
}

function* constants({ graph }: ModelProto): Generator<TensorProto> {
  if (graph === undefined) return;
  yield* graph.initializer;
  for (const node of graph.node)
    for (const { t } of node.attribute) if (node.opType === 'Constant' && t !== undefined) yield t;
}

function rotaryVector(tensor: TensorProto): Rotary | null {
  if (tensor.dims.filter((d) => Number(d) > 1).length !== 1 || !isFloat(tensor.dataType ?? 0)) return null;
  const count = elementCount(tensor.dims);
  if (count === null || count < LEAST_FREQUENCIES || count > MOST_FREQUENCIES) return null;
  const values = readNumbers(tensor, MOST_FREQUENCIES);
  if (values === null || values[0] !== 1) return null;
  const ratio = values[1];
  if (!(ratio > 0 && ratio < 1) || Math.abs(values[2] - ratio ** 2) > 1e-3 * ratio ** 2) return null;
  // Single precision leaves six digits, of which the power keeps fewer: bases are round numbers.
  const base = Number((ratio ** -count).toPrecision(4));
  const last = values[count - 1];
  const scaling = base ** (-(count - 1) / count) / last;
  if (!(last > 0) || !(scaling > 0.99)) return null;
  return { base, dim: 2 * count, scaling: Math.abs(scaling - 1) < 0.01 ? 1 : Number(scaling.toPrecision(3)) };
}
