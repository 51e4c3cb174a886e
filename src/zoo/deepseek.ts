/**
 * DeepSeek-V3 (arXiv:2412.19437): latent attention, a few dense layers, then routed and shared experts. The
 * multi-token-prediction module of the checkpoint is not part of the main model and is left out.
 */
import type { GraphBuilder } from './builder.js';
import { latentAttention } from './blocks/mla.js';
import type { ArchConfig } from './config.js';
import { buildDecoder } from './decoder.js';
import { denseThenExperts } from './moe.js';
import type { GraphForm } from './options.js';

export function buildDeepseek(b: GraphBuilder, config: ArchConfig, form: GraphForm): void {
  buildDecoder(
    b,
    config,
    form,
    config.mla!.ropeHeadDim,
    (x, name, _layer, c) => latentAttention(b, x, name, config, c.tokens, c.rotary, c.bias),
    denseThenExperts(b, config),
  );
}
