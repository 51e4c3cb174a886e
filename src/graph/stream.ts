/**
 * The stream: what is computed from the model's inputs with weights, layer after layer. Beside it stand masks, positions,
 * rotary tables and relative position biases: made from positions, constants and masks alone, read by all layers, and
 * recomputed by each device that needs them rather than sent. They are no part of what crosses a cut.
 */
import { TensorRole, type Graph } from './types.js';

/**
 * Per node: 1 when it belongs to the stream. A node enters it when it meets a weight with something computed from an input
 * (an embedding looked up by tokens, but not a bias looked up by relative positions), or multiplies two such tensors.
 * Where nothing has weights, whatever depends on an input is the stream; where nothing depends on one, all is.
 */
export function streamNodes(graph: Graph): Uint8Array {
  const { nodeCount } = graph;
  const stream = new Uint8Array(nodeCount);
  const fromInput = new Uint8Array(nodeCount);
  let any = false;
  for (let n = 0; n < nodeCount; n++) {
    let weights = 0;
    let inputs = 0;
    for (let s = graph.inputStart[n]; s < graph.inputStart[n + 1]; s++) {
      const t = graph.inputTensor[s];
      if (t < 0) continue;
      const p = graph.producer[t];
      if (graph.tensorRole[t] === TensorRole.PARAMETER) weights++;
      if (graph.tensorRole[t] === TensorRole.INPUT || (p >= 0 && fromInput[p])) inputs++;
      if (p >= 0 && stream[p]) stream[n] = 1;
    }
    if (inputs > 0) fromInput[n] = 1;
    const kernel = graph.nodeKernel[n];
    const isProduct = kernel === 'gemm' || kernel === 'conv' || kernel === 'attention';
    if (inputs > 0 && (weights > 0 || (isProduct && inputs > 1))) stream[n] = 1;
    if (stream[n]) any = true;
  }
  if (any) return stream;
  return fromInput.includes(1) ? fromInput : stream.fill(1);
}
