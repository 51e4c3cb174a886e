/** Shapes of the arrays in a NumPy .npz file. */
import { readNpz } from '../../src/emit/split/npz.js';

/** Array name to shape. @throws PartitionError on anything that is no npz */
export function npzShapes(path: string): Map<string, number[]> {
  return new Map(Object.entries(readNpz(path)).map(([name, { dims }]) => [name, [...dims]]));
}
