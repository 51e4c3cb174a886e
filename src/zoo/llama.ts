/** Llama 2 and 3, Mistral and Qwen3: grouped-query attention with rotary positions and a gated feed-forward. Ungated: Nemotron. */
import type { GraphBuilder } from './builder.js';
import { rotaryAttention } from './blocks/attention.js';
import { gatedMlp, plainMlp } from './blocks/mlp.js';
import type { ArchConfig } from './config.js';
import { buildDecoder } from './decoder.js';
import type { GraphForm } from './options.js';

export function buildLlama(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  buildDecoder(
    b,
    config,
    form,
    config.headDim,
    (x, name, _layer, c) => rotaryAttention(b, x, name, config, c.tokens, c.rotary, c.bias),
    (x, name) => (config.gatedFfn ? gatedMlp : plainMlp)(b, x, name, config, config.ffn),
  );
}
