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
  const axes: MeshAxis[] = [];
  let stride = 1;
  for (const name of order) {
    axes.push({ name, size: degrees[name], stride });
    stride *= degrees[name];
  }
  return { axes, deviceCount: stride };
}
