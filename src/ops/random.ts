/** Random numbers: no gradient, nondeterministic; about 10 FLOP a number (Philox rounds and a transform). */
import { DType } from '../model/dtype.js';
import { alignedFactors, FactorBuilder } from './factor_builder.js';
import { outputElements } from './defaults.js';
import { ranked } from './expect.js';
import type { OpFamily, OpInstance, OpRule } from './types.js';

const RANDOM_FLOP = 10;

function randomRule(infer: OpRule['infer']): OpRule {
  return {
    infer,
    work: (op) => ({ flop: RANDOM_FLOP * outputElements(op), kernel: 'elementwise' }),
    factors(op: OpInstance) {
      const b = new FactorBuilder(op);
      const layout = (op.outputShape(0) ?? []).map((size) => [b.parallel(size)]);
      return b.rule([layout], [layout]);
    },
    backward: () => null,
    nondeterministic: true,
  };
}

/** Shape from the attribute. @throws PartitionError when it is missing or negative */
const fromShape = randomRule((ctx) => {
  const shape = ctx.attrs.ints('shape');
  if (shape === null) ctx.fail('attribute shape is required');
  for (const d of shape ?? [])
    if (d < 0) ctx.fail(`attribute shape: expected sizes >= 0, found ${String(d)}`);
  ctx.setTensor(0, ctx.attrs.int('dtype', DType.FLOAT), shape);
});

const likeInput = randomRule((ctx) => {
  ctx.setTensor(0, ctx.attrs.optionalInt('dtype') ?? ctx.dtype(0), ctx.shape(0));
});

/** [batch, classes] of log-probabilities -> [batch, sample_size] of class indices. */
const multinomial: OpRule = {
  infer(ctx) {
    const x = ranked(ctx, 0, 2, 2);
    const count = ctx.attrs.int('sample_size', 1);
    ctx.setTensor(0, ctx.attrs.int('dtype', DType.INT32), x === null ? null : [x[0], count]);
  },
  work: (op) => ({ flop: 5 * (op.inputShape(0) ?? []).reduce((p, d) => p * d, 1), kernel: 'norm' }),
  factors(op) {
    const b = new FactorBuilder(op);
    const x = op.inputShape(0) ?? [1, 1];
    const batch = b.parallel(x[0]);
    return b.rule([[[batch], [b.whole(x[1])]]], [[[batch], [b.whole(op.outputShape(0)?.[1] ?? 1)]]]);
  },
  backward: () => null,
  nondeterministic: true,
};

const bernoulli: OpRule = { ...likeInput, factors: (op) => alignedFactors(op, () => 'parallel') };

export const family: OpFamily = {
  domain: '',
  rules: {
    RandomNormal: fromShape,
    RandomUniform: fromShape,
    RandomNormalLike: likeInput,
    RandomUniformLike: likeInput,
    Multinomial: multinomial,
    Bernoulli: bernoulli,
  },
};
