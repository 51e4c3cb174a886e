/** Sizes of a layer on one rank: the reference batch becomes one microbatch, the sequence is shared by context parallelism. */
import { AXIS_BATCH, AXIS_SEQUENCE } from '../graph/index.js';
import type { Layer, LayerBlock, LayerTensor } from './layer.js';
import type { BlockOption } from './options.js';

export interface RankScale {
  /** Microbatch over reference batch. */
  readonly batch: number;
  readonly cp: number;
  /** Bytes of a float element in the training precision. */
  readonly floatBytes: number;
}

/** Bytes of a tensor before tensor parallelism, on one rank. */
export function tensorBytes(tensor: LayerTensor, scale: RankScale): number {
  const perElement = tensor.isFloat ? scale.floatBytes : tensor.storedBytes;
  return tensorElements(tensor, scale) * perElement;
}

export function tensorElements(tensor: LayerTensor, scale: RankScale): number {
  let elements = tensor.elements;
  if (tensor.perSample) elements *= scale.batch;
  if (tensor.sequenceDim >= 0) elements /= scale.cp;
  return elements;
}

/** Growth of a block's work over the reference: microbatch, context parallelism and the option's share. */
export function workScale(block: LayerBlock, option: BlockOption, scale: RankScale): number {
  return ((block.perSample ? scale.batch : 1) * option.workShare) / (block.perToken ? scale.cp : 1);
}

/** Extent of a factor on one rank. */
export function localSize(block: LayerBlock, option: BlockOption, f: number, scale: RankScale): number {
  let size = Math.ceil(block.sizes[f] / option.shards[f]);
  // A batch or sequence that comes in parts, or is contracted too, carries its axis on each: only the first is scaled.
  if (block.axes[f] === AXIS_BATCH && block.axes.indexOf(AXIS_BATCH) === f) size *= scale.batch;
  if (block.axes[f] === AXIS_SEQUENCE && block.axes.indexOf(AXIS_SEQUENCE) === f) size /= scale.cp;
  return size;
}

/** Bytes that a block's inputs and outputs occupy on one rank under an option. */
export function touchedBytes(layer: Layer, block: LayerBlock, option: BlockOption, scale: RankScale): number {
  let bytes = 0;
  block.inputs.forEach((t, slot) => {
    const tensor = layer.tensors[t];
    bytes += tensorBytes(tensor, scale) / option.inputSpecs[slot].shards;
  });
  block.outputs.forEach((t, slot) => {
    bytes += tensorBytes(layer.tensors[t], scale) / option.outputSpecs[slot].shards;
  });
  return bytes;
}
