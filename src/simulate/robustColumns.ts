/** What robust prices take a plan's stages apart into: columns of seconds and shares, kernels by what bounds them, levels of traffic. */
import { KERNEL_KINDS } from '../cost/types.js';
import type { KernelKind } from '../cost/types.js';
import type { Segmentation } from '../graph/types.js';
import type { Span } from './layout.js';
import type { TableView } from './table.js';

/** Columns per virtual stage: nominal seconds of one microbatch, and shares. */
export const STAGE_COLUMNS = [
  'forward',
  'backward',
  'weight',
  'forwardTraffic',
  'backwardTraffic',
  'matrixShare',
  'memoryShare',
  'hostShare',
  'tpShare',
  'cpShare',
  'epShare',
  'transfer',
  'gather',
  'reduce',
] as const;
/** Columns per pipeline rank: nominal seconds of one microbatch on all its stages; of the step the last three. */
export const RANK_COLUMNS = [
  'matrix',
  'memory',
  'host',
  'tp',
  'cp',
  'ep',
  'shards',
  'reduce',
  'gather',
  'optimizer',
] as const;
export type Columns<Name extends string> = Record<Name, Float64Array>;

export function columns<Name extends string>(names: readonly Name[], size: number): Columns<Name> {
  return Object.fromEntries(names.map((name) => [name, new Float64Array(size)])) as Columns<Name>;
}

/** Prefix sums over segments of kernel seconds: on the matrix units, waiting for the host, and all. */
export interface KernelMix {
  readonly matrixSec: Float64Array;
  readonly hostSec: Float64Array;
  readonly allSec: Float64Array;
}

const MATRIX_KINDS: readonly KernelKind[] = ['gemm', 'groupedGemm', 'attention', 'conv'];

/** Mixes of tables, remembered as long as the tables are. */
export class KernelMixes {
  private readonly known = new WeakMap<TableView, KernelMix>();

  constructor(private readonly segmentation: Segmentation) {}

  of(table: TableView): KernelMix {
    let mix = this.known.get(table);
    if (mix === undefined) {
      mix = {
        matrixSec: this.prefix(table, MATRIX_KINDS),
        hostSec: this.prefix(table, ['launch']),
        allSec: this.prefix(table, KERNEL_KINDS),
      };
      this.known.set(table, mix);
    }
    return mix;
  }

  private prefix({ costs }: TableView, kinds: readonly KernelKind[]): Float64Array {
    const { segmentCount, segmentClass } = this.segmentation;
    const found = kinds.map((kind) => costs.kernelSec[KERNEL_KINDS.indexOf(kind)]);
    const sums = new Float64Array(segmentCount + 1);
    for (let i = 0; i < segmentCount; i++)
      sums[i + 1] = sums[i] + found.reduce((sum, column) => sum + column[segmentClass[i]], 0);
    return sums;
  }
}

/** Ranks from the first to the last of a group. */
export function reach({ size, stride }: Span): number {
  return (size - 1) * stride + 1;
}

/** The network level that a group of so many neighbouring ranks crosses at the widest. */
export function outermost(levels: readonly { readonly size: number }[], ranks: number): number {
  let l = 0;
  while (l + 1 < levels.length && levels[l].size < ranks) l++;
  return l;
}
