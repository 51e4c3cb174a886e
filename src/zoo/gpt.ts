/**
 * GPT-2, GPT-3 and Megatron: learned positions, layer norm before each half-layer, fused qkv with biases, and an
 * output projection tied to the token table.
 */
import { attrInt, type GraphBuilder } from './builder.js';
import { scaledDotProduct, splitHeads, type ScoreBias } from './blocks/attention.js';
import { dropout } from './blocks/dropout.js';
import { conv1d, linear, tiedLinear } from './blocks/linear.js';
import { additiveMask, causalMask } from './blocks/mask.js';
import { activate } from './blocks/mlp.js';
import { layerNorm } from './blocks/norms.js';
import { tokenInput, type Sequence } from './blocks/sequence.js';
import type { ArchConfig } from './config.js';
import { paddingInput } from './decoder.js';
import type { GraphForm } from './options.js';

export function buildGpt(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  const { hidden, layers, vocab, maxPositions, normEpsilon } = config;
  const tokens = tokenInput(b, 'input_ids', form.batch, form.seq);
  const padding = paddingInput(b, form);
  const table = b.weight('transformer.wte.weight', [vocab, hidden]);
  let x = b.scope('transformer', () => {
    const words = b.op('Gather', [table, 'input_ids'], [attrInt('axis', 0)]);
    const row = b.op('Unsqueeze', [tokens.positions, b.ints(0)]);
    const places = b.weight('transformer.wpe.weight', [maxPositions, hidden]);
    const sum = b.op('Add', [words, b.op('Gather', [places, row], [attrInt('axis', 0)])]);
    return dropout(b, sum);
  });
  const bias: ScoreBias = b.scope('mask', () => ({
    value: additiveMask(b, causalMask(b, tokens, padding, 0)),
    mayMaskWholeRow: true,
  }));
  for (let i = 0; i < layers; i++) {
    x = b.scope(`transformer/h.${i}`, () => gptLayer(b, x, `transformer.h.${i}`, config, tokens, bias));
  }
  const normed = b.scope('transformer/ln_f', () => layerNorm(b, x, 'transformer.ln_f', hidden, normEpsilon));
  b.scope('lm_head', () =>
    config.tiedEmbeddings
      ? tiedLinear(b, b.reshape(normed, [-1, tokens.length, hidden]), table, 'logits')
      : linear(b, normed, 'lm_head', hidden, vocab, false, 'logits'),
  );
  b.output('logits', b.dtype, [form.batch, form.seq, vocab]);
}

function gptLayer(
  b: GraphBuilder,
  x: string,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
  bias: ScoreBias,
): string {
  const { hidden, heads, headDim, ffn, normEpsilon, activation } = config;
  const outer = [tokens.batch, tokens.length];
  const width = heads * headDim;
  const attended = b.scope('attn', () => {
    const normed = layerNorm(b, x, `${name}.ln_1`, hidden, normEpsilon);
    const qkv = conv1d(b, normed, `${name}.attn.c_attn`, hidden, 3 * width, [...outer, 3 * width]);
    const [q, k, v] = b.ops('Split', [qkv], 3, [attrInt('axis', 2), attrInt('num_outputs', 3)]);
    const [keys, values, queries] = [k, v, q].map((part) => splitHeads(b, part, tokens, headDim));
    const mixed = scaledDotProduct(b, queries, keys, values, headDim ** -0.5, bias);
    // Heads go straight back to rows: the exporter folds the merge and the flattening into one Reshape.
    const rows = b.transpose(mixed, [0, 2, 1, 3]);
    const out = conv1d(b, rows, `${name}.attn.c_proj`, width, hidden, [...outer, hidden]);
    return dropout(b, out);
  });
  const middle = b.op('Add', [attended, x]);
  const out = b.scope('mlp', () => {
    const normed = layerNorm(b, middle, `${name}.ln_2`, hidden, normEpsilon);
    const inner = activate(
      b,
      conv1d(b, normed, `${name}.mlp.c_fc`, hidden, ffn, [...outer, ffn]),
      activation,
    );
    const out = conv1d(b, inner, `${name}.mlp.c_proj`, ffn, hidden, [...outer, hidden]);
    return dropout(b, out);
  });
  return b.op('Add', [middle, out]);
}
