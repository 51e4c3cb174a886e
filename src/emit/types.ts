/** What a target of `partition emit` is given and what it gives back. */
import type { Cluster } from '../cluster/types.js';
import type { Graph, Segmentation } from '../graph/types.js';
import type { ModelProto } from '../model/types.js';
import type { Plan } from '../plan/types.js';
import type { ChakraFile } from '../simulate/chakra.js';

/** A model beside its plan: as written and as analysed. */
export interface EmitModel {
  readonly proto: ModelProto;
  readonly graph: Graph;
  readonly segmentation: Segmentation;
}

export interface EmitInput {
  readonly plan: Plan;
  /** Null where it was not found; then its sizes are asked for by the files. */
  readonly model: EmitModel | null;
  /** Where the plan was made; null where its file was not found. */
  readonly cluster: Cluster | null;
  /** Execution traces of the plan's step; null without model or cluster. */
  readonly traces: (() => Iterable<ChakraFile>) | null;
}

export interface EmittedFile {
  /** Inside the output folder, without a path. */
  readonly name: string;
  /** What stands in it, or a function that writes it under the path it is given. */
  readonly content: string | Uint8Array | ((path: string) => void);
  readonly executable?: boolean;
}

/** Something that the plan asks and the files of a target do not say. */
export interface NotExpressed {
  /** What the plan asks, in its words: `schedule zb-h1`. */
  readonly asked: string;
  /** What the files do instead, and what has to be done by hand. */
  readonly instead: string;
  /** True when the tool would refuse these files, or run another job than the plan's. */
  readonly blocks: boolean;
}

export interface Emitted {
  readonly files: Iterable<EmittedFile>;
  readonly notExpressed: readonly NotExpressed[];
}

/** A tool that a plan can be handed to. */
export interface EmitTarget {
  readonly name: string;
  /** The tool and the version whose options are written: `Megatron-LM, core 0.20.0 (d98e8a64dd)`. */
  readonly toolVersion: string;
  /** The files, in a few words. */
  readonly about: string;
  /** Without these it throws; the rest is optional. */
  readonly needs: readonly ('model' | 'cluster')[];
  /**
   * Pure: the same input gives the same files.
   *
   * @throws PartitionError usage when the plan has nothing that the target could say
   */
  emit(input: EmitInput): Emitted;
}
