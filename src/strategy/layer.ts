/**
 * One layer class as a small dataflow graph: the blocks of its representative segment and the tensors between them,
 * with the blocks' factors refined until both sides of every tensor speak of the same ones.
 */
import type { Block, Graph, Segmentation } from '../graph/index.js';
import { AXIS_BATCH, AXIS_NONE, AXIS_SEQUENCE, TensorRole } from '../graph/index.js';
import type { FactorKind } from '../ops/types.js';
import { dtypeBits, isFloat } from '../model/dtype.js';

/** A block's factor rule, mutable while factors are refined. Dimensions are per tensor slot: inputs then outputs. */
export interface LayerBlock {
  readonly source: Block;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly sizes: number[];
  readonly kinds: FactorKind[];
  /** AXIS_* of each factor. */
  readonly axes: number[];
  readonly inputDims: (number[][] | null)[];
  readonly outputDims: (number[][] | null)[];
  /** Holds the loss: its softmax is worked out and kept in fp32. */
  readonly isLoss: boolean;
  /** True when its work grows with the microbatch. */
  readonly perSample: boolean;
  /** True when its work is divided by context parallelism. */
  readonly perToken: boolean;
}

/** A tensor of the layer. */
export interface LayerTensor {
  /** Id in the graph, and of the tensor whose memory it uses (views and tied weights share one). */
  readonly id: number;
  readonly storage: number;
  readonly elements: number;
  readonly isFloat: boolean;
  /** Bytes of one element when it is not a float (floats take the training precision). */
  readonly storedBytes: number;
  readonly isParameter: boolean;
  readonly isConstant: boolean;
  /** A float computed from weights: in training a gradient flows back through it. */
  readonly carriesGradient: boolean;
  readonly perSample: boolean;
  /** Dimension indexed by the sequence axis, -1 if none. */
  sequenceDim: number;
  /** Dimension indexed by the batch axis, -1 if none. */
  batchDim: number;
  /** Product of the sizes of the sequence dimension's factors that are more major than the sequence factor. */
  sequencePrefix: number;
  /** Local block that makes it, -1 when it enters from outside. */
  readonly producer: number;
  /** Slot in the producer's outputs. */
  readonly producerSlot: number;
  /** (block, input slot) pairs. */
  readonly consumers: readonly { readonly block: number; readonly slot: number }[];
  /** Used after this segment. */
  readonly leaves: boolean;
  /** A runtime input of the model. */
  readonly isInput: boolean;
  /** An output of the model, such as the logits. */
  readonly isOutput: boolean;
}

export interface Layer {
  readonly classId: number;
  readonly blocks: readonly LayerBlock[];
  readonly tensors: readonly LayerTensor[];
}

/** What is the same for all layers of a graph; computed once. */
export interface GraphFacts {
  /** Tensor -> 1 when it is a float computed from weights. */
  readonly carriesGradient: Uint8Array;
  /** Tensor -> 1 when it depends on the batch. */
  readonly perSample: Uint8Array;
  /** Tensor -> last segment that uses it, -1 when none does: an output of the model stays where it was made. */
  readonly lastSegment: Int32Array;
}

export function graphFacts(graph: Graph, segmentation: Segmentation): GraphFacts {
  const { blocks, segmentCount, blockStart } = segmentation;
  const carriesGradient = new Uint8Array(graph.tensorCount);
  const perSample = new Uint8Array(graph.tensorCount);
  for (let t = 0; t < graph.tensorCount; t++) {
    if (graph.tensorRole[t] === TensorRole.PARAMETER) carriesGradient[t] = 1;
    if (graph.tensorRole[t] === TensorRole.INPUT) perSample[t] = 1;
  }
  const lastSegment = new Int32Array(graph.tensorCount).fill(-1);
  for (let s = 0; s < segmentCount; s++) {
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      const block = blocks[b];
      let sample = false;
      for (const t of block.inputs) {
        lastSegment[t] = s;
        sample ||= perSample[t] === 1;
      }
      if (sample) for (const t of block.outputs) perSample[t] = 1;
    }
  }
  // Node by node, so that a mask inside a block does not spread it; whole numbers end the chain (chosen indices).
  for (let n = 0; n < graph.nodeCount; n++) {
    let any = false;
    for (let i = graph.inputStart[n]; i < graph.inputStart[n + 1]; i++) {
      const t = graph.inputTensor[i];
      if (t >= 0 && carriesGradient[t]) any = true;
    }
    if (!any) continue;
    for (let o = graph.outputStart[n]; o < graph.outputStart[n + 1]; o++) {
      const t = graph.outputTensor[o];
      if (t >= 0 && isFloat(graph.tensorDtype[t])) carriesGradient[t] = 1;
    }
  }
  return { carriesGradient, perSample, lastSegment };
}

/** True when a block's work grows with the batch: some input does. */
export function growsWithBatch(block: Block, facts: GraphFacts): boolean {
  for (const t of block.inputs) if (facts.perSample[t]) return true;
  return false;
}

/** The layer of a class, factors not yet refined. */
export function extractLayer(
  graph: Graph,
  segmentation: Segmentation,
  facts: GraphFacts,
  classId: number,
): Layer {
  const segment = segmentation.classSegment[classId];
  const first = segmentation.blockStart[segment];
  const last = segmentation.blockStart[segment + 1];
  const indexOf = new Map<number, number>();
  const order: number[] = [];
  const local = (t: number): number => {
    let i = indexOf.get(t);
    if (i === undefined) {
      i = order.length;
      order.push(t);
      indexOf.set(t, i);
    }
    return i;
  };
  const blocks: LayerBlock[] = [];
  for (let b = first; b < last; b++) {
    const source = segmentation.blocks[b];
    const { factors } = source;
    blocks.push({
      source,
      inputs: Array.from(source.inputs, local),
      outputs: Array.from(source.outputs, local),
      sizes: factors.factors.map((f) => f.size),
      kinds: factors.factors.map((f) => f.kind),
      axes: Array.from(source.factorAxis),
      inputDims: factors.inputs.map(copyDims),
      outputDims: factors.outputs.map(copyDims),
      isLoss: graph.lossNode >= 0 && source.nodes.includes(graph.lossNode),
      perSample: growsWithBatch(source, facts),
      perToken: source.factorAxis.includes(AXIS_SEQUENCE),
    });
  }
  const producer = new Int32Array(order.length).fill(-1);
  const producerSlot = new Int32Array(order.length);
  const consumers: { block: number; slot: number }[][] = order.map(() => []);
  blocks.forEach((block, b) => {
    block.inputs.forEach((t, slot) => consumers[t].push({ block: b, slot }));
    block.outputs.forEach((t, slot) => {
      producer[t] = b;
      producerSlot[t] = slot;
    });
  });
  const tensors = order.map((id, t): LayerTensor => {
    const dtype = graph.tensorDtype[id];
    return {
      id,
      storage: graph.storage[id],
      elements: graph.tensorElements[id],
      isFloat: isFloat(dtype),
      storedBytes: dtypeBits(dtype) / 8,
      isParameter: graph.tensorRole[id] === TensorRole.PARAMETER,
      isConstant: graph.tensorRole[id] === TensorRole.CONSTANT,
      carriesGradient: facts.carriesGradient[id] === 1,
      perSample: facts.perSample[id] === 1,
      sequenceDim: -1,
      batchDim: -1,
      sequencePrefix: 1,
      producer: producer[t],
      producerSlot: producerSlot[t],
      consumers: consumers[t],
      leaves: facts.lastSegment[id] > segment,
      isInput: graph.tensorRole[id] === TensorRole.INPUT,
      isOutput: graph.graphOutputs.includes(id),
    };
  });
  return { classId, blocks, tensors };
}

function copyDims(dims: readonly (readonly number[])[] | null): number[][] | null {
  return dims === null ? null : dims.map((d) => [...d]);
}

/** Dimensions of a tensor as a block sees them, `null` when its rule says nothing of that slot. */
export function dimsAt(block: LayerBlock, slot: number, isInput: boolean): number[][] | null {
  return (isInput ? block.inputDims[slot] : block.outputDims[slot]) ?? null;
}

/** Notes on every tensor which dimensions the batch and sequence axes index. Call after refinement. */
export function markAxes(layer: Layer): void {
  for (const tensor of layer.tensors) {
    const sides = tensor.consumers.map((c) => ({
      block: layer.blocks[c.block],
      dims: dimsAt(layer.blocks[c.block], c.slot, true),
    }));
    if (tensor.producer >= 0) {
      const block = layer.blocks[tensor.producer];
      sides.unshift({ block, dims: dimsAt(block, tensor.producerSlot, false) });
    }
    for (const { block, dims } of sides) {
      dims?.forEach((factors, dim) => {
        let prefix = 1;
        for (const f of factors) {
          if (block.axes[f] === AXIS_SEQUENCE && tensor.sequenceDim < 0) {
            tensor.sequenceDim = dim;
            tensor.sequencePrefix = prefix;
          }
          // The batch shrinks to one microbatch and does not count as a block of its own.
          if (block.axes[f] === AXIS_BATCH) tensor.batchDim = Math.max(tensor.batchDim, dim);
          else prefix *= block.sizes[f];
        }
      });
    }
  }
}

/** Replaces factor `f` of a block by a major part and a minor part of the given size, in every dimension. */
export function splitFactor(block: LayerBlock, f: number, minorSize: number): void {
  const minor = block.sizes.length;
  const major = f;
  block.sizes.push(minorSize);
  block.kinds.push(block.kinds[f]);
  // Only the part that is the sequence (or batch) keeps the axis: the major one.
  block.axes.push(block.axes[f] === AXIS_NONE ? AXIS_NONE : block.axes[f]);
  block.sizes[major] = block.sizes[f] / minorSize;
  for (const dims of [...block.inputDims, ...block.outputDims]) {
    dims?.forEach((factors) => {
      const at = factors.indexOf(f);
      if (at >= 0) factors.splice(at + 1, 0, minor);
    });
  }
}
