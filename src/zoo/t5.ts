/**
 * T5 (arXiv:1910.10683): encoder and decoder over one token table, RMS norms, unscaled attention with a relative
 * position bias that the first layer of each stack computes for all.
 */
import { DType } from '../model/dtype.js';
import { attrInt, type GraphBuilder } from './builder.js';
import { mergeHeads, scaledDotProduct, splitHeads, type ScoreBias } from './blocks/attention.js';
import { dropout } from './blocks/dropout.js';
import { linear, tiedLinear } from './blocks/linear.js';
import { additiveMask, causalMask, paddingMask } from './blocks/mask.js';
import { activate } from './blocks/mlp.js';
import { rmsNorm } from './blocks/norms.js';
import { relativeBias } from './blocks/relative.js';
import { tokenInput, type Sequence } from './blocks/sequence.js';
import type { ArchConfig } from './config.js';
import { LOWEST } from './encode.js';
import type { GraphForm } from './options.js';

export function buildT5(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  const { hidden, vocab, tiedEmbeddings } = config;
  const source = tokenInput(b, 'input_ids', form.batch, form.seq);
  const padding = b.input('attention_mask', DType.INT64, [form.batch, form.seq]);
  const target = tokenInput(b, 'decoder_input_ids', form.batch, form.decoderSeq);
  const table = b.weight('shared.weight', [vocab, hidden]);
  const embed = (ids: string): string => b.op('Gather', [table, ids], [attrInt('axis', 0)]);

  const encoded = b.scope('encoder', () =>
    encoder(b, dropout(b, embed('input_ids')), config, source, padding),
  );
  const decoded = b.scope('decoder', () =>
    decoder(b, dropout(b, embed('decoder_input_ids')), encoded, config, source, target, padding),
  );
  b.scope('lm_head', () => {
    if (!tiedEmbeddings) return linear(b, decoded, 'lm_head', hidden, vocab, false, 'logits');
    // A tied table is scaled for lookup, so its output is scaled back.
    return tiedLinear(b, b.op('Mul', [decoded, b.float(hidden ** -0.5)]), table, 'logits');
  });
  b.output('logits', b.dtype, [form.batch, form.decoderSeq, vocab]);
}

function encoder(
  b: GraphBuilder,
  embedded: string,
  config: ArchConfig,
  tokens: Sequence,
  padding: string,
): string {
  const mask = paddingMask(b, tokens, tokens, padding);
  const bias = maskedBias(b, mask, 'encoder', config, tokens, true);
  let x = embedded;
  for (let i = 0; i < config.layers; i++) {
    x = b.scope(`block.${i}`, () => {
      const name = `encoder.block.${i}`;
      const y = attentionLayer(b, x, `${name}.layer.0`, 'SelfAttention', config, tokens, null, tokens, bias);
      return feedForwardLayer(b, y, `${name}.layer.1`, config);
    });
  }
  return dropout(b, rmsNorm(b, x, 'encoder.final_layer_norm', config.hidden, config.normEpsilon));
}

function decoder(
  b: GraphBuilder,
  embedded: string,
  encoded: string,
  config: ArchConfig,
  source: Sequence,
  target: Sequence,
  padding: string,
): string {
  const selfBias = maskedBias(b, causalMask(b, target, null, 0), 'decoder', config, target, false);
  const crossMask = paddingMask(b, { ...target, batch: source.batch }, source, padding);
  const crossBias: ScoreBias = { value: additiveMask(b, crossMask), mayMaskWholeRow: false };
  let x = embedded;
  for (let i = 0; i < config.seqToSeq!.decoderLayers; i++) {
    x = b.scope(`block.${i}`, () => {
      const name = `decoder.block.${i}`;
      const y = attentionLayer(
        b,
        x,
        `${name}.layer.0`,
        'SelfAttention',
        config,
        target,
        null,
        target,
        selfBias,
      );
      const z = attentionLayer(
        b,
        y,
        `${name}.layer.1`,
        'EncDecAttention',
        config,
        target,
        encoded,
        source,
        crossBias,
      );
      return feedForwardLayer(b, z, `${name}.layer.2`, config);
    });
  }
  return dropout(b, rmsNorm(b, x, 'decoder.final_layer_norm', config.hidden, config.normEpsilon));
}

/** Position bias where the mask holds, the lowest number elsewhere. */
function maskedBias(
  b: GraphBuilder,
  mask: string,
  stack: 'encoder' | 'decoder',
  config: ArchConfig,
  tokens: Sequence,
  isBidirectional: boolean,
): ScoreBias {
  const name = `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias`;
  const positions = relativeBias(b, name, config, tokens, isBidirectional);
  return { value: b.op('Where', [mask, positions, b.float(LOWEST[b.dtype])]), mayMaskWholeRow: false };
}

/** Norm, attention and residual; keys come from `memory` in cross-attention, from the stream itself when null. */
function attentionLayer(
  b: GraphBuilder,
  x: string,
  name: string,
  kind: 'SelfAttention' | 'EncDecAttention',
  config: ArchConfig,
  queries: Sequence,
  memory: string | null,
  keys: Sequence,
  bias: ScoreBias,
): string {
  const { hidden, heads, headDim, normEpsilon } = config;
  return b.scope(kind, () => {
    const width = heads * headDim;
    const normed = rmsNorm(b, x, `${name}.layer_norm`, hidden, normEpsilon);
    const from = memory ?? normed;
    const project = (value: string, part: string, tokens: Sequence): string =>
      splitHeads(b, linear(b, value, `${name}.${kind}.${part}`, hidden, width, false), tokens, headDim);
    const q = project(normed, 'q', queries);
    const k = project(from, 'k', keys);
    const v = project(from, 'v', keys);
    const mixed = mergeHeads(b, scaledDotProduct(b, q, k, v, 1, bias), queries);
    return b.op('Add', [x, dropout(b, linear(b, mixed, `${name}.${kind}.o`, width, hidden, false))]);
  });
}

function feedForwardLayer(b: GraphBuilder, x: string, name: string, config: ArchConfig): string {
  const { hidden, ffn, activation, gatedFfn, normEpsilon } = config;
  return b.scope('DenseReluDense', () => {
    const dense = `${name}.DenseReluDense`;
    const normed = rmsNorm(b, x, `${name}.layer_norm`, hidden, normEpsilon);
    const first = activate(
      b,
      linear(b, normed, `${dense}.${gatedFfn ? 'wi_0' : 'wi'}`, hidden, ffn, false),
      activation,
    );
    const inner = gatedFfn
      ? b.op('Mul', [first, linear(b, normed, `${dense}.wi_1`, hidden, ffn, false)])
      : first;
    return b.op('Add', [x, dropout(b, linear(b, dropout(b, inner), `${dense}.wo`, ffn, hidden, false))]);
  });
}
