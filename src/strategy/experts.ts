/**
 * What expert parallelism moves: tokens travel to the rank that holds their expert before the first grouped matrix
 * multiplication of a layer, and back after the last. Between the two they stay where they are.
 */
import type { Layer } from './layer.js';
import { expertFactor, isExpertBlock } from './options.js';

export interface ExpertTraffic {
  /** Local tensor ids dispatched to experts and combined from them, forward. */
  readonly dispatched: readonly number[];
  readonly combined: readonly number[];
  /** Number of experts: size of the lookup factor; 1 when the layer has none. */
  readonly experts: number;
}

export function expertTraffic(layer: Layer): ExpertTraffic {
  const isExpert = layer.blocks.map(isExpertBlock);
  if (!isExpert.includes(true)) return { dispatched: [], combined: [], experts: 1 };
  const afterExpert = reach(layer, isExpert, 'forward');
  const beforeExpert = reach(layer, isExpert, 'backward');
  const dispatched = new Set<number>();
  const combined = new Set<number>();
  let experts = 1;
  layer.blocks.forEach((block, b) => {
    if (!isExpert[b]) return;
    const lookup = expertFactor(block);
    if (lookup >= 0) experts = Math.max(experts, block.sizes[lookup]);
    for (const t of block.inputs) {
      const tensor = layer.tensors[t];
      if (tensor.isParameter || !tensor.isFloat || tensor.isConstant) continue;
      if (tensor.producer < 0 || !(isExpert[tensor.producer] || afterExpert[tensor.producer]))
        dispatched.add(t);
    }
    for (const t of block.outputs) {
      const onwards = layer.tensors[t].consumers.some((c) => isExpert[c.block] || beforeExpert[c.block]);
      if (!onwards) combined.add(t);
    }
  });
  return { dispatched: [...dispatched], combined: [...combined], experts };
}

/** Blocks strictly downstream (or upstream) of an expert block. Blocks are in topological order. */
function reach(layer: Layer, isExpert: readonly boolean[], direction: 'forward' | 'backward'): boolean[] {
  const reached = layer.blocks.map(() => false);
  const order = layer.blocks.map((_, b) => b);
  if (direction === 'backward') order.reverse();
  for (const b of order) {
    if (!isExpert[b] && !reached[b]) continue;
    const block = layer.blocks[b];
    if (direction === 'forward') {
      for (const t of block.outputs) for (const c of layer.tensors[t].consumers) reached[c.block] = true;
    } else {
      for (const t of block.inputs) {
        const producer = layer.tensors[t].producer;
        if (producer >= 0) reached[producer] = true;
      }
    }
  }
  return reached;
}
