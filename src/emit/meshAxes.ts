/**
 * The axes of a plan as one mesh whose every axis stands alone, for tools that know only such meshes. Expert axes re-use the
 * ranks of the dense ones, and a split into fewer parts than ranks leaves copies; both cut the dense axes into finer ones:
 *
 *     ranks of a stage    0 .. 7 | 8 .. 31 | 32 .. 127
 *     dense               tp 8   |       dp 16                  tp = [tp], dp = [dp_1, dp_0]
 *     experts             ------- ep 32 ---|  edp 4             ep = [dp_0, tp]
 *     finest              tp 8   | dp_0 4  | dp_1 4
 */
import { devicesPerStage } from '../parallel/degrees.js';
import type { MeshAxisName, Plan, TensorSharding } from '../plan/types.js';
import type { Notes } from './notes.js';

export interface FineAxis {
  readonly name: string;
  readonly size: number;
  /** Between neighbours along the axis, in ranks of the stage, and of the whole job. */
  readonly stageStride: number;
  readonly rankStride: number;
}

export const PIPELINE_AXIS = 'pp';

const LABEL = { tp: 'tp', cp: 'cp', dpShard: 'dp_shard', dpReplicate: 'dp_replicate' } as const;

export class FineMesh {
  /** Axes of a stage, outermost first; those of size 1 are left out. */
  readonly stageAxes: readonly FineAxis[];
  /** Axes of the job, outermost first: a rank's number is its place in row-major order. */
  readonly axes: readonly FineAxis[];
  private readonly cuts: readonly number[];

  constructor(
    private readonly plan: Plan,
    notes: Notes,
  ) {
    this.cuts = chainOfCuts(plan, notes);
    this.stageAxes = this.fineAxes().reverse();
    const { pp } = plan.degrees;
    const pipeline = plan.mesh.axes.find((axis) => axis.name === 'pp')!;
    this.axes = [
      ...this.stageAxes,
      ...(pp > 1 ? [{ name: PIPELINE_AXIS, size: pp, stageStride: 0, rankStride: pipeline.stride }] : []),
    ].sort((a, b) => b.rankStride - a.rankStride);
  }

  /**
   * The fine axes that an axis of the plan consists of, major to minor; null where the mesh does not have it.
   *
   * @param copies neighbouring ranks of the axis that hold the same part
   */
  parts(axis: MeshAxisName, copies = 1): string[] | null {
    const { tp, cp, ep, etp } = this.plan.degrees;
    const range: Record<MeshAxisName, [from: number, to: number]> = {
      tp: [copies, tp],
      cp: [tp, tp * cp],
      dp: [tp * cp, devicesPerStage(this.plan.degrees)],
      etp: [copies, etp],
      ep: [etp, etp * ep],
    };
    const [from, to] = range[axis];
    if (from >= to) return [];
    if (!this.cuts.includes(from) || !this.cuts.includes(to)) return null;
    return this.stageAxes.filter((a) => a.stageStride >= from && a.stageStride < to).map((a) => a.name);
  }

  /** Ranks over which ZeRO shards what is not an expert's. */
  shardParts(): string[] {
    const { tp, cp, dpShard } = this.plan.degrees;
    return this.stageAxes
      .filter((a) => a.stageStride >= tp && a.stageStride < tp * cp * dpShard)
      .map((a) => a.name);
  }

  size(names: readonly string[]): number {
    return names.reduce((size, name) => size * this.stageAxes.find((a) => a.name === name)!.size, 1);
  }

  private fineAxes(): FineAxis[] {
    const { tp, cp, dpShard, pp } = this.plan.degrees;
    const inside = this.plan.mesh.axes.map((a) => a.name).indexOf('pp') === 2 ? pp : 1;
    const owner = (stride: number): keyof typeof LABEL =>
      stride < tp ? 'tp' : stride < tp * cp ? 'cp' : stride < tp * cp * dpShard ? 'dpShard' : 'dpReplicate';
    const strides = this.cuts.slice(0, -1);
    const owners = strides.map(owner);
    return strides.map((stageStride, i) => {
      const several = owners.filter((o) => o === owners[i]).length > 1;
      const label = LABEL[owners[i]];
      return {
        name: several ? `${label}_${i - owners.indexOf(owners[i])}` : label,
        size: this.cuts[i + 1] / stageStride,
        stageStride,
        rankStride: stageStride >= tp * cp ? stageStride * inside : stageStride,
      };
    });
  }
}

/** Strides at which some axis begins or ends, each a multiple of the one before. */
function chainOfCuts(plan: Plan, notes: Notes): number[] {
  const { tp, cp, dpShard, ep, etp } = plan.degrees;
  const all = devicesPerStage(plan.degrees);
  let cuts = [1, tp, tp * cp, tp * cp * dpShard, all];
  const experts = [...cuts, etp, etp * ep];
  if (ep * etp > 1) {
    if (isChain(experts)) cuts = experts;
    else
      notes.differs(
        `experts over ep = ${ep}, etp = ${etp} on ranks of tp = ${tp}, cp = ${cp}, dp = ${plan.degrees.dp}`,
        'no mesh has axes for both; expert parameters stay whole',
      );
  }
  for (const { copies } of plan.shardings)
    for (const count of copies ?? [])
      if (!cuts.includes(count) && isChain([...cuts, count])) cuts = [...cuts, count];
  return [...new Set(cuts)].sort((a, b) => a - b);
}

function isChain(cuts: readonly number[]): boolean {
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.every((cut, i) => i === 0 || cut % sorted[i - 1] === 0);
}

/** A tensor on the fine mesh. */
export interface FineSharding {
  readonly tensor: string;
  readonly role: TensorSharding['role'];
  readonly shape: readonly number[];
  /** Per dimension the fine axes, major to minor. */
  readonly dims: readonly (readonly string[])[];
  /** Per dimension, the equal blocks that the plan splits each on its own. */
  readonly blocks: readonly number[];
}

/** Tensors whose split the mesh cannot say are noted once per reason. */
export function fineShardings(plan: Plan, mesh: FineMesh, notes: Notes): FineSharding[] {
  const left = new Map<string, string[]>();
  const leave = (reason: string, tensor: string): void => {
    const list = left.get(reason) ?? [];
    list.push(tensor);
    left.set(reason, list);
  };
  const found = plan.shardings.map(({ tensor, role, shape, dims, blocks, copies }) => {
    const used = new Set<string>();
    const fine = dims.map((axes, d) =>
      axes.flatMap((axis) => {
        const parts = mesh.parts(axis, axis === 'tp' || axis === 'etp' ? (copies?.[d] ?? 1) : 1);
        if (parts === null || parts.some((name) => used.has(name))) {
          leave(
            parts === null ? `split over ${axis}` : `split over ${axis} beside an axis of the same ranks`,
            tensor,
          );
          return [];
        }
        parts.forEach((name) => used.add(name));
        return parts;
      }),
    );
    // What data parallelism splits grows with the batch: the sizes of one microbatch of all replicas.
    const sizes = shape.map((size, d) =>
      dims[d].includes('dp') ? size * plan.microbatch * plan.degrees.dp : size,
    );
    return { tensor, role, shape: sizes, dims: fine, blocks: shape.map((_, d) => blocks?.[d] ?? 1) };
  });
  for (const [reason, tensors] of left)
    notes.differs(
      `${reason}: ${tensors[0]}${tensors.length > 1 ? ` and ${tensors.length - 1} more` : ''}`,
      'held whole along that dimension',
    );
  return found;
}

/** Dimensions that their axes do not divide: what they are padded to, once per size. */
export function paddedDims(shardings: readonly FineSharding[], mesh: FineMesh): Map<number, number> {
  const padded = new Map<number, number>();
  for (const { role, shape, dims } of shardings)
    dims.forEach((axes, d) => {
      const parts = mesh.size(axes);
      if (role === 'parameter' && shape[d] % parts !== 0)
        padded.set(shape[d], Math.max(padded.get(shape[d]) ?? 0, Math.ceil(shape[d] / parts) * parts));
    });
  return padded;
}

/** Parameters that are split inside each of several blocks: said once. */
export function noteBlocks(shardings: readonly FineSharding[], notes: Notes, instead: string): void {
  const fused = shardings.filter(
    (s) => s.role === 'parameter' && s.blocks.some((b, d) => b > 1 && s.dims[d].length > 0),
  );
  if (fused.length === 0) return;
  const most = Math.max(...fused[0].blocks);
  notes.differs(
    `${fused[0].tensor}${fused.length > 1 ? ` and ${fused.length - 1} more` : ''} split inside each of ${most} blocks`,
    instead,
  );
}
