/**
 * Losses: scores [N, C, d...] and labels [N, d...] give a loss per position or one number. FLOP per score: a softmax's 5.
 * The gradient softmax(scores) - onehot reads the log-probabilities, or the scores where those are no output.
 */
import { DType } from '../model/dtype.js';
import { inputElements, needsGrad } from './defaults.js';
import { ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { SOFTMAX_FLOP } from './softmax.js';
import { present } from './product_rule.js';
import type { BackwardRule, FactorRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

function inferLoss(ctx: InferContext): void {
  const scores = ranked(ctx, 0, 2);
  const labels = ranked(ctx, 1, 1);
  const reduction = ctx.attrs.string('reduction', 'mean');
  if (!['none', 'mean', 'sum'].includes(reduction))
    ctx.fail(`attribute reduction: expected none, mean or sum, found ${reduction}`);
  if (scores !== null && labels !== null) {
    if (labels.length !== scores.length - 1)
      ctx.fail(`labels: expected rank ${String(scores.length - 1)}, found rank ${String(labels.length)}`);
    labels.forEach((d, k) => unify(ctx, scores[k === 0 ? 0 : k + 1], d, `labels axis ${String(k)}`));
  }
  const perPosition = labels ?? (scores === null ? null : [scores[0], ...scores.slice(2)]);
  ctx.setTensor(0, ctx.dtype(0), reduction === 'none' ? perPosition : []);
  if (ctx.hasOutput(1)) ctx.setTensor(1, ctx.dtype(0), scores);
}

/**
 * Positions are independent: parallel, or `contraction` where the loss adds them up (log-probabilities stay split).
 * Classes: `normalized`, as the softmax statistics are all that crosses them.
 */
export function lossFactors(op: OpInstance, classes: 'normalized' | 'lookup', classAxis = 1): FactorRule {
  const b = new FactorBuilder(op);
  const scores = op.inputShape(0) ?? [1, 1];
  const reduced = op.attrs.string('reduction', 'mean') !== 'none';
  const ids = scores.map((size, k) =>
    b.add(size, k === classAxis ? classes : reduced ? 'contraction' : 'parallel'),
  );
  const layout = ids.map((f) => [f]);
  const positions: Layout = layout.filter((_, k) => k !== classAxis);
  return b.rule([layout, positions, [[ids[classAxis]]]], [reduced ? [] : positions, layout]);
}

const softmaxCrossEntropyLoss: OpRule = {
  infer: inferLoss,
  work: (op) => ({ flop: (SOFTMAX_FLOP + 1) * inputElements(op), kernel: 'norm' }),
  factors: (op) => lossFactors(op, 'normalized'),
  backward: crossEntropyBackward,
};

export function crossEntropyBackward(op: OpInstance): BackwardRule | null {
  if (!needsGrad(op, 0)) return null;
  const hasLogProb =
    op.outputCount > 1 && op.outputShape(1) !== null && op.outputDtype(1) !== DType.UNDEFINED;
  const weights = op.inputCount > 2 && op.inputShape(2) !== null ? [2] : [];
  return {
    grads: [{ input: 0, flop: 3 * inputElements(op) }],
    savesInputs: present(op, hasLogProb ? [1, ...weights] : [0, 1, ...weights]),
    savesOutputs: hasLogProb ? [1] : [],
  };
}

/** Picks one log-probability a position: an indexed read of the class axis. */
const negativeLogLikelihoodLoss: OpRule = {
  infer: inferLoss,
  work: (op) => ({
    flop: 2 * inputElements(op, 1),
    kernel: 'gather',
    touchedElements: 3 * inputElements(op, 1),
  }),
  factors: (op) => lossFactors(op, 'lookup'),
  backward: (op) =>
    needsGrad(op, 0)
      ? { grads: [{ input: 0, flop: inputElements(op, 1) }], savesInputs: present(op, [1]), savesOutputs: [] }
      : null,
};

export const family: OpFamily = {
  domain: '',
  rules: {
    SoftmaxCrossEntropyLoss: softmaxCrossEntropyLoss,
    NegativeLogLikelihoodLoss: negativeLogLikelihoodLoss,
  },
};
