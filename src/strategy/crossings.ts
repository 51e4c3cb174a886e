/**
 * Tensors that pass from layer to layer. Equal layers are split alike, so all tensors that one of their places is filled by
 * must have one layout: what enters the next layer is what left the last one. A *crossing* is such a set of places.
 *
 *     embedding --x0--> layer --x1--> layer --x2--> head      one crossing: x0 leaving, x1 entering and leaving, x2 entering
 */
import type { Segmentation } from '../graph/index.js';
import type { Layer } from './layer.js';
import { segmentTensors } from './segmentTensors.js';
import { crosses } from './steps.js';

export interface Crossings {
  readonly count: number;
  /** Per class and tensor of its layer: the crossing that it is in, -1 when it stays inside. */
  readonly of: readonly Int32Array[];
}

/** Finds the crossings of a chain of segments. */
export function findCrossings(segmentation: Segmentation, layers: readonly Layer[]): Crossings {
  const first = new Int32Array(layers.length + 1);
  layers.forEach((layer, c) => (first[c + 1] = first[c] + layer.tensors.length));
  const parent = Int32Array.from({ length: first[layers.length] }, (_, i) => i);
  const root = (place: number): number => {
    let at = place;
    while (parent[at] !== at) at = parent[at] = parent[parent[at]];
    return at;
  };
  const placeOf = new Map<number, number>();
  for (let s = 0; s < segmentation.segmentCount; s++) {
    const c = segmentation.segmentClass[s];
    const ids = segmentTensors(segmentation, s, layers[c]);
    layers[c].tensors.forEach((tensor, t) => {
      if (!crosses(tensor)) return;
      const place = first[c] + t;
      const known = placeOf.get(ids[t]);
      if (known === undefined) placeOf.set(ids[t], place);
      else parent[root(place)] = root(known);
    });
  }
  const numberOf = new Map<number, number>();
  const of = layers.map((layer, c) =>
    Int32Array.from(layer.tensors, (tensor, t) => {
      if (!crosses(tensor)) return -1;
      const top = root(first[c] + t);
      let number = numberOf.get(top);
      if (number === undefined) numberOf.set(top, (number = numberOf.size));
      return number;
    }),
  );
  return { count: numberOf.size, of };
}
