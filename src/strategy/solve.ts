/**
 * The best way to spread all layers of a model over the tensor-parallel axis: one sharding problem whose nodes are the blocks
 * of every layer class (choice = option), the tensors between them (choice = layout in which the tensor is materialised once
 * for all its readers, and whether its gradient is still a partial sum there), and the crossings from layer to layer (choice =
 * layout). A class counts as often as it is repeated.
 *
 *     block --(make: reduce or gather; backward the converse)-- tensor --(read)-- block
 *                                                               tensor --(leave, enter)-- crossing
 */
import { ShardProblemBuilder } from '../shard/index.js';
import type { ShardProblem } from '../shard/index.js';
import { invariant } from '../util/errors.js';
import type { Crossings } from './crossings.js';
import type { Layer, LayerTensor } from './layer.js';
import type { BlockOption } from './options.js';
import type { Reshard } from './reshard.js';
import { solveProblem } from './solveProblem.js';
import type { Spec } from './spec.js';
import { REPLICATED, makeSpec } from './spec.js';
import type { TensorState } from './steps.js';
import { crosses, makeSteps, ownSpecs, readSteps, tensorStates } from './steps.js';

/**
 * Layout of the tensors that pass from layer to layer: on every rank whole, split along the sequence, or along features
 * (channels of an image, columns of a product) where that saves more.
 */
export type Boundary = 'replicated' | 'sequence' | 'feature';

/** A collective of the layer over the tensor-parallel axis. */
export interface LayerCollective {
  readonly tensor: number;
  readonly kind: Exclude<Reshard, 'none' | 'slice'>;
  readonly pass: 'forward' | 'backward';
}

export interface LayerStrategy {
  readonly layer: Layer;
  readonly degree: number;
  /** Of most bytes that enter and leave. */
  readonly boundary: Boundary;
  /** Chosen option per block. */
  readonly options: readonly BlockOption[];
  /** Layout in which each tensor is materialised for its readers, and in which its producer leaves it. */
  readonly specs: readonly Spec[];
  readonly madeSpecs: readonly Spec[];
  /** Layout in which each tensor enters or leaves; `REPLICATED` of those inside. */
  readonly betweenSpecs: readonly Spec[];
  readonly collectives: readonly LayerCollective[];
  /** Objective: seconds of one microbatch, forward and backward. */
  readonly costSec: number;
}

/** Prices of the layers at one degree. */
export interface LayerPrices {
  /** Forward and backward seconds of a block under an option, statistics reductions included. */
  blockSec(layer: Layer, block: number, option: BlockOption): number;
  /** Seconds of a collective on a tensor of the layer. */
  collectiveSec(layer: Layer, kind: Reshard, tensor: number): number;
  /** What memory is worth: seconds for what a rank keeps of a tensor made in one layout and read in another. */
  keptSec(layer: Layer, tensor: number, made: Spec, read: Spec): number;
  /** False in inference: no gradients travel. */
  readonly trains: boolean;
}

/** A model's layers at one degree. */
export interface ModelProblem {
  readonly layers: readonly Layer[];
  /** How often each layer class is repeated. */
  readonly repeats: ArrayLike<number>;
  readonly crossings: Crossings;
  /** Per class and block. */
  readonly options: readonly (readonly (readonly BlockOption[])[])[];
  readonly degree: number;
  /** Activations of tokens pass from layer to layer split along the sequence, or whole; all else as is fastest. */
  readonly alongSequence: boolean;
  /** Activations of tokens, and others, may pass on split along features too. */
  readonly tokensAlongFeatures: boolean;
  readonly othersAlongFeatures: boolean;
  readonly prices: LayerPrices;
}

/** A tensor's place in the problem. */
interface TensorNode {
  readonly node: number;
  readonly states: readonly TensorState[];
}

/** Layouts that a crossing may have; a set with one member is no choice. */
interface CrossingNode {
  readonly node: number;
  readonly specs: readonly Spec[];
}

/** Of equals, a tensor is brought into its readers' layout once, where it is made. */
const READ_WEIGHT = 1 + 1e-9;

/** Of what passes on and is not split. */
const WHOLE: CrossingNode = { node: -1, specs: [REPLICATED] };

/** The problem of all layers as the sharding solver takes it. */
export interface ModelSharding {
  readonly shard: ShardProblem;
  /** Node of each class's blocks; the choices of one are its options. */
  readonly blockNodes: readonly (readonly number[])[];
  /** What a choice per node means: the strategy of every class. */
  readonly strategies: (choice: ArrayLike<number>) => LayerStrategy[];
}

/** Splits all layers; the strategy of every class. */
export function solveModel(problem: ModelProblem): LayerStrategy[] {
  const { shard, strategies } = modelSharding(problem);
  const solution = solveProblem(shard);
  invariant(solution !== null, 'a model has no legal sharding, not even replication');
  return strategies(solution.choice);
}

export function modelSharding(problem: ModelProblem): ModelSharding {
  const { layers, repeats, crossings, options, prices } = problem;
  const builder = new ShardProblemBuilder();
  const specsOf = crossingSpecs(problem);
  const crossingNodes = specsOf.map((specs): CrossingNode => ({
    specs,
    node: specs.length > 1 ? builder.addNode(new Float64Array(specs.length)) : -1,
  }));
  const blockNodes: number[][] = [];
  const tensorNodes: (TensorNode | null)[][] = [];
  layers.forEach((layer, c) => {
    const times = repeats[c];
    const own = options[c];
    const blocks = layer.blocks.map((_, b) =>
      builder.addNode(own[b].map((option) => times * prices.blockSec(layer, b, option))),
    );
    blockNodes.push(blocks);
    const step = ([forward, backward]: [Reshard, Reshard], t: number): number =>
      times * (prices.collectiveSec(layer, forward, t) + prices.collectiveSec(layer, backward, t));
    const tensors = layer.tensors.map((tensor, t): TensorNode | null => {
      const crossing = crossings.of[c][t];
      const between = crossing < 0 ? WHOLE : crossingNodes[crossing];
      const states = tensorStates(layer, own, t, between.specs, prices.trains);
      if (states === null) return null;
      const keptSec = (made: Spec, state: TensorState): number =>
        times * prices.keptSec(layer, t, made, state.spec);
      const enterSec = (spec: Spec, state: TensorState): number =>
        tensor.producer >= 0
          ? 0
          : step(makeSteps(tensor, spec, false, state, prices.trains), t) + keptSec(spec, state);
      const leaveSec = (spec: Spec, state: TensorState): number =>
        tensor.leaves ? READ_WEIGHT * step(readSteps(tensor, state, spec, false, prices.trains), t) : 0;
      const passSec = (spec: Spec, state: TensorState): number =>
        enterSec(spec, state) + leaveSec(spec, state);
      const fixed = between.node < 0 ? between.specs[0] : null;
      const node = builder.addNode(states.map((state) => (fixed === null ? 0 : passSec(fixed, state))));
      if (fixed === null) builder.addEdge(between.node, node, matrixOf(between.specs, states, passSec));
      if (tensor.producer >= 0)
        builder.addEdge(
          blocks[tensor.producer],
          node,
          matrixOf(own[tensor.producer], states, (maker, state) => {
            const spec = maker.outputSpecs[tensor.producerSlot];
            return (
              step(makeSteps(tensor, spec, maker.partial, state, prices.trains), t) +
              keptSec(maker.partial ? state.spec : spec, state)
            );
          }),
        );
      for (const { block, slot } of tensor.consumers)
        builder.addEdge(
          node,
          blocks[block],
          matrixOf(
            states,
            own[block],
            (state, reader) =>
              READ_WEIGHT *
              step(
                readSteps(
                  tensor,
                  state,
                  reader.inputSpecs[slot],
                  reader.gradientPartial[slot],
                  prices.trains,
                ),
                t,
              ),
          ),
        );
      return { node, states };
    });
    tensorNodes.push(tensors);
  });
  return {
    shard: builder.build(),
    blockNodes,
    strategies: (choice) => {
      const between = crossingNodes.map(({ node, specs }) => specs[node < 0 ? 0 : choice[node]]);
      return layers.map((layer, c) =>
        readStrategy(
          problem,
          c,
          layer.blocks.map((_, b) => options[c][b][choice[blockNodes[c][b]]]),
          tensorNodes[c].map((place) => (place === null ? null : place.states[choice[place.node]])),
          between,
        ),
      );
    },
  };
}

function matrixOf<A, B>(
  rows: readonly A[],
  columns: readonly B[],
  value: (row: A, column: B) => number,
): Float64Array {
  const matrix = new Float64Array(rows.length * columns.length);
  rows.forEach((row, i) =>
    columns.forEach((column, j) => (matrix[i * columns.length + j] = value(row, column))),
  );
  return matrix;
}

/** Layouts worth passing on in, per crossing. */
function crossingSpecs(problem: ModelProblem): Spec[][] {
  const { layers, crossings, options, degree, alongSequence } = problem;
  const { tokensAlongFeatures, othersAlongFeatures } = problem;
  const found = Array.from({ length: crossings.count }, () => new Map<string, Spec>());
  const isToken = new Uint8Array(crossings.count);
  const eachPlace = (visit: (crossing: number, tensor: LayerTensor, c: number) => void): void =>
    layers.forEach((layer, c) =>
      layer.tensors.forEach((tensor, t) => {
        const crossing = crossings.of[c][t];
        if (crossing >= 0) visit(crossing, tensor, c);
      }),
    );
  eachPlace((crossing, tensor) => {
    if (isTokens(tensor)) isToken[crossing] = 1;
  });
  eachPlace((crossing, tensor, c) => {
    const specs = found[crossing];
    if (degree === 1) return;
    const sequence = alongSequence && isToken[crossing] === 1 ? sequenceSpec(tensor, degree) : null;
    if (sequence !== null) specs.set(sequence.key, sequence);
    if (!(isToken[crossing] === 1 ? tokensAlongFeatures : othersAlongFeatures)) return;
    for (const spec of ownSpecs(tensor, options[c]))
      if (spec.shards > 1 && !splitsSequence(tensor, spec)) specs.set(spec.key, spec);
  });
  return found.map((specs, crossing) => {
    if (!alongSequence || isToken[crossing] === 0 || degree === 1) specs.set(REPLICATED.key, REPLICATED);
    return [...specs.values()];
  });
}

/** Activations of a sequence of each sample, such as the residual stream. */
function isTokens(tensor: LayerTensor): boolean {
  return tensor.perSample && tensor.sequenceDim >= 0;
}

/** A tensor split along its sequence; null when it has none. */
function sequenceSpec(tensor: LayerTensor, degree: number): Spec | null {
  if (tensor.sequenceDim < 0) return null;
  return makeSpec([{ dim: tensor.sequenceDim, prefix: tensor.sequencePrefix, shards: degree }]);
}

function splitsSequence(tensor: LayerTensor, spec: Spec): boolean {
  return spec.splits.some(({ dim }) => dim === tensor.sequenceDim);
}

/** Writes out what was chosen for a class. */
function readStrategy(
  { layers, crossings, degree, prices }: ModelProblem,
  c: number,
  chosen: readonly BlockOption[],
  states: readonly (TensorState | null)[],
  passed: readonly Spec[],
): LayerStrategy {
  const layer = layers[c];
  const specs: Spec[] = [];
  const madeSpecs: Spec[] = [];
  const betweenSpecs: Spec[] = [];
  const collectives: LayerCollective[] = [];
  let costSec = chosen.reduce((sec, option, b) => sec + prices.blockSec(layer, b, option), 0);
  const note = (t: number, steps: readonly [Reshard, Reshard]): void => {
    steps.forEach((kind, i) => {
      if (kind === 'none' || kind === 'slice') return;
      collectives.push({ tensor: t, kind, pass: i === 0 ? 'forward' : 'backward' });
      costSec += prices.collectiveSec(layer, kind, t);
    });
  };
  layer.tensors.forEach((tensor, t) => {
    const crossing = crossings.of[c][t];
    const between = crossing < 0 ? REPLICATED : passed[crossing];
    betweenSpecs.push(between);
    const maker = tensor.producer >= 0 ? chosen[tensor.producer] : null;
    const made = maker === null ? between : maker.outputSpecs[tensor.producerSlot];
    const state = states[t];
    if (state === null) {
      const reader = tensor.consumers[0];
      specs.push(reader ? chosen[reader.block].inputSpecs[reader.slot] : REPLICATED);
      madeSpecs.push(specs[t]);
      return;
    }
    specs.push(state.spec);
    madeSpecs.push(maker?.partial ? state.spec : made);
    note(t, makeSteps(tensor, made, maker?.partial ?? false, state, prices.trains));
    if (tensor.leaves) note(t, readSteps(tensor, state, between, false, prices.trains));
    for (const { block, slot } of tensor.consumers) {
      const reader = chosen[block];
      note(t, readSteps(tensor, state, reader.inputSpecs[slot], reader.gradientPartial[slot], prices.trains));
    }
  });
  const boundary = boundaryOf(layer, betweenSpecs);
  return { layer, degree, boundary, options: chosen, specs, madeSpecs, betweenSpecs, collectives, costSec };
}

/** How the largest activations that enter and leave are split. */
function boundaryOf(layer: Layer, between: readonly Spec[]): Boundary {
  const elements: Record<Boundary, number> = { replicated: 0, sequence: 0, feature: 0 };
  layer.tensors.forEach((tensor, t) => {
    if (!crosses(tensor) || !tensor.perSample) return;
    const { shards } = between[t];
    const how = shards === 1 ? 'replicated' : splitsSequence(tensor, between[t]) ? 'sequence' : 'feature';
    elements[how] += tensor.elements;
  });
  if (elements.sequence > 0 && elements.sequence >= elements.feature) return 'sequence';
  return elements.feature > elements.replicated ? 'feature' : 'replicated';
}
