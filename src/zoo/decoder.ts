/**
 * The skeleton shared by the Llama line: token table, pre-norm layers of attention and feed-forward on a residual
 * stream, final RMS norm, output projection.
 */
import { DType } from '../model/dtype.js';
import { attrInt, type GraphBuilder } from './builder.js';
import type { ScoreBias } from './blocks/attention.js';
import { linear, tiedLinear } from './blocks/linear.js';
import { additiveMask, causalMask } from './blocks/mask.js';
import { rmsNorm } from './blocks/norms.js';
import { rotaryTable, type RotaryTable } from './blocks/rotary.js';
import { tokenInput, type Sequence } from './blocks/sequence.js';
import type { ArchConfig } from './config.js';
import type { GraphForm } from './options.js';

/** What every layer of one graph shares. */
export interface DecoderContext {
  readonly tokens: Sequence;
  readonly rotary: RotaryTable;
  readonly bias: ScoreBias;
}

/** Writes one half-layer on the normed stream `x`; parameters under `name`. */
export type HalfLayer = (x: string, name: string, layer: number, context: DecoderContext) => string;

/** The int64 padding mask input of a decoder, or null when the form goes without. */
export function paddingInput(b: GraphBuilder, form: GraphForm): string | null {
  return form.attentionMask ? b.input('attention_mask', DType.INT64, [form.batch, form.seq]) : null;
}

/** @param rotaryDim channels of a head that carry rotary positions */
export function buildDecoder(
  b: GraphBuilder,
  config: ArchConfig,
  form: GraphForm,
  rotaryDim: number,
  attention: HalfLayer,
  feedForward: HalfLayer,
): void {
  const { hidden, layers, vocab, normEpsilon, ropeTheta, slidingWindow } = config;
  const tokens = tokenInput(b, 'input_ids', form.batch, form.seq);
  const padding = paddingInput(b, form);
  const table = b.weight('model.embed_tokens.weight', [vocab, hidden]);
  let x = b.scope('embed_tokens', () => b.op('Gather', [table, 'input_ids'], [attrInt('axis', 0)]));
  const bias: ScoreBias = b.scope('mask', () => ({
    value: additiveMask(b, causalMask(b, tokens, padding, slidingWindow)),
    mayMaskWholeRow: true,
  }));
  const context: DecoderContext = { tokens, rotary: rotaryTable(b, tokens, rotaryDim, ropeTheta), bias };

  for (let i = 0; i < layers; i++) {
    const name = `model.layers.${i}`;
    x = b.scope(`layers.${i}`, () => {
      const before = b.scope('input_layernorm', () =>
        rmsNorm(b, x, `${name}.input_layernorm`, hidden, normEpsilon),
      );
      const attended = b.scope('self_attn', () => attention(before, `${name}.self_attn`, i, context));
      const middle = b.op('Add', [x, attended]);
      const after = b.scope('post_attention_layernorm', () =>
        rmsNorm(b, middle, `${name}.post_attention_layernorm`, hidden, normEpsilon),
      );
      return b.op('Add', [middle, b.scope('mlp', () => feedForward(after, `${name}.mlp`, i, context))]);
    });
  }

  const normed = b.scope('norm', () => rmsNorm(b, x, 'model.norm', hidden, normEpsilon));
  b.scope('lm_head', () =>
    config.tiedEmbeddings
      ? tiedLinear(b, normed, table, 'logits')
      : linear(b, normed, 'lm_head', hidden, vocab, false, 'logits'),
  );
  b.output('logits', b.dtype, [form.batch, form.seq, vocab]);
}
