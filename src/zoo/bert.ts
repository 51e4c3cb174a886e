/** BERT (arXiv:1810.04805): bidirectional encoder with learned positions and layer norm after each half-layer. */
import { DType } from '../model/dtype.js';
import { attrInt, type GraphBuilder } from './builder.js';
import { biasedAttention, type ScoreBias } from './blocks/attention.js';
import { dropout } from './blocks/dropout.js';
import { gemm, linear, tiedLinear } from './blocks/linear.js';
import { additiveMask, paddingMask } from './blocks/mask.js';
import { activate } from './blocks/mlp.js';
import { layerNorm } from './blocks/norms.js';
import { tokenInput, type Sequence } from './blocks/sequence.js';
import type { ArchConfig } from './config.js';
import type { GraphForm } from './options.js';

export function buildBert(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  const { hidden, layers, vocab } = config;
  const tokens = tokenInput(b, 'input_ids', form.batch, form.seq);
  b.input('attention_mask', DType.INT64, [form.batch, form.seq]);
  b.input('token_type_ids', DType.INT64, [form.batch, form.seq]);
  const table = b.weight('bert.embeddings.word_embeddings.weight', [vocab, hidden]);
  let x = b.scope('embeddings', () => dropout(b, embeddings(b, config, tokens, table)));
  const bias: ScoreBias = b.scope('mask', () => ({
    value: additiveMask(b, paddingMask(b, tokens, tokens, 'attention_mask')),
    mayMaskWholeRow: true,
  }));
  for (let i = 0; i < layers; i++) {
    const name = `bert.encoder.layer.${i}`;
    x = b.scope(`encoder/layer.${i}`, () => bertLayer(b, x, name, config, tokens, bias));
  }
  bertHead(b, x, table, config, form);
}

function embeddings(b: GraphBuilder, config: ArchConfig, tokens: Sequence, table: string): string {
  const { hidden, maxPositions, normEpsilon } = config;
  const name = 'bert.embeddings';
  const lookup = (weights: string, ids: string): string =>
    b.op('Gather', [weights, ids], [attrInt('axis', 0)]);
  const types = b.weight(`${name}.token_type_embeddings.weight`, [config.bert!.typeVocab, hidden]);
  const places = b.weight(`${name}.position_embeddings.weight`, [maxPositions, hidden]);
  const typed = b.op('Add', [lookup(table, 'input_ids'), lookup(types, 'token_type_ids')]);
  const placed = b.op('Add', [typed, lookup(places, b.op('Unsqueeze', [tokens.positions, b.ints(0)]))]);
  return layerNorm(b, placed, `${name}.LayerNorm`, hidden, normEpsilon);
}

function bertLayer(
  b: GraphBuilder,
  x: string,
  name: string,
  config: ArchConfig,
  tokens: Sequence,
  bias: ScoreBias,
): string {
  const { hidden, ffn, activation, normEpsilon } = config;
  const attended = b.scope('attention', () => {
    const names = {
      q: `${name}.attention.self.query`,
      k: `${name}.attention.self.key`,
      v: `${name}.attention.self.value`,
      o: `${name}.attention.output.dense`,
    };
    const mixed = biasedAttention(b, x, names, config, tokens, bias);
    const sum = b.op('Add', [dropout(b, mixed), x]);
    return layerNorm(b, sum, `${name}.attention.output.LayerNorm`, hidden, normEpsilon);
  });
  return b.scope('ffn', () => {
    const inner = activate(
      b,
      linear(b, attended, `${name}.intermediate.dense`, hidden, ffn, true),
      activation,
    );
    const out = linear(b, inner, `${name}.output.dense`, ffn, hidden, true);
    const sum = b.op('Add', [dropout(b, out), attended]);
    return layerNorm(b, sum, `${name}.output.LayerNorm`, hidden, normEpsilon);
  });
}

function bertHead(b: GraphBuilder, x: string, table: string, config: ArchConfig, form: GraphForm): void {
  const { hidden, vocab, activation, normEpsilon } = config;
  const { head } = config.bert!;
  const hasWords = head === 'mlm' || head === 'pretraining';
  const hasPooler = head === 'pooler' || head === 'pretraining';
  if (hasWords) {
    b.scope('cls/predictions', () => {
      const transformed = activate(
        b,
        linear(b, x, 'cls.predictions.transform.dense', hidden, hidden, true),
        activation,
      );
      const normed = layerNorm(b, transformed, 'cls.predictions.transform.LayerNorm', hidden, normEpsilon);
      const logits = tiedLinear(b, normed, table);
      b.op('Add', [logits, b.weight('cls.predictions.bias', [vocab])], [], 'logits');
    });
    b.output('logits', b.dtype, [form.batch, form.seq, vocab]);
  } else {
    b.op('Identity', [x], [], 'last_hidden_state');
    b.output('last_hidden_state', b.dtype, [form.batch, form.seq, hidden]);
  }
  if (!hasPooler) return;
  const isPooled = head === 'pooler';
  const pooled = b.scope('pooler', () => {
    const first = b.op('Gather', [x, b.int(0)], [attrInt('axis', 1)]);
    const dense = gemm(b, first, 'bert.pooler.dense', hidden, hidden);
    return b.op('Tanh', [dense], [], isPooled ? 'pooler_output' : undefined);
  });
  if (isPooled) {
    b.output(pooled, b.dtype, [form.batch, hidden]);
    return;
  }
  b.scope('cls/seq_relationship', () =>
    gemm(b, pooled, 'cls.seq_relationship', hidden, 2, 'seq_relationship_logits'),
  );
  b.output('seq_relationship_logits', b.dtype, [form.batch, 2]);
}
