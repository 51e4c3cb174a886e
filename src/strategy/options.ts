/**
 * Ways to spread one block over the tensor-parallel axis, read off its factors alone: replicate it, split one factor, or
 * fill one factor and go on in the next (8 key-value heads over 16 ranks: heads whole, then groups in two).
 *
 * The axis exists to split weights: a block that multiplies by a large weight may only split a factor that indexes that
 * weight. Blocks without large weights may split anything but the batch, the sequence included (sequence parallelism).
 */
import { AXIS_BATCH, AXIS_SEQUENCE } from '../graph/index.js';
import type { Layer, LayerBlock } from './layer.js';
import type { Spec } from './spec.js';
import { REPLICATED, specOf } from './spec.js';

export interface BlockOption {
  /** Parts per factor. */
  readonly shards: Int32Array;
  /** Ranks that do different work: t, or less when part of the axis is replicated. */
  readonly ways: number;
  /** Share of the block's work that one rank does; above 1/ways when padding is needed. */
  readonly workShare: number;
  readonly inputSpecs: readonly Spec[];
  readonly outputSpecs: readonly Spec[];
  /** Outputs hold partial sums. */
  readonly partial: boolean;
  /** Per input: the gradient that comes out of the block is a partial sum. */
  readonly gradientPartial: readonly boolean[];
  /** A split factor carries row statistics: rows of every output need a small all-reduce. */
  readonly splitsStatistics: boolean;
  /** Short name for people: `column`, `row`, `heads`... as the factor's role reads, e.g. `f2/8`. */
  readonly label: string;
}

/** A parameter below this share of its layer's parameters may stay whole. */
const LARGE_PARAMETER_SHARE = 1 / 64;
/** A vocabulary may be padded where that costs at most this share (50257 over 4). */
const MAX_PADDING = 1 / 64;

/** Options of every block for a tensor-parallel degree; each list has at least one entry. */
export function blockOptions(layer: Layer, degree: number, expertDegree: number): BlockOption[][] {
  const largest = largestWeight(layer);
  return layer.blocks.map((block) =>
    optionsOf(layer, block, degree, expertDegree, largest * LARGE_PARAMETER_SHARE),
  );
}

/** Elements of the layer's largest weight; stacked experts count one by one. */
function largestWeight(layer: Layer): number {
  return layer.tensors.reduce((most, tensor) => {
    if (!tensor.isParameter) return most;
    const experts = tensor.consumers.reduce((count, { block }) => {
      const f = expertFactor(layer.blocks[block]);
      return f < 0 ? count : Math.max(count, layer.blocks[block].sizes[f]);
    }, 1);
    return Math.max(most, tensor.elements / experts);
  }, 0);
}

function optionsOf(
  layer: Layer,
  block: LayerBlock,
  degree: number,
  expertDegree: number,
  largeElements: number,
): BlockOption[] {
  const whole = new Int32Array(block.sizes.length).fill(1);
  const replicated = makeOption(block, whole);
  if (degree === 1) return [replicated];
  const weightSlots = block.inputs.flatMap((t, slot) => {
    const tensor = layer.tensors[t];
    return tensor.isParameter && tensor.elements >= largeElements && tensor.elements > 1 ? [slot] : [];
  });
  const isExpert = isExpertBlock(block);
  const experts = expertFactor(block);
  const splitWays = isExpert ? expertDegree : degree;
  const found: BlockOption[] = [];
  const seen = new Set<string>();
  const offer = (shards: Int32Array): void => {
    const key = shards.join(',');
    if (seen.has(key)) return;
    seen.add(key);
    found.push(makeOption(block, shards));
  };

  for (let f = 0; f < block.sizes.length; f++) {
    if (!maySplit(block, f)) continue;
    const splitsWeight = weightSlots.some((slot) => indexes(block, slot, f));
    if (f === experts) continue; // experts are the expert axis's business
    if (isExpert && splitWays === 1) {
      // Experts whole on a rank: the tensor axis can only share out their tokens.
      if (!splitsWeight && divides(block.sizes[f], degree)) offer(single(whole, f, degree));
      continue;
    }
    if (weightSlots.length > 0 && !splitsWeight) continue;
    for (const shards of factorSplits(block, f, splitWays, whole, isVocabulary(layer, block, f)))
      offer(shards);
  }
  if (found.length === 0) return [replicated];
  // A large weight is split wherever it can be; everything else may also be repeated on each rank.
  const fullSplit = found.some((o) => o.ways === splitWays);
  return weightSlots.length > 0 && fullSplit
    ? found.filter((o) => o.ways === splitWays)
    : [replicated, ...found];
}

/** Weights chosen by index and multiplied. */
export function isExpertBlock(block: LayerBlock): boolean {
  return block.source.kind === 'groupedGemm';
}

/** The expert axis of such a block: the factor that indexes the stacked weights and nothing else; -1 elsewhere. */
export function expertFactor(block: LayerBlock): number {
  if (!isExpertBlock(block)) return -1;
  const slots = block.inputDims.map((_, slot) => slot);
  return block.sizes.findIndex(
    (_, f) =>
      slots.filter((slot) => indexes(block, slot, f)).length === 1 &&
      !block.outputDims.some((dims) => dims?.some((d) => d.includes(f))),
  );
}

function maySplit(block: LayerBlock, f: number): boolean {
  return block.kinds[f] !== 'whole' && block.axes[f] !== AXIS_BATCH && block.sizes[f] > 1;
}

function indexes(block: LayerBlock, slot: number, f: number): boolean {
  return block.inputDims[slot]?.some((dims) => dims.includes(f)) ?? false;
}

function divides(size: number, ways: number): boolean {
  return size % ways === 0;
}

function single(whole: Int32Array, f: number, ways: number): Int32Array {
  const shards = Int32Array.from(whole);
  shards[f] = ways;
  return shards;
}

/** A table's rows, or an axis of the model's outputs that a weight makes: classes, which may be padded with empty ones. */
function isVocabulary(layer: Layer, block: LayerBlock, f: number): boolean {
  if (block.kinds[f] === 'lookup') return true;
  if (block.axes[f] === AXIS_SEQUENCE) return false;
  const touches = (ids: readonly number[], dims: readonly (number[][] | null)[]): boolean =>
    ids.some((t, slot) => layer.tensors[t].isOutput && (dims[slot]?.some((d) => d.includes(f)) ?? false));
  return touches(block.inputs, block.inputDims) || touches(block.outputs, block.outputDims);
}

/** Splits of factor f in `ways`: evenly, padded, partly (rest replicated), or continued in the next factor. */
function* factorSplits(
  block: LayerBlock,
  f: number,
  ways: number,
  whole: Int32Array,
  mayPad: boolean,
): Generator<Int32Array> {
  const size = block.sizes[f];
  if (divides(size, ways)) {
    yield single(whole, f, ways);
    return;
  }
  if (size < ways && ways % size === 0) {
    const rest = ways / size;
    for (const next of followers(block, f)) {
      if (!maySplit(block, next) || !divides(block.sizes[next], rest)) continue;
      const shards = single(whole, f, size);
      shards[next] = rest;
      yield shards;
    }
    yield single(whole, f, size);
    return;
  }
  const padded = Math.ceil(size / ways) * ways;
  if (mayPad && (padded - size) / size <= MAX_PADDING) yield single(whole, f, ways);
}

/** Factors that directly follow f (more minor) in some dimension. */
function followers(block: LayerBlock, f: number): Set<number> {
  const next = new Set<number>();
  for (const dims of [...block.inputDims, ...block.outputDims]) {
    dims?.forEach((factors) => {
      const at = factors.indexOf(f);
      if (at >= 0 && at + 1 < factors.length) next.add(factors[at + 1]);
    });
  }
  return next;
}

function makeOption(block: LayerBlock, shards: Int32Array): BlockOption {
  let ways = 1;
  let workShare = 1;
  let partial = false;
  let splitsStatistics = false;
  const labels: string[] = [];
  const split: number[] = [];
  for (let f = 0; f < shards.length; f++) {
    const parts = shards[f];
    if (parts === 1) continue;
    split.push(f);
    ways *= parts;
    workShare *= Math.ceil(block.sizes[f] / parts) / block.sizes[f];
    if (block.kinds[f] === 'contraction' || block.kinds[f] === 'lookup') partial = true;
    if (block.kinds[f] === 'normalized') splitsStatistics = true;
    labels.push(`${factorRole(block, f)}/${parts}`);
  }
  const spec = (dims: number[][] | null): Spec =>
    dims === null ? REPLICATED : specOf(dims, block.sizes, shards);
  return {
    shards,
    ways,
    workShare,
    inputSpecs: block.inputDims.map(spec),
    outputSpecs: block.outputDims.map(spec),
    partial,
    gradientPartial: block.inputDims.map((_, slot) => split.some((f) => !indexes(block, slot, f))),
    splitsStatistics,
    label: labels.length === 0 ? 'replicated' : labels.join('*'),
  };
}

/** What a factor is to its block, in the field's words. */
function factorRole(block: LayerBlock, f: number): string {
  const kind = block.kinds[f];
  if (block.axes[f] === AXIS_SEQUENCE) return 'sequence';
  if (kind === 'contraction') return 'row';
  if (kind === 'lookup') return 'table';
  if (kind === 'normalized') return 'normalized';
  if (block.source.kind === 'attention') return 'heads';
  const inWeight = block.inputs.some(
    (_, slot) => indexes(block, slot, f) && block.inputDims[slot]!.length >= 2,
  );
  return (block.source.kind === 'gemm' || block.source.kind === 'conv' || isExpertBlock(block)) && inWeight
    ? 'column'
    : 'feature';
}
