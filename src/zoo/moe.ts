/** Mixtral and Qwen3-MoE: the Llama layer with routed experts for its feed-forward. */
import type { GraphBuilder } from './builder.js';
import { rotaryAttention } from './blocks/attention.js';
import { gatedMlp } from './blocks/mlp.js';
import { moeFeedForward } from './blocks/moe.js';
import type { ArchConfig } from './config.js';
import { buildDecoder, type HalfLayer } from './decoder.js';
import type { GraphForm } from './options.js';

export function buildMoe(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  buildDecoder(
    b,
    config,
    form,
    config.headDim,
    (x, name, _layer, c) => rotaryAttention(b, x, name, config, c.tokens, c.rotary, c.bias),
    denseThenExperts(b, config),
  );
}

/** A dense feed-forward in the first `denseLayers` layers, experts in the others. */
export function denseThenExperts(b: GraphBuilder, config: ArchConfig): HalfLayer {
  const { denseLayers } = config.moe!;
  return (x, name, layer, c) =>
    layer < denseLayers
      ? gatedMlp(b, x, name, config, config.ffn)
      : moeFeedForward(b, x, name, config, c.tokens);
}
