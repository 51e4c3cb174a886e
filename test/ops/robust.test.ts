import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { family as attention } from '../../src/ops/attention.js';
import { family as conv } from '../../src/ops/conv.js';
import { family as dropout } from '../../src/ops/dropout.js';
import { family as image } from '../../src/ops/image.js';
import { family as loss } from '../../src/ops/loss.js';
import { family as matmul } from '../../src/ops/matmul.js';
import { family as microsoftactivation } from '../../src/ops/microsoft_activation.js';
import { family as microsoftattention } from '../../src/ops/microsoft_attention.js';
import { family as microsoftfused } from '../../src/ops/microsoft_fused.js';
import { family as microsoftmisc } from '../../src/ops/microsoft_misc.js';
import { family as microsoftnorm } from '../../src/ops/microsoft_norm.js';
import { family as microsoftquant } from '../../src/ops/microsoft_quant.js';
import { family as microsofttraining } from '../../src/ops/microsoft_training.js';
import { family as moe } from '../../src/ops/moe.js';
import { family as norm } from '../../src/ops/norm.js';
import { family as pool } from '../../src/ops/pool.js';
import { family as quantize } from '../../src/ops/quantize.js';
import { family as random } from '../../src/ops/random.js';
import { family as rnn } from '../../src/ops/rnn.js';
import { family as signal } from '../../src/ops/signal.js';
import { family as softmax } from '../../src/ops/softmax.js';
import { PartitionError } from '../../src/util/errors.js';
import { Random } from '../../src/util/random.js';
import {
  checkFactors,
  infer,
  instance,
  ruleOf,
  type AttributeValue,
  type Case,
  type Input,
} from '../support/op_harness.js';

const FAMILIES = [
  attention,
  conv,
  dropout,
  image,
  loss,
  matmul,
  microsoftactivation,
  microsoftattention,
  microsoftfused,
  microsoftmisc,
  microsoftnorm,
  microsoftquant,
  microsofttraining,
  moe,
  norm,
  pool,
  quantize,
  random,
  rnn,
  signal,
  softmax,
];

/** Owned by families with tests of their own; shared by reference here. */
const BORROWED = new Set(['Trilu', 'GatherND', 'Pad', 'Range']);

const ATTRIBUTES: readonly [string, readonly AttributeValue[]][] = [
  ['axis', [-1, 0, 1, 2, 99]],
  ['group', [0, 1, 2]],
  ['num_heads', [0, 1, 2, 4]],
  ['kv_num_heads', [1, 2, 3]],
  ['q_num_heads', [2, 4]],
  ['kernel_shape', [[1], [2, 2], [0, 0], [3, 3, 3]]],
  [
    'strides',
    [
      [1, 1],
      [2, 2],
      [0, 1],
    ],
  ],
  [
    'pads',
    [
      [0, 0, 0, 0],
      [1, 1, 1, 1],
      [-5, 0, 0, 0],
    ],
  ],
  ['hidden_size', [2, 4]],
  ['num_groups', [2, 3]],
  ['groups', [2, 4]],
  ['block_size', [0, 2, 16]],
  ['K', [4, 8]],
  ['N', [4, 8]],
  ['Nq', [4]],
  ['Nkv', [2]],
  ['k', [1, 2]],
  ['shape', [[2, 3], [-1]]],
  ['axes', [[0], [1, -1], [7]]],
  [
    'perm',
    [
      [1, 0],
      [0, 0],
    ],
  ],
  [
    'scales',
    [
      [1.5, 2.5],
      [0.5, 0.5, 0.5, 0.5],
    ],
  ],
  ['mode', ['linear', 'cubic', 'nonsense']],
  ['equation', ['ij,jk->ik', 'bij,bjk', '...i,i', '->', 'ii']],
  ['direction', ['forward', 'bidirectional', 'sideways']],
  ['transB', [0, 1]],
  ['layout', [0, 1]],
  ['swiglu_fusion', [0, 1, 2]],
  ['pooled_shape', [[2, 2]]],
  ['channels_last', [0, 1]],
  ['dim', [0, 5]],
];

function randomCase(random: Random): Case {
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)];
  const input = (): Input | '?' => {
    if (random.int(8) === 0) return '?';
    const rank = random.int(6);
    const dims = Array.from({ length: rank }, () => pick([1, 2, 2, 4, 4, 8, 3, 0]));
    const dtype = pick([DType.FLOAT, DType.FLOAT, DType.INT64, DType.UINT8, DType.BOOL]);
    const count = dims.reduce((p, d) => p * d, 1);
    if (count <= 8 && random.int(2) === 0)
      return { dims, dtype, value: Array.from({ length: count }, () => pick([-1, 0, 1, 2, 4])) };
    return { dims, dtype, parameter: random.int(2) === 0 };
  };
  const attrs: Record<string, AttributeValue> = {};
  for (const [name, values] of ATTRIBUTES) if (random.int(2) === 0) attrs[name] = pick(values);
  return {
    inputs: Array.from({ length: random.int(9) }, input),
    attrs,
    version: pick([1, 7, 11, 13, 18, 23, 27]),
    outputs: 1 + random.int(4),
  };
}

describe('operator rules on arbitrary nodes', () => {
  it('refuse with a PartitionError or keep their contracts, never crash', function () {
    this.timeout(60_000);
    const random = new Random(7);
    let accepted = 0;
    for (const family of FAMILIES) {
      for (const opType of Object.keys(family.rules)) {
        if (BORROWED.has(opType)) continue;
        for (let trial = 0; trial < 60; trial++) {
          const c = randomCase(random);
          const what = `${opType} ${JSON.stringify(c)}`;
          try {
            infer(family, opType, c);
          } catch (e) {
            if (e instanceof PartitionError) continue;
            throw new Error(what, { cause: e });
          }
          const op = instance(family, opType, c);
          let concrete = true;
          for (let o = 0; o < op.outputCount; o++)
            concrete &&= (op.outputShape(o) ?? []).every(
              (d) => typeof d === 'number' && d >= 0 && Number.isInteger(d),
            );
          if (!concrete) continue;
          accepted++;
          try {
            const rule = ruleOf(family, opType);
            const flop = rule.work?.(op).flop ?? 0;
            expect(flop, 'flop').to.be.at.least(0);
            if (rule.factors) checkFactors(op, rule.factors(op));
            const backward = rule.backward?.(op) ?? null;
            for (const g of backward?.grads ?? []) expect(g.flop, 'gradient flop').to.be.at.least(0);
            for (const i of backward?.savesInputs ?? [])
              expect(op.inputShape(i), `saved input ${String(i)}`).to.not.equal(null);
            for (const o of backward?.savesOutputs ?? []) expect(o).to.be.below(op.outputCount);
          } catch (e) {
            throw new Error(what, { cause: e });
          }
        }
      }
    }
    expect(accepted).to.be.above(1000);
  });
});
