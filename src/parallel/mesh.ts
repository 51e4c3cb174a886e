import { PartitionError, invariant } from '../util/errors.js';
import type { Degrees } from './degrees.js';

/** Axes that multiply to the device count. Expert axes reuse the ranks of dp, cp and tp. */
export type AxisName = 'tp' | 'cp' | 'dpShard' | 'dpReplicate' | 'pp';

/** Innermost first: neighbours in rank order do the chattiest work. */
export const DEFAULT_AXIS_ORDER: readonly AxisName[] = ['tp', 'cp', 'dpShard', 'dpReplicate', 'pp'];

/** One axis of the mesh: its group of rank r is `base, base + stride, ..., base + (size - 1) * stride`. */
export interface MeshAxis {
  readonly name: AxisName;
  readonly size: number;
  readonly stride: number;
}

/** Ranks of one communication group: `size` of them, `stride` apart. What a collective's cost depends on. */
export interface GroupSpan {
  readonly size: number;
  readonly stride: number;
}

/** Device mesh over ranks 0..deviceCount-1, axes innermost (stride 1) first. */
export interface Mesh {
  readonly axes: readonly MeshAxis[];
  readonly deviceCount: number;
}

/** Lays the degrees out over ranks in the given order, innermost first. */
export function meshOf(degrees: Degrees, order: readonly AxisName[] = DEFAULT_AXIS_ORDER): Mesh {
  checkAxisOrder(order);
  const axes: MeshAxis[] = [];
  let stride = 1;
  for (const name of order) {
    axes.push({ name, size: degrees[name], stride });
    stride *= degrees[name];
  }
  return { axes, deviceCount: stride };
}

/** Throws unless the order names each axis once. */
export function checkAxisOrder(order: readonly string[], where = 'axis order'): void {
  const expected = [...DEFAULT_AXIS_ORDER].sort().join(', ');
  if ([...order].sort().join(', ') !== expected)
    throw new PartitionError(
      'usage',
      `expected each of ${expected} once, found ${order.join(', ') || 'nothing'}`,
      where,
    );
}

/** The orders worth trying: every permutation that keeps tp innermost or cp innermost of it; `all` gives the 120. */
export function axisOrders(all = false): AxisName[][] {
  const orders: AxisName[][] = [];
  const permute = (prefix: AxisName[], rest: readonly AxisName[]): void => {
    if (rest.length === 0) orders.push(prefix);
    for (const name of rest)
      permute(
        [...prefix, name],
        rest.filter((other) => other !== name),
      );
  };
  permute([], DEFAULT_AXIS_ORDER);
  return all ? orders : orders.filter((o) => o.indexOf('tp') <= 1);
}

export function axisOf(mesh: Mesh, name: AxisName): MeshAxis {
  const axis = mesh.axes.find((a) => a.name === name);
  invariant(axis !== undefined, `mesh has no axis ${name}`);
  return axis;
}

/** Group of one axis. */
export function groupSpan(axis: MeshAxis): GroupSpan {
  return { size: axis.size, stride: axis.stride };
}

/**
 * Group over several axes at once (gradients travel over dp and cp together). Where the axes are not neighbours in
 * the order the ranks have a hole; the span then has the product of the sizes and the smallest stride whose block
 * reaches as far, so that its cost is that of ranks spread at least as wide.
 */
export function combinedSpan(mesh: Mesh, names: readonly AxisName[]): GroupSpan {
  let size = 1;
  let stride = 1;
  let reach = 1;
  for (const axis of mesh.axes) {
    if (!names.includes(axis.name) || axis.size === 1) continue;
    if (size === 1) stride = axis.stride;
    size *= axis.size;
    reach = axis.stride * axis.size;
  }
  return size === 1 ? { size: 1, stride: 1 } : { size, stride: Math.max(stride, Math.floor(reach / size)) };
}

/** Groups of expert parallelism: etp innermost, then ep, then the replicas, over a stage's dp * cp * tp ranks. */
export interface ExpertSpans {
  readonly etp: GroupSpan;
  readonly ep: GroupSpan;
  readonly expertDp: GroupSpan;
}

/** Lays experts over the ranks of a stage; when pp is not outermost the spread ranks share pp's stride. */
export function expertSpans(mesh: Mesh, degrees: Degrees): ExpertSpans {
  const stage = combinedSpan(mesh, ['tp', 'cp', 'dpShard', 'dpReplicate']);
  const etp: GroupSpan = { size: degrees.etp, stride: stage.stride };
  const ep: GroupSpan = { size: degrees.ep, stride: stage.stride * degrees.etp };
  const width = degrees.etp * degrees.ep;
  return { etp, ep, expertDp: { size: stage.size / width, stride: stage.stride * width } };
}

/** Coordinate of a rank along an axis. */
export function coordinateOf(axis: MeshAxis, rank: number): number {
  return Math.floor(rank / axis.stride) % axis.size;
}

/** Ranks of the group that holds `rank` along an axis, ascending. */
export function groupRanks(axis: MeshAxis, rank: number): number[] {
  const base = rank - coordinateOf(axis, rank) * axis.stride;
  return Array.from({ length: axis.size }, (_, i) => base + i * axis.stride);
}
