/** Operators that read a tensor's shape, and the one that does nothing. */
import { DType } from '../model/dtype.js';
import * as dim from './dim.js';
import { viewBackward } from './reshape.js';
import type { InferContext, OpFamily, OpRule } from './types.js';

/** Passes anything through, sequences and optionals too. */
const identity: OpRule = {
  infer(ctx) {
    const type = ctx.type(0);
    if (type !== null) ctx.setOutput(0, type, ctx.value(0));
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  factors(op) {
    const shape = op.inputShape(0);
    const dims = shape?.map((_, k) => [k]) ?? null;
    return {
      factors: (shape ?? []).map((size) => ({ size, kind: 'parallel' as const })),
      inputs: [dims],
      outputs: [dims],
      linear: true,
    };
  },
  backward: viewBackward,
};

function shapeRange(ctx: InferContext, rank: number): [number, number] {
  const clamp = (a: number): number => Math.min(rank, Math.max(0, a < 0 ? a + rank : a));
  return [clamp(ctx.attrs.int('start', 0)), clamp(ctx.attrs.int('end', rank))];
}

const shapeOf: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    if (shape === null) return ctx.setTensor(0, DType.INT64, [ctx.freshDim()]);
    const [start, end] = shapeRange(ctx, shape.length);
    const elements = start === 0 && end === shape.length ? shape : shape.slice(start, Math.max(start, end));
    const dims = [elements.length];
    ctx.setTensor(0, DType.INT64, dims, { dtype: DType.INT64, dims, elements });
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  backward: () => null,
};

const sizeOf: OpRule = {
  infer(ctx) {
    const shape = ctx.shape(0);
    const count = shape === null ? null : dim.product(shape);
    ctx.setTensor(
      0,
      DType.INT64,
      [],
      count === null ? null : { dtype: DType.INT64, dims: [], elements: [count] },
    );
  },
  work: () => ({ flop: 0, kernel: 'view' }),
  backward: () => null,
};

export const family: OpFamily = { domain: '', rules: { Identity: identity, Shape: shapeOf, Size: sizeOf } };
