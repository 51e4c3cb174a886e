/**
 * The book of strategies: for every way to divide the devices, the best way to split each layer class and what it then
 * costs. Strategies are solved once per set of degrees (at a microbatch of one); their costs once per microbatch.
 */
import type { Cluster } from '../cluster/index.js';
import type { StackProfile } from '../cost/stack.js';
import type { ClassCollective } from '../cost/traffic.js';
import { KERNEL_KINDS, RECOMPUTE_KINDS, TP_KINDS } from '../cost/types.js';
import type { ClassCosts, CostProvider, Phase, Precision, ShardDegrees, ShardKey } from '../cost/types.js';
import type { Graph, Segmentation } from '../graph/index.js';
import { AXIS_SEQUENCE } from '../graph/index.js';
import { contextHeads } from './context.js';
import type { Crossings } from './crossings.js';
import { findCrossings } from './crossings.js';
import type { ExpertTraffic } from './experts.js';
import { expertTraffic } from './experts.js';
import { KernelClock } from './kernels.js';
import type { GraphFacts, Layer } from './layer.js';
import { extractLayer, graphFacts, growsWithBatch, markAxes } from './layer.js';
import { blockOptions } from './options.js';
import { priceLayer } from './price.js';
import { refineFactors } from './refine.js';
import type { RankScale } from './scale.js';
import type { LayerStrategy } from './solve.js';
import type { Passing, SequenceParallel, ShardingChoices } from './sharder.js';
import { Sharder } from './sharder.js';
import { OverhearingClock } from './traffic.js';

export interface BookOptions {
  readonly stack: StackProfile;
  readonly phase: Phase;
  readonly precision: Precision;
  /** Default: `auto`. */
  readonly sequenceParallel?: SequenceParallel | undefined;
  /** Default: `any`. */
  readonly passing?: Passing | undefined;
}

/** Tensor-parallel degrees beyond this are not offered: no published run goes further, and heads rarely divide. */
const MAX_TP = 64;

const USUAL_ONLY: readonly number[] = [0];

export const FLOAT_BYTES: Readonly<Record<Precision, number>> = {
  fp32: 4,
  tf32: 4,
  fp16: 2,
  bf16: 2,
  fp8: 2,
  fp4: 2,
};

/** What a strategy depends on: the key without its microbatch. */
function shardingId({ tp, cp, ep, etp, deviceGroup }: ShardKey): string {
  return `${tp}/${cp}/${ep}/${etp}/${deviceGroup}`;
}

export class StrategyBook implements CostProvider {
  private readonly facts: GraphFacts;
  private readonly layers: readonly Layer[];
  private readonly crossings: Crossings;
  private readonly traffic: readonly ExpertTraffic[];
  private readonly strategyCache = new Map<string, readonly LayerStrategy[]>();
  private readonly choiceCache = new Map<string, ShardingChoices>();
  private readonly leannessCache = new Map<string, readonly number[]>();
  private readonly costCache = new Map<string, ClassCosts>();
  private readonly clocks = new Map<string, KernelClock>();

  constructor(
    readonly graph: Graph,
    readonly segmentation: Segmentation,
    readonly cluster: Cluster,
    readonly options: BookOptions,
    /** A book of the same graph whose layers, and with `keepsStrategies` whose splits, are taken over. */
    private readonly from: { readonly book: StrategyBook; readonly keepsStrategies: boolean } | null = null,
  ) {
    if (from !== null) {
      this.facts = from.book.facts;
      this.layers = from.book.layers;
      this.traffic = from.book.traffic;
      this.crossings =
        segmentation === from.book.segmentation
          ? from.book.crossings
          : findCrossings(segmentation, this.layers);
      return;
    }
    this.facts = graphFacts(graph, segmentation);
    this.layers = Array.from({ length: segmentation.classCount }, (_, c) => {
      const layer = extractLayer(graph, segmentation, this.facts, c);
      refineFactors(layer);
      markAxes(layer);
      return layer;
    });
    this.traffic = this.layers.map(expertTraffic);
    this.crossings = findCrossings(segmentation, this.layers);
  }

  /**
   * A book of the same model on another cluster or under other options; strategies are solved anew.
   *
   * @param segmentation another chain of the same classes
   */
  on(cluster: Cluster, options: BookOptions, segmentation = this.segmentation): StrategyBook {
    return new StrategyBook(this.graph, segmentation, cluster, options, {
      book: this,
      keepsStrategies: false,
    });
  }

  /** The strategies of this book, priced with other figures of the same hardware or software: for fits and what-ifs. */
  repriced(cluster: Cluster, stack: StackProfile): StrategyBook {
    const options = { ...this.options, stack };
    return new StrategyBook(this.graph, this.segmentation, cluster, options, {
      book: this,
      keepsStrategies: true,
    });
  }

  /** Layer classes with their refined factors, for descriptions of a strategy. */
  get layerClasses(): readonly Layer[] {
    return this.layers;
  }

  /**
   * FLOP of one sequence, forward and backward: blocks whose work grows with the batch. What is computed once for all
   * sequences (masks, rotary tables) is no work of any of them.
   */
  workPerSequence(): { forward: number; backward: number } {
    let forward = 0;
    let backward = 0;
    for (const block of this.segmentation.blocks) {
      if (!growsWithBatch(block, this.facts)) continue;
      forward += block.flop;
      backward += block.gradInputFlop + block.gradWeightFlop;
    }
    // An empty batch does no work.
    const referenceBatch = Math.max(1, this.graph.referenceBatch);
    return { forward: forward / referenceBatch, backward: backward / referenceBatch };
  }

  /** Largest number of experts any layer looks up; 1 when there are none. */
  get experts(): number {
    return this.traffic.reduce((most, t) => Math.max(most, t.experts), 1);
  }

  /** Attention heads that an all-to-all context exchange may deal out; 1 when there are none. */
  get contextHeads(): number {
    return contextHeads(this.layers);
  }

  /** True when a sequence axis was found, so that context and sequence parallelism have something to split. */
  get hasSequence(): boolean {
    return this.layers.some((l) => l.blocks.some((b) => b.axes.includes(AXIS_SEQUENCE)));
  }

  /** Degrees (up to `limit`) at which the largest weights are really split in that many parts. */
  tpChoices(limit: number): number[] {
    const choices = [1];
    for (let tp = 2; tp <= Math.min(limit, MAX_TP); tp++) if (this.splitsWeights(tp)) choices.push(tp);
    return choices;
  }

  /** True when more than half of the parameters are divided in `tp`. */
  splitsWeights(tp: number): boolean {
    let split = 0;
    let total = 0;
    this.layers.forEach((layer, c) => {
      const size = this.segmentation.classSize[c];
      const options = blockOptions(layer, tp, tp);
      for (const tensor of layer.tensors) {
        if (!tensor.isParameter) continue;
        total += size * tensor.elements;
        const isSplit = tensor.consumers.some(({ block, slot }) =>
          options[block].some((o) => o.inputSpecs[slot].shards === tp),
        );
        if (isSplit) split += size * tensor.elements;
      }
    });
    return split > total / 2;
  }

  /** The chosen strategy of every class. */
  strategies(key: ShardKey): readonly LayerStrategy[] {
    if (this.from?.keepsStrategies === true) {
      // Devices that came to differ since are split as those that they were like.
      const last = this.from.book.cluster.groups.length - 1;
      return this.from.book.strategies({ ...key, deviceGroup: Math.min(key.deviceGroup, last) });
    }
    const { leanness = 0 } = key;
    if (leanness !== 0) {
      const { points, usual } = this.shardings(key);
      // Where device groups differ, some have fewer to choose from.
      return points[Math.max(0, Math.min(usual + leanness, points.length - 1))].strategies;
    }
    const id = shardingId(key);
    let found = this.strategyCache.get(id);
    if (!found) {
      found = this.sharder(key).usual().strategies;
      this.strategyCache.set(id, found);
    }
    return found;
  }

  /** What `leanness` chooses from, counted from the usual sharding. */
  shardings(key: ShardKey): ShardingChoices {
    const id = shardingId(key);
    let found = this.choiceCache.get(id);
    if (!found) {
      const sharder = this.sharder(key);
      found = sharder.choices();
      this.choiceCache.set(id, found);
    }
    return found;
  }

  leannesses({ tp, cp, ep, etp }: ShardDegrees): readonly number[] {
    if (this.from?.keepsStrategies === true) return this.from.book.leannesses({ tp, cp, ep, etp });
    if (tp === 1) return USUAL_ONLY;
    const id = `${tp}/${cp}/${ep}/${etp}`;
    let found = this.leannessCache.get(id);
    if (!found) {
      let least = 0;
      let most = 0;
      this.cluster.groups.forEach((_, deviceGroup) => {
        const { points, usual } = this.shardings({
          ...{ tp, cp, ep, etp, deviceGroup, microbatch: 1, contextExchange: 'ring' },
        });
        least = Math.min(least, -usual);
        most = Math.max(most, points.length - 1 - usual);
      });
      found = Array.from({ length: most - least + 1 }, (_, i) => least + i);
      this.leannessCache.set(id, found);
    }
    return found;
  }

  costs(key: ShardKey): ClassCosts {
    const id = `${shardingId(key)}/${key.microbatch}/${key.contextExchange}/${key.leanness ?? 0}`;
    let found = this.costCache.get(id);
    if (!found) {
      found = this.price(key);
      this.costCache.set(id, found);
    }
    return found;
  }

  /** The collectives that the costs of every class are made of, one by one. */
  collectives(key: ShardKey): readonly (readonly ClassCollective[])[] {
    const { precision, stack, phase } = this.options;
    const clock = new OverhearingClock(this.cluster, key, precision, stack);
    const found: ClassCollective[][] = [];
    this.price(key, clock, (strategy) => found.push(clock.collectives(strategy, key.cp, phase === 'train')));
    return found;
  }

  private scale(key: ShardKey): RankScale {
    return {
      batch: key.microbatch / this.graph.referenceBatch,
      cp: key.cp,
      floatBytes: FLOAT_BYTES[this.options.precision],
    };
  }

  /** Clocks do not depend on the microbatch. */
  private clock(key: ShardKey): KernelClock {
    const id = shardingId(key);
    let clock = this.clocks.get(id);
    if (!clock) {
      clock = new KernelClock(this.cluster, key, this.options.precision, this.options.stack);
      this.clocks.set(id, clock);
    }
    return clock;
  }

  /** What chooses the shardings at these degrees. */
  sharder(key: ShardKey): Sharder {
    const unit: ShardKey = { ...key, microbatch: 1 };
    return new Sharder({
      layers: this.layers,
      repeats: this.segmentation.classSize,
      crossings: this.crossings,
      tp: key.tp,
      etp: key.etp,
      clock: this.clock(unit),
      scale: this.scale(unit),
      trains: this.options.phase === 'train',
      wanted: this.options.sequenceParallel ?? 'auto',
      passing: this.options.passing ?? 'any',
      maySplitSequence: key.tp > 1 && this.graph.sequenceLength % (key.tp * key.cp) === 0 && this.hasSequence,
    });
  }

  private price(
    key: ShardKey,
    clock: KernelClock = this.clock(key),
    priced?: (strategy: LayerStrategy) => void,
  ): ClassCosts {
    const { classCount, segmentCount, cutElements } = this.segmentation;
    const column = (): Float64Array => new Float64Array(classCount);
    const perPolicy = (): Float64Array[] => Array.from({ length: RECOMPUTE_KINDS }, column);
    const costs: ClassCosts = {
      key,
      tpLeavesDomain: key.tp > this.cluster.groups[key.deviceGroup].levels[0].size,
      forwardSec: column(),
      backwardInputSec: column(),
      backwardWeightSec: column(),
      kernelSec: KERNEL_KINDS.map(column),
      matrixSec: column(),
      tpForwardSec: column(),
      tpBackwardSec: column(),
      tpKindSec: TP_KINDS.map(column),
      cpForwardSec: column(),
      cpBackwardSec: column(),
      epForwardSec: column(),
      epBackwardSec: column(),
      recomputeSec: perPolicy(),
      savedBytes: perPolicy(),
      transientBytes: perPolicy(),
      denseParameters: column(),
      expertParameters: column(),
      cacheBytes: column(),
      forwardFlop: column(),
      backwardFlop: column(),
      memoryTrafficBytes: column(),
      networkBytes: column(),
      cutBytes: new Float64Array(segmentCount + 1),
    };
    const scale = this.scale(key);
    const strategies = this.strategies(key);
    strategies.forEach((strategy, c) => {
      priceLayer(costs, strategy, this.traffic[c], key, scale, clock, this.options.phase);
      priced?.(strategy);
    });
    // A replicated tensor is sent in tp parts and gathered behind the cut (Megatron and DeepSpeed both do).
    const split = key.tp;
    for (let s = 0; s <= segmentCount; s++) {
      costs.cutBytes[s] = ((cutElements[s] ?? 0) * scale.batch * scale.floatBytes) / (key.cp * split);
    }
    return costs;
  }
}
