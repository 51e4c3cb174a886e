/**
 * The tensors of a layer in its sharding problem: layouts in which one may be materialised for its readers, and what each
 * costs between the block that makes it and those that read it, forward and backward.
 */
import type { Layer, LayerTensor } from './layer.js';
import type { BlockOption } from './options.js';
import type { Reshard } from './reshard.js';
import { reshardKind } from './reshard.js';
import type { Spec } from './spec.js';
import { REPLICATED } from './spec.js';

/** A layout that a tensor is materialised in, and whether its gradient is still a partial sum there. */
export interface TensorState {
  readonly spec: Spec;
  readonly gradientPartial: boolean;
}

/**
 * Layouts worth materialising a tensor in: what its maker leaves, what its readers want, what may pass between layers.
 *
 * @param between layouts in which the tensor may enter or leave the layer
 * @returns null for tensors that lie where their readers want them
 */
export function tensorStates(
  layer: Layer,
  options: readonly (readonly BlockOption[])[],
  t: number,
  between: readonly Spec[],
  trains: boolean,
): TensorState[] | null {
  const tensor = layer.tensors[t];
  if (!isPriced(tensor)) return null;
  const specs = new Map<string, Spec>([[REPLICATED.key, REPLICATED]]);
  const add = (spec: Spec): void => void specs.set(spec.key, spec);
  for (const spec of ownSpecs(tensor, options)) add(spec);
  if (crosses(tensor)) for (const spec of between) add(spec);
  const mayBePartial =
    trains &&
    tensor.carriesGradient &&
    tensor.consumers.some((c) => options[c.block].some((o) => o.gradientPartial[c.slot]));
  const states: TensorState[] = [];
  for (const spec of specs.values()) {
    states.push({ spec, gradientPartial: false });
    if (mayBePartial) states.push({ spec, gradientPartial: true });
  }
  return states;
}

/** Weights lie where their block wants them; masks and tables from outside are at hand everywhere. */
export function isPriced(tensor: LayerTensor): boolean {
  if (tensor.isParameter || tensor.isConstant) return false;
  if (tensor.producer < 0 && !tensor.carriesGradient) return false;
  return tensor.consumers.length > 0 || tensor.leaves;
}

/** Comes from another layer or goes to one, with a gradient that comes back: whatever else passes on is whole on every rank. */
export function crosses(tensor: LayerTensor): boolean {
  return isPriced(tensor) && tensor.carriesGradient && (tensor.producer < 0 || tensor.leaves);
}

/** What the tensor's maker may leave and its readers may want. */
export function* ownSpecs(
  tensor: LayerTensor,
  options: readonly (readonly BlockOption[])[],
): Generator<Spec> {
  if (tensor.producer >= 0)
    for (const o of options[tensor.producer]) yield o.outputSpecs[tensor.producerSlot];
  for (const c of tensor.consumers) for (const o of options[c.block]) yield o.inputSpecs[c.slot];
}

/** From the maker's layout to the materialised one; its gradient goes the other way. */
export function makeSteps(
  tensor: LayerTensor,
  made: Spec,
  partial: boolean,
  state: TensorState,
  trains: boolean,
): [Reshard, Reshard] {
  const forward = reshardKind(made, partial, state.spec);
  if (!trains || !tensor.carriesGradient) return [forward, 'none'];
  return [forward, reshardKind(state.spec, state.gradientPartial, partial ? REPLICATED : made)];
}

/** From the materialised layout to what a reader wants; its gradient joins the tensor's. */
export function readSteps(
  tensor: LayerTensor,
  state: TensorState,
  want: Spec,
  gradPartial: boolean,
  trains: boolean,
): [Reshard, Reshard] {
  const forward = reshardKind(state.spec, false, want);
  if (!trains || !tensor.carriesGradient) return [forward, 'none'];
  if (!state.gradientPartial) return [forward, reshardKind(want, gradPartial, state.spec)];
  // The sum is taken later, at the maker: a part counts as a partial sum with zeros elsewhere.
  const widened = want.shards > 1 && state.spec.shards === 1;
  return [forward, widened ? 'none' : reshardKind(want, false, state.spec)];
}
