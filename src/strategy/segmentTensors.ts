/** What the tensors of a layer class are in one of its segments. */
import type { Segmentation } from '../graph/index.js';
import type { Layer } from './layer.js';

/** Graph ids of a segment's tensors in the order of its class's layer: equal segments list equal blocks alike. */
export function segmentTensors(segmentation: Segmentation, segment: number, layer: Layer): number[] {
  const first = segmentation.blockStart[segment];
  const ids = new Array<number>(layer.tensors.length).fill(-1);
  layer.blocks.forEach((block, b) => {
    const source = segmentation.blocks[first + b];
    block.inputs.forEach((t, slot) => (ids[t] = source.inputs[slot]!));
    block.outputs.forEach((t, slot) => (ids[t] = source.outputs[slot]!));
  });
  return ids;
}
