/**
 * All downsets of a small acyclic graph: sets of nodes that hold every predecessor of their members ("ideals" in Tarnawski et
 * al. 2020). A contiguous part is the difference of two nested downsets.
 */
import { flatten } from './groups.js';

export interface Downsets {
  readonly count: number;
  readonly nodes: number;
  /** Downset i without its node `dropNode[j]` is downset `dropTo[j]`, for j in `[dropFirst[i], dropFirst[i + 1])`. */
  readonly dropFirst: Int32Array;
  readonly dropNode: Int32Array;
  readonly dropTo: Int32Array;
  /** Downsets by number of nodes: 0 is the empty set and `count - 1` holds all. */
}

/** @returns null when there are more than `limit` */
export function downsetsOf(
  nodes: number,
  source: Int32Array,
  target: Int32Array,
  limit: number,
): Downsets | null {
  const words = Math.max(1, Math.ceil(nodes / 32));
  const before: number[][] = Array.from({ length: nodes }, () => []);
  for (let e = 0; e < source.length; e++) before[target[e]].push(source[e]);
  const [first, predecessor] = flatten(before);
  // Level by level: downsets of one more node. A set is found by its words.
  let level: Uint32Array[] = [new Uint32Array(words)];
  let levelFirst = 0;
  let count = 1;
  const drops: { node: number; to: number }[][] = [[]];
  for (let size = 0; size < nodes; size++) {
    const known = new Map<string, number>();
    const grown: Uint32Array[] = [];
    for (let i = 0; i < level.length; i++) {
      const set = level[i];
      for (let v = 0; v < nodes; v++) {
        if ((set[v >>> 5] >>> (v & 31)) & 1) continue;
        let open = true;
        for (let j = first[v]; open && j < first[v + 1]; j++) {
          const u = predecessor[j];
          open = ((set[u >>> 5] >>> (u & 31)) & 1) === 1;
        }
        if (!open) continue;
        const bigger = set.slice();
        bigger[v >>> 5] |= 1 << (v & 31);
        const key = String.fromCharCode(...new Uint16Array(bigger.buffer));
        let id = known.get(key);
        if (id === undefined) {
          if (count >= limit) return null;
          id = count++;
          known.set(key, id);
          grown.push(bigger);
          drops.push([]);
        }
        drops[id].push({ node: v, to: levelFirst + i });
      }
    }
    levelFirst += level.length;
    level = grown;
  }
  const [dropFirst, dropNode] = flatten(drops.map((list) => list.map((d) => d.node)));
  const dropTo = Int32Array.from(drops.flatMap((list) => list.map((d) => d.to)));
  return { count, nodes, dropFirst, dropNode, dropTo };
}
