/**
 * Builds an operator's FactorRule from layouts: per tensor, per dimension, the factors that index it. Layouts are stated
 * as the operator's definition has them; the builder reconciles them with the shapes at hand.
 */
import type { Factor, FactorKind, FactorRule, OpInstance } from './types.js';

/** Factor ids per dimension, major to minor. */
export type Layout = readonly (readonly number[])[];

export class FactorBuilder {
  private readonly factors: Factor[] = [];

  constructor(private readonly op: OpInstance) {}

  add(size: number, kind: FactorKind): number {
    return this.factors.push({ size, kind }) - 1;
  }

  parallel(size: number): number {
    return this.add(size, 'parallel');
  }

  whole(size: number): number {
    return this.add(size, 'whole');
  }

  /** One factor of a kind per dimension. */
  each(sizes: readonly number[], kind: FactorKind): number[] {
    return sizes.map((size) => this.add(size, kind));
  }

  /**
   * @param inputs layouts by input index; a tensor without one gets `whole` factors of its own
   * @param linear see FactorRule.linear
   */
  rule(
    inputs: readonly (Layout | null | undefined)[],
    outputs: readonly (Layout | null | undefined)[],
    linear = false,
  ): FactorRule {
    const op = this.op;
    const allInputs: (number[][] | null)[] = [];
    for (let i = 0; i < op.inputCount; i++) allInputs.push(this.fit(op.inputShape(i), inputs[i]));
    const allOutputs: (number[][] | null)[] = [];
    for (let i = 0; i < op.outputCount; i++) allOutputs.push(this.fit(op.outputShape(i), outputs[i]));
    const factors = compacted(this.factors, allInputs, allOutputs);
    const rule = { factors, inputs: allInputs, outputs: allOutputs };
    return linear ? { ...rule, linear } : rule;
  }

  /**
   * A layout on a concrete shape: right-aligned, no factors on a dimension of 1 that is stretched, and a factor of its
   * own on a dimension that is not what the layout says (never a factor of another size).
   */
  private fit(shape: readonly number[] | null, layout: Layout | null | undefined): number[][] | null {
    if (shape === null) return null;
    const lead = (layout?.length ?? 0) - shape.length;
    return shape.map((size, k) => {
      const ids = layout?.[k + lead];
      if (ids === undefined) return size === 1 ? [] : [this.whole(size)];
      let sizeOfIds = 1;
      for (const id of ids) sizeOfIds *= this.factors[id]?.size ?? Number.NaN;
      if (sizeOfIds === size) return [...ids];
      return size === 1 ? [] : [this.whole(size)];
    });
  }
}

/** Drops factors that no tensor has (of operands that are omitted) and renumbers the layouts in place. */
function compacted(
  factors: readonly Factor[],
  ...tensors: readonly (readonly (number[][] | null)[])[]
): Factor[] {
  const target = new Int32Array(factors.length).fill(-1);
  const kept: Factor[] = [];
  for (const list of tensors)
    for (const layout of list)
      if (layout !== null) for (const ids of layout) for (const id of ids) target[id] = 0;
  for (let id = 0; id < factors.length; id++) if (target[id] === 0) target[id] = kept.push(factors[id]) - 1;
  for (const list of tensors)
    for (const layout of list)
      if (layout !== null)
        for (const ids of layout) for (let k = 0; k < ids.length; k++) ids[k] = target[ids[k]];
  return kept;
}

/** Every dimension of every tensor that has the first input's shape is split alike; all others are right-aligned. */
export function alignedFactors(
  op: OpInstance,
  kinds: (axis: number, rank: number) => FactorKind,
  linear = false,
): FactorRule {
  const b = new FactorBuilder(op);
  const shape = op.inputShape(0) ?? op.outputShape(0) ?? [];
  const layout = shape.map((size, axis) => [b.add(size, kinds(axis, shape.length))]);
  const inputs: Layout[] = [];
  for (let i = 0; i < op.inputCount; i++) inputs.push(layout);
  const outputs: Layout[] = [];
  for (let i = 0; i < op.outputCount; i++) outputs.push(layout);
  return b.rule(inputs, outputs, linear);
}

/** Every dimension of the output parallel, everything else right-aligned with it. */
export function outputAligned(op: OpInstance): FactorRule {
  const b = new FactorBuilder(op);
  const layout = (op.outputShape(0) ?? []).map((size) => [b.parallel(size)]);
  const inputs: Layout[] = [];
  for (let i = 0; i < op.inputCount; i++) inputs.push(layout);
  return b.rule(inputs, [layout]);
}
