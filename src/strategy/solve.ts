/**
 * The best way to spread one layer over the tensor-parallel axis: a sharding problem whose nodes are the blocks (choice =
 * option) and the tensors between them (choice = layout in which the tensor is materialised once for all its readers, and
 * whether its gradient is still a partial sum there), solved exactly.
 *
 *     block --(make: reduce or gather; backward the converse)-- tensor --(read)-- block
 */
import { ShardProblemBuilder, solveByElimination } from '../shard/index.js';
import type { Layer, LayerTensor } from './layer.js';
import type { BlockOption } from './options.js';
import type { Reshard } from './reshard.js';
import { reshardKind } from './reshard.js';
import type { Spec } from './spec.js';
import { REPLICATED, makeSpec } from './spec.js';

/** Layout of the tensors that pass from layer to layer: on every rank whole, or split along the sequence. */
export type Boundary = 'replicated' | 'sequence';

/** A collective of the layer over the tensor-parallel axis. */
export interface LayerCollective {
  readonly tensor: number;
  readonly kind: Exclude<Reshard, 'none' | 'slice'>;
  readonly pass: 'forward' | 'backward';
}

export interface LayerStrategy {
  readonly layer: Layer;
  readonly degree: number;
  readonly boundary: Boundary;
  /** Chosen option per block. */
  readonly options: readonly BlockOption[];
  /** Layout in which each tensor is materialised for its readers, and in which its producer leaves it. */
  readonly specs: readonly Spec[];
  readonly madeSpecs: readonly Spec[];
  readonly collectives: readonly LayerCollective[];
  /** Objective: seconds of one microbatch, forward and backward. */
  readonly costSec: number;
}

/** Prices of one layer at one degree. */
export interface LayerPrices {
  /** Forward and backward seconds of a block under an option, statistics reductions included. */
  blockSec(block: number, option: BlockOption): number;
  /** Seconds of a collective on a tensor of the layer. */
  collectiveSec(kind: Reshard, tensor: number): number;
  /** False in inference: no gradients travel. */
  readonly trains: boolean;
}

/** A tensor's place in the problem: layouts it may be materialised in, each with or without a partial gradient. */
interface TensorNode {
  readonly node: number;
  readonly states: readonly { readonly spec: Spec; readonly gradientPartial: boolean }[];
}

/** Layout that a tensor has between layers. */
export function boundarySpec(tensor: LayerTensor, boundary: Boundary, degree: number): Spec {
  if (boundary === 'replicated' || tensor.sequenceDim < 0 || degree === 1) return REPLICATED;
  return makeSpec([{ dim: tensor.sequenceDim, prefix: tensor.sequencePrefix, shards: degree }]);
}

/** Solves one layer; `null` when no combination is legal (cannot happen while every block may be replicated). */
export function solveLayer(
  layer: Layer,
  options: readonly (readonly BlockOption[])[],
  degree: number,
  boundary: Boundary,
  prices: LayerPrices,
): LayerStrategy | null {
  const builder = new ShardProblemBuilder();
  const blockNodes = layer.blocks.map((_, b) =>
    builder.addNode(options[b].map((option) => prices.blockSec(b, option))),
  );
  const tensorNodes: (TensorNode | null)[] = layer.tensors.map((tensor, t) => {
    const states = tensorStates(layer, options, t, boundary, degree, prices.trains);
    if (states === null) return null;
    const between = boundarySpec(tensor, boundary, degree);
    const unary = states.map((s) => {
      let sec = 0;
      if (tensor.producer < 0) sec += makeSec(prices, tensor, t, between, false, s);
      if (tensor.leaves) sec += readSec(prices, tensor, t, s, between, false);
      return sec;
    });
    return { node: builder.addNode(unary), states };
  });
  layer.tensors.forEach((tensor, t) => {
    const place = tensorNodes[t];
    if (!place) return;
    if (tensor.producer >= 0) {
      const makers = options[tensor.producer];
      const matrix = new Float64Array(makers.length * place.states.length);
      makers.forEach((maker, i) =>
        place.states.forEach((state, j) => {
          const spec = maker.outputSpecs[tensor.producerSlot];
          matrix[i * place.states.length + j] = makeSec(prices, tensor, t, spec, maker.partial, state);
        }),
      );
      builder.addEdge(blockNodes[tensor.producer], place.node, matrix);
    }
    for (const { block, slot } of tensor.consumers) {
      const readers = options[block];
      const matrix = new Float64Array(place.states.length * readers.length);
      place.states.forEach((state, i) =>
        readers.forEach((reader, j) => {
          matrix[i * readers.length + j] = readSec(
            prices,
            tensor,
            t,
            state,
            reader.inputSpecs[slot],
            reader.gradientPartial[slot],
          );
        }),
      );
      builder.addEdge(place.node, blockNodes[block], matrix);
    }
  });
  const solution = solveByElimination(builder.build());
  if (solution.status !== 'optimal') return null;
  return readSolution(layer, options, degree, boundary, prices, tensorNodes, solution.choice, solution.cost);
}

/** Layouts worth materialising a tensor in: what its maker leaves, what its readers want, what passes between layers. */
function tensorStates(
  layer: Layer,
  options: readonly (readonly BlockOption[])[],
  t: number,
  boundary: Boundary,
  degree: number,
  trains: boolean,
): TensorNode['states'] | null {
  const tensor = layer.tensors[t];
  // Weights lie where their block wants them; masks and tables from outside are at hand everywhere.
  if (tensor.isParameter || tensor.isConstant) return null;
  if (tensor.producer < 0 && !tensor.carriesGradient) return null;
  if (tensor.consumers.length === 0 && !tensor.leaves) return null;
  const specs = new Map<string, Spec>([[REPLICATED.key, REPLICATED]]);
  const add = (spec: Spec): void => void specs.set(spec.key, spec);
  if (tensor.producer >= 0) for (const o of options[tensor.producer]) add(o.outputSpecs[tensor.producerSlot]);
  for (const c of tensor.consumers) for (const o of options[c.block]) add(o.inputSpecs[c.slot]);
  if (tensor.producer < 0 || tensor.leaves) add(boundarySpec(tensor, boundary, degree));
  const mayBePartial =
    trains &&
    tensor.carriesGradient &&
    tensor.consumers.some((c) => options[c.block].some((o) => o.gradientPartial[c.slot]));
  const states: { spec: Spec; gradientPartial: boolean }[] = [];
  for (const spec of specs.values()) {
    states.push({ spec, gradientPartial: false });
    if (mayBePartial) states.push({ spec, gradientPartial: true });
  }
  return states;
}

type State = TensorNode['states'][number];

/** From the maker's layout to the materialised one; its gradient goes the other way. */
function makeSteps(
  tensor: LayerTensor,
  made: Spec,
  partial: boolean,
  state: State,
  trains: boolean,
): [Reshard, Reshard] {
  const forward = reshardKind(made, partial, state.spec);
  if (!trains || !tensor.carriesGradient) return [forward, 'none'];
  return [forward, reshardKind(state.spec, state.gradientPartial, partial ? REPLICATED : made)];
}

/** From the materialised layout to what a reader wants; its gradient joins the tensor's. */
function readSteps(
  tensor: LayerTensor,
  state: State,
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

function makeSec(
  p: LayerPrices,
  tensor: LayerTensor,
  t: number,
  made: Spec,
  partial: boolean,
  state: State,
): number {
  const [forward, backward] = makeSteps(tensor, made, partial, state, p.trains);
  return p.collectiveSec(forward, t) + p.collectiveSec(backward, t);
}

function readSec(
  p: LayerPrices,
  tensor: LayerTensor,
  t: number,
  state: State,
  want: Spec,
  gradPartial: boolean,
): number {
  const [forward, backward] = readSteps(tensor, state, want, gradPartial, p.trains);
  return p.collectiveSec(forward, t) + p.collectiveSec(backward, t);
}

function readSolution(
  layer: Layer,
  options: readonly (readonly BlockOption[])[],
  degree: number,
  boundary: Boundary,
  prices: LayerPrices,
  tensorNodes: readonly (TensorNode | null)[],
  choice: Int32Array,
  costSec: number,
): LayerStrategy {
  const chosen = layer.blocks.map((_, b) => options[b][choice[b]]);
  const specs: Spec[] = [];
  const madeSpecs: Spec[] = [];
  const collectives: LayerCollective[] = [];
  const note = (t: number, steps: [Reshard, Reshard]): void => {
    steps.forEach((kind, i) => {
      if (kind !== 'none' && kind !== 'slice')
        collectives.push({ tensor: t, kind, pass: i === 0 ? 'forward' : 'backward' });
    });
  };
  layer.tensors.forEach((tensor, t) => {
    const place = tensorNodes[t];
    const between = boundarySpec(tensor, boundary, degree);
    const maker = tensor.producer >= 0 ? chosen[tensor.producer] : null;
    const made = maker === null ? between : maker.outputSpecs[tensor.producerSlot];
    if (!place) {
      const reader = tensor.consumers[0];
      specs.push(reader ? chosen[reader.block].inputSpecs[reader.slot] : REPLICATED);
      madeSpecs.push(specs[t]);
      return;
    }
    const state = place.states[choice[place.node]];
    specs.push(state.spec);
    madeSpecs.push(maker?.partial ? state.spec : made);
    note(t, makeSteps(tensor, made, maker?.partial ?? false, state, prices.trains));
    if (tensor.leaves) note(t, readSteps(tensor, state, between, false, prices.trains));
    for (const { block, slot } of tensor.consumers) {
      const reader = chosen[block];
      note(t, readSteps(tensor, state, reader.inputSpecs[slot], reader.gradientPartial[slot], prices.trains));
    }
  });
  return { layer, degree, boundary, options: chosen, specs, madeSpecs, collectives, costSec };
}
