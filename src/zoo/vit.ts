/** Vision Transformer (arXiv:2010.11929): patches by a strided convolution, a class token, pre-norm encoder. */
import { DType } from '../model/dtype.js';
import { attrInt, attrInts, type GraphBuilder } from './builder.js';
import { biasedAttention } from './blocks/attention.js';
import { gemm, linear } from './blocks/linear.js';
import { activate } from './blocks/mlp.js';
import { layerNorm } from './blocks/norms.js';
import type { ArchConfig } from './config.js';
import type { GraphForm } from './options.js';

export function buildVit(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  const { hidden, layers, normEpsilon } = config;
  const { imageSize, patchSize, channels, classes } = config.vision!;
  b.input('pixel_values', b.dtype, [form.batch, channels, imageSize, imageSize]);
  const tokens = { batch: b.dimOf('pixel_values', 0), length: (imageSize / patchSize) ** 2 + 1 };
  let x = b.scope('embeddings', () => embeddings(b, config, tokens));
  for (let i = 0; i < layers; i++) {
    x = b.scope(`layers.${i}`, () => vitLayer(b, x, `vit.layers.${i}`, config, tokens));
  }
  const normed = b.scope('layernorm', () => layerNorm(b, x, 'vit.layernorm', hidden, normEpsilon));
  b.scope('classifier', () => {
    const first = b.op('Gather', [normed, b.int(0)], [attrInt('axis', 1)]);
    gemm(b, first, 'classifier', hidden, classes, 'logits');
  });
  b.output('logits', b.dtype, [form.batch, classes]);
}

interface ImageTokens {
  readonly batch: string;
  /** Patches and the class token. */
  readonly length: number;
}

function embeddings(b: GraphBuilder, config: ArchConfig, tokens: ImageTokens): string {
  const { hidden } = config;
  const { patchSize, channels } = config.vision!;
  const name = 'vit.embeddings';
  const square = [patchSize, patchSize];
  // Conv takes bfloat16 from opset 22 on.
  if (b.dtype === DType.BFLOAT16) b.requireOpset(22);
  const patches = b.op(
    'Conv',
    [
      'pixel_values',
      b.weight(`${name}.patch_embeddings.projection.weight`, [hidden, channels, ...square]),
      b.weight(`${name}.patch_embeddings.projection.bias`, [hidden]),
    ],
    [
      attrInts('dilations', [1, 1]),
      attrInt('group', 1),
      attrInts('kernel_shape', square),
      attrInts('pads', [0, 0, 0, 0]),
      attrInts('strides', square),
    ],
  );
  const rows = b.transpose(b.reshape(patches, [tokens.batch, hidden, -1]), [0, 2, 1]);
  const classToken = b.weight(`${name}.cls_token`, [1, 1, hidden]);
  const classRows = b.op('Expand', [classToken, b.shape([tokens.batch, 1, hidden])]);
  const all = b.op('Concat', [classRows, rows], [attrInt('axis', 1)]);
  return b.op('Add', [all, b.weight(`${name}.position_embeddings`, [1, tokens.length, hidden])]);
}

function vitLayer(b: GraphBuilder, x: string, name: string, config: ArchConfig, tokens: ImageTokens): string {
  const { hidden, ffn, activation, normEpsilon } = config;
  const attended = b.scope('attention', () => {
    const normed = layerNorm(b, x, `${name}.layernorm_before`, hidden, normEpsilon);
    const names = {
      q: `${name}.attention.q_proj`,
      k: `${name}.attention.k_proj`,
      v: `${name}.attention.v_proj`,
      o: `${name}.attention.o_proj`,
    };
    return biasedAttention(b, normed, names, config, tokens, null);
  });
  const middle = b.op('Add', [attended, x]);
  const out = b.scope('mlp', () => {
    const normed = layerNorm(b, middle, `${name}.layernorm_after`, hidden, normEpsilon);
    const inner = activate(b, linear(b, normed, `${name}.mlp.fc1`, hidden, ffn, true), activation);
    return linear(b, inner, `${name}.mlp.fc2`, ffn, hidden, true);
  });
  return b.op('Add', [out, middle]);
}
