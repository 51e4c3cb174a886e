/**
 * Chooses the shardings of a model at one set of degrees: the usual one, which is fast and splits tokens along the sequence
 * where that costs little, and the Pareto set of time against the memory that activations take until the backward pass.
 */
import type { Crossings } from './crossings.js';
import { keptBytes, keptShards, keptTensors } from './kept.js';
import type { KernelClock } from './kernels.js';
import type { Layer } from './layer.js';
import { blockOptions } from './options.js';
import type { BlockOption } from './options.js';
import type { Reshard } from './reshard.js';
import type { RankScale } from './scale.js';
import { tensorBytes } from './scale.js';
import type { LayerStrategy } from './solve.js';
import type { ModelProblem } from './solve.js';
import { solveModel } from './solve.js';

/**
 * Activations between tensor-parallel blocks are split along the sequence (Korthikanti et al. 2022), or held whole by
 * every rank; `auto` takes what is faster. A sequence that the degrees do not divide stays whole.
 */
export type SequenceParallel = boolean | 'auto';

/** How activations may be split between layers: along the sequence alone, or along features as well. */
export type Passing = 'sequence' | 'any';

/**
 * The sequence layout between layers is taken when it costs at most this much more than the replicated one: it keeps
 * 1/tp of the residual stream's activations, which a time-only choice does not see.
 */
const SEQUENCE_TOLERANCE = 1.1;

/** Share of the time that other layouts between layers than these two must save: few launchers have them ready. */
const UNUSUAL_GAIN = 0.02;

/**
 * Cost of a collective that a strategy had better not use, because it belongs to sequence parallelism: above any real one,
 * and still a number to add up where there is no other way.
 */
const NEVER_SEC = 1e6;

/** Prices of memory that are tried, the highest first: what all kept bytes together are worth, in the time of all layers. */
const MEMORY_PRICES = [4, 1, 0.25] as const;

/** What saves less than these shares of memory and of time is no choice of its own. */
const WORTH_BYTES = 0.03;
const WORTH_SEC = 0.003;

export interface SharderSetting {
  readonly layers: readonly Layer[];
  /** How often each layer class is repeated. */
  readonly repeats: ArrayLike<number>;
  readonly crossings: Crossings;
  readonly tp: number;
  readonly etp: number;
  readonly clock: KernelClock;
  readonly scale: RankScale;
  readonly trains: boolean;
  readonly wanted: SequenceParallel;
  /** See `BookOptions`. */
  readonly passing: Passing;
  /** The degrees divide the sequence. */
  readonly maySplitSequence: boolean;
}

/** One sharding of all layers, for one microbatch of one sequence on one rank. */
export interface ShardingPoint {
  /** Per layer class. */
  readonly strategies: readonly LayerStrategy[];
  /** Forward and backward, kernels and collectives, nothing overlapped. */
  readonly timeSec: number;
  /** Activations of all layers kept from forward to backward without recomputation. */
  readonly keptBytes: number;
}

/** Shardings to choose from. */
export interface ShardingChoices {
  readonly points: readonly ShardingPoint[];
  /** Index of the one that is planned with unless another is asked for. */
  readonly usual: number;
}

export class Sharder {
  private readonly solved = new Map<string, ShardingPoint>();
  /** Seconds that all solutions share: of options of every layer's blocks, and of collectives by tensor. */
  private readonly optionSec: readonly Map<BlockOption, number>[];
  private readonly reshardSec: readonly Map<Reshard, number>[][];
  private readonly kept: readonly Uint8Array[];
  private readonly options: ReturnType<typeof blockOptions>[];

  constructor(private readonly setting: SharderSetting) {
    this.kept = setting.layers.map(keptTensors);
    this.options = setting.layers.map((layer) => blockOptions(layer, setting.tp, setting.etp));
    this.optionSec = setting.layers.map(() => new Map<BlockOption, number>());
    this.reshardSec = setting.layers.map(({ tensors }) => tensors.map(() => new Map<Reshard, number>()));
  }

  /** What is planned with. */
  usual(): ShardingPoint {
    const { wanted, tp, maySplitSequence, passing } = this.setting;
    if (wanted !== 'auto' || tp === 1) return this.solve(wanted === true && maySplitSequence, false);
    const whole = this.solve(false, false);
    const split = maySplitSequence ? this.solve(true, false) : whole;
    const isSplit = maySplitSequence && split.timeSec < whole.timeSec * SEQUENCE_TOLERANCE;
    const usual = isSplit ? split : whole;
    if (passing === 'sequence') return usual;
    const unusual = this.solve(isSplit, true);
    return unusual.timeSec < usual.timeSec * (1 - UNUSUAL_GAIN) ? unusual : usual;
  }

  /**
   * The usual sharding among those of which none is both faster and leaner than another: faster ones that keep more before
   * it, leaner ones after it, each slower and leaner than the one before. The usual one may itself be beaten by a leaner one
   * that few launchers have ready.
   */
  choices(): ShardingChoices {
    const { wanted, tp, maySplitSequence, trains, passing } = this.setting;
    const usual = this.usual();
    if (wanted !== 'auto' || tp === 1 || !trains || usual.keptBytes === 0)
      return { points: [usual], usual: 0 };
    const anyLayout = passing === 'any';
    const perByte = usual.timeSec / usual.keptBytes;
    // Tokens whole between layers may save time, never memory.
    if (maySplitSequence) this.solve(false, anyLayout);
    this.solve(maySplitSequence, anyLayout);
    const [highest, ...others] = MEMORY_PRICES;
    const leanest = this.solve(maySplitSequence, anyLayout, highest * perByte);
    // At a lower price no less is kept.
    if (leanest.keptBytes < usual.keptBytes * (1 - WORTH_BYTES))
      for (const price of others) this.solve(maySplitSequence, anyLayout, price * perByte);
    const found = [...this.solved.values()].sort(
      (a, b) => a.timeSec - b.timeSec || a.keptBytes - b.keptBytes,
    );
    const faster: ShardingPoint[] = [];
    const leaner: ShardingPoint[] = [];
    let leastBytes = Infinity;
    for (const point of found) {
      if (point.keptBytes >= leastBytes * (1 - WORTH_BYTES)) continue;
      if (point.keptBytes < usual.keptBytes * (1 - WORTH_BYTES)) leaner.push(point);
      else if (point.timeSec < usual.timeSec * (1 - WORTH_SEC)) faster.push(point);
      else continue;
      leastBytes = point.keptBytes;
    }
    return { points: [...faster, usual, ...leaner], usual: faster.length };
  }

  private blockSec(layer: Layer, b: number, option: BlockOption): number {
    const known = this.optionSec[layer.classId];
    let sec = known.get(option);
    if (sec === undefined) {
      const { clock, scale, trains } = this.setting;
      const s = clock.blockSec(layer, layer.blocks[b], option, scale);
      sec = s.forward + s.statistics + (trains ? s.backwardInput + s.backwardWeight + s.statistics : 0);
      known.set(option, sec);
    }
    return sec;
  }

  private collectiveSec(layer: Layer, kind: Reshard, t: number): number {
    if (kind === 'none' || kind === 'slice') return 0;
    const { clock, scale, wanted } = this.setting;
    if (wanted === false && (kind === 'reduceScatter' || kind === 'allGather')) return NEVER_SEC;
    const known = this.reshardSec[layer.classId][t];
    let sec = known.get(kind);
    if (sec === undefined) {
      sec = clock.tensorParallelSec(kind, tensorBytes(layer.tensors[t], scale));
      known.set(kind, sec);
    }
    return sec;
  }

  private solve(alongSequence: boolean, alongFeatures: boolean, secPerByte = 0): ShardingPoint {
    const id = `${alongSequence}/${alongFeatures}/${secPerByte}`;
    let point = this.solved.get(id);
    if (point === undefined) {
      point = this.solveAnew(alongSequence, alongFeatures, secPerByte);
      this.solved.set(id, point);
    }
    return point;
  }

  private solveAnew(alongSequence: boolean, alongFeatures: boolean, secPerByte: number): ShardingPoint {
    const { repeats, clock, scale } = this.setting;
    const { gatheredInputs } = clock.stack;
    const strategies = solveModel(this.problem(alongSequence, alongFeatures, secPerByte));
    const sum = (value: (strategy: LayerStrategy, c: number) => number): number =>
      strategies.reduce((total, strategy, c) => total + repeats[c] * value(strategy, c), 0);
    return {
      strategies,
      timeSec: sum(({ costSec }) => costSec),
      keptBytes: sum((strategy, c) => keptBytes(strategy, this.kept[c], scale, gatheredInputs)),
    };
  }

  /** @param secPerByte what a byte kept for the backward pass is worth */
  problem(alongSequence: boolean, alongFeatures: boolean, secPerByte = 0): ModelProblem {
    const { layers, repeats, crossings, tp, clock, scale, trains, passing } = this.setting;
    const { gatheredInputs } = clock.stack;
    return {
      layers,
      repeats,
      crossings,
      options: this.options,
      degree: tp,
      alongSequence,
      tokensAlongFeatures: alongFeatures,
      othersAlongFeatures: passing === 'any',
      prices: {
        trains,
        blockSec: (layer, b, option) => this.blockSec(layer, b, option),
        collectiveSec: (layer, kind, t) => this.collectiveSec(layer, kind, t),
        keptSec: (layer, t, made, read) =>
          secPerByte === 0 || this.kept[layer.classId][t] === 0
            ? 0
            : (secPerByte * tensorBytes(layer.tensors[t], scale)) / keptShards(made, read, gatheredInputs),
      },
    };
  }
}
