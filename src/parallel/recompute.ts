/**
 * Which saved activations are dropped after the forward pass and computed again in the backward pass:
 * `none`; `selective`, the cheap-to-recompute and large ones (attention's inner tensors, norms, activations;
 * Korthikanti et al. 2022); `full`, everything but the inputs of each layer.
 */
export type Recompute = 'none' | 'selective' | 'full';

export const RECOMPUTE_POLICIES: readonly Recompute[] = ['none', 'selective', 'full'];
