/** The terms that a step is taken apart into: seconds, bytes, joules. Keys as in JSON, words as on screen. */
import type { KernelKind } from '../cost/types.js';
import type { MemoryBreakdown } from '../plan/types.js';

/** Groups of time terms, as tables show them. */
export type TermGroup = 'compute' | 'communication' | 'other';

export type TimeKey =
  | KernelKind
  | 'recompute'
  | 'tpAllReduce'
  | 'tpAllGather'
  | 'tpReduceScatter'
  | 'tpAllToAll'
  | 'cpExchange'
  | 'epAllToAll'
  | 'parameterGather'
  | 'gradientReduction'
  | 'tiedSum'
  | 'stageTransfer'
  | 'optimizer'
  | 'hostOverhead'
  | 'bubble';

export interface TermName<Key> {
  readonly key: Key;
  readonly label: string;
}

/** Every term of a step, in the order in which it is told. */
export const TIME_TERMS: readonly (TermName<TimeKey> & { readonly group: TermGroup })[] = [
  { key: 'gemm', group: 'compute', label: 'matrix products' },
  { key: 'groupedGemm', group: 'compute', label: 'expert matrix products' },
  { key: 'attention', group: 'compute', label: 'attention' },
  { key: 'conv', group: 'compute', label: 'convolutions' },
  { key: 'pointwise', group: 'compute', label: 'memory-bound kernels' },
  { key: 'lookup', group: 'compute', label: 'table look-ups' },
  { key: 'loss', group: 'compute', label: 'loss' },
  { key: 'other', group: 'compute', label: 'other kernels' },
  { key: 'launch', group: 'other', label: 'waiting for kernel launches' },
  { key: 'recompute', group: 'compute', label: 'recompute' },
  { key: 'tpAllReduce', group: 'communication', label: 'tensor-parallel all-reduces' },
  { key: 'tpAllGather', group: 'communication', label: 'tensor-parallel all-gathers' },
  { key: 'tpReduceScatter', group: 'communication', label: 'tensor-parallel reduce-scatters' },
  { key: 'tpAllToAll', group: 'communication', label: 'tensor-parallel all-to-alls' },
  { key: 'cpExchange', group: 'communication', label: 'context-parallel exchange' },
  { key: 'epAllToAll', group: 'communication', label: 'expert all-to-alls' },
  { key: 'parameterGather', group: 'communication', label: 'ZeRO parameter gathers' },
  { key: 'gradientReduction', group: 'communication', label: 'gradient reductions' },
  { key: 'tiedSum', group: 'communication', label: 'sums of tied gradients' },
  { key: 'stageTransfer', group: 'communication', label: 'transfers between stages' },
  { key: 'optimizer', group: 'other', label: 'optimizer' },
  { key: 'hostOverhead', group: 'other', label: 'host overhead' },
  { key: 'bubble', group: 'other', label: 'bubble and waiting' },
];

export type MemoryKey = Exclude<keyof MemoryBreakdown, 'totalBytes'>;

export const MEMORY_TERMS: readonly TermName<MemoryKey>[] = [
  { key: 'parameterBytes', label: 'parameters' },
  { key: 'gradientBytes', label: 'gradients' },
  { key: 'optimizerBytes', label: 'optimizer' },
  { key: 'activationBytes', label: 'activations' },
  { key: 'transientBytes', label: 'transient' },
  { key: 'cacheBytes', label: 'kv cache' },
  { key: 'reservedBytes', label: 'reserved' },
];

/** Joules of a step of the whole job; the parts add up to `totalJoule`. */
export interface EnergySplit {
  /** Of the devices, by what they are busy with. */
  readonly matrixJoule: number;
  readonly memoryJoule: number;
  readonly networkJoule: number;
  readonly idleJoule: number;
  /** Processors, memory and switches inside hosts; their fans; what power supplies lose. */
  readonly hostJoule: number;
  readonly coolingJoule: number;
  readonly supplyJoule: number;
  /** Switches between hosts. */
  readonly switchJoule: number;
  /** The site's surcharge on all of it (PUE). */
  readonly siteJoule: number;
  readonly totalJoule: number;
}

export const ENERGY_TERMS: readonly TermName<Exclude<keyof EnergySplit, 'totalJoule'>>[] = [
  { key: 'matrixJoule', label: 'devices: matrix units' },
  { key: 'memoryJoule', label: 'devices: memory' },
  { key: 'networkJoule', label: 'devices: collectives' },
  { key: 'idleJoule', label: 'devices: waiting' },
  { key: 'hostJoule', label: 'hosts' },
  { key: 'coolingJoule', label: 'fans' },
  { key: 'supplyJoule', label: 'power supplies' },
  { key: 'switchJoule', label: 'network switches' },
  { key: 'siteJoule', label: 'site (PUE)' },
];
