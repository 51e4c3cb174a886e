import { invariant } from '../util/errors.js';

/** How slices are cut out of a torus pod. */
export interface TorusPod {
  /** Largest extent along each axis. */
  readonly podShape: readonly number[];
  /** An axis closes into a ring when its extent is a multiple of this (4 on TPU v4/v5p cubes, 16 on v5e/v6e). */
  readonly wrapMultiple: number;
}

export interface TorusSlice {
  /** Extents, innermost first, ascending. */
  readonly shape: readonly number[];
  readonly wraps: readonly boolean[];
}

/**
 * The most cube-like slice of `size` chips that fits the pod: extents whose largest is smallest, so that rings are
 * short and the bisection wide. Null when `size` has no factorisation that fits.
 */
export function torusSlice(size: number, pod: TorusPod): TorusSlice | null {
  invariant(size >= 1 && pod.podShape.length >= 1, `torus of ${size} chips over ${pod.podShape.length} axes`);
  const bounds = [...pod.podShape].sort((a, b) => a - b);
  let best: number[] | null = null;
  const visit = (axis: number, rest: number, shape: number[]): void => {
    if (axis === bounds.length - 1) {
      if (rest > bounds[axis] || rest < (shape.at(-1) ?? 1)) return;
      if (best === null || rest < best.at(-1)!) best = [...shape, rest];
      return;
    }
    // Ascending extents; the depth is the number of axes (at most a handful).
    for (let extent = bounds[axis]; extent >= (shape.at(-1) ?? 1); extent--)
      if (rest % extent === 0) visit(axis + 1, rest / extent, [...shape, extent]);
  };
  visit(0, size, []);
  const shape = best as number[] | null;
  if (shape === null) return null;
  return { shape, wraps: shape.map((extent) => extent > 2 && extent % pod.wrapMultiple === 0) };
}

/** A line of chips: what is left when no slice fits. */
export function torusLine(size: number, pod: TorusPod): TorusSlice {
  const shape = pod.podShape.map((_, axis) => (axis === pod.podShape.length - 1 ? size : 1));
  return { shape, wraps: shape.map(() => false) };
}

/**
 * Chips of each slice when `deviceCount` are spread over pods of `capacity`: the largest equal share that is a legal
 * slice (4 x 4,096 of v5p for 16,384), else `fallback`.
 */
export function equalSliceSize(
  deviceCount: number,
  capacity: number,
  pod: TorusPod,
  fallback: number,
): number {
  for (let slices = Math.ceil(deviceCount / capacity); slices * 2 <= deviceCount; slices++)
    if (deviceCount % slices === 0 && torusSlice(deviceCount / slices, pod) !== null)
      return deviceCount / slices;
  return fallback;
}
