/**
 * What the ranks of a split model run: one list of nodes for all of them (every rank runs the same operators on its own
 * slices of the weights), with the collectives that stand between. Values are known by name.
 */
import type { DType, NodeProto, TensorProto } from '../../model/index.js';
import type { ValueType } from '../../ops/types.js';

/**
 * How a dimension lies on `tp` ranks: it is `blocks` equal runs, each cut into tp equal parts; rank r holds the r-th part of
 * every run. A fused [q | k | v] dimension has 3 blocks.
 */
export interface Sharding {
  readonly axis: number;
  readonly blocks: number;
}

/** What rank 0's, rank 1's ... copy of an initializer is made of. */
export type WeightSource =
  /** All of a tensor of the model, or one shard of it. */
  | { readonly kind: 'tensor'; readonly tensor: TensorProto; readonly sharding: Sharding | null }
  /** The tensor on rank 0, zeros elsewhere: a bias added to partial sums must count once. */
  | { readonly kind: 'firstRank'; readonly tensor: TensorProto }
  /** Small integers that we made, one list per rank; `dims` [] is a scalar. */
  | {
      readonly kind: 'integers';
      readonly dtype: DType.INT64 | DType.INT32;
      readonly perRank: readonly (readonly number[])[];
      readonly dims: readonly number[];
    };

export type CollectiveKind = 'allReduce' | 'allGather';

/** Turns values that differ between the ranks of a stage into one that all of them hold. */
export interface Collective {
  readonly kind: CollectiveKind;
  /** Each rank's part: a partial sum, or a shard. */
  readonly from: string;
  /** The whole. */
  readonly to: string;
  /** For allGather: along `axis` each rank has runs of `part` elements; the whole has, run by run, those of all ranks. */
  readonly joined: { readonly axis: number; readonly part: number } | null;
  readonly stage: number;
}

export interface ProgramNode {
  readonly proto: NodeProto;
  /** Names read, captures included. */
  readonly reads: readonly string[];
  readonly stage: number;
  /** Made of weights or sizes alone: runs where it is first needed, so that it crosses no border. */
  readonly runsLate: boolean;
}

export interface Program {
  readonly stages: number;
  readonly tp: number;
  /** Producers before consumers. */
  readonly nodes: readonly ProgramNode[];
  readonly weights: ReadonlyMap<string, WeightSource>;
  readonly collectives: readonly Collective[];
  /** Names that all ranks of the first stages read from the caller, as in the model. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Type of each value that may cross between sub-models; a shard's type is the shard's. */
  type(name: string): ValueType | null;
}
