/** Strongly connected components (Tarjan), without recursion. */
import { flatten } from './groups.js';

export function strongComponents(
  count: number,
  source: Int32Array,
  target: Int32Array,
): { count: number; of: Int32Array } {
  const lists: number[][] = Array.from({ length: count }, () => []);
  for (let e = 0; e < source.length; e++) lists[source[e]].push(target[e]);
  const [first, next] = flatten(lists);
  const index = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const of = new Int32Array(count).fill(-1);
  const cursor = first.slice(0, count);
  const open: number[] = [];
  const path: number[] = [];
  let visited = 0;
  let components = 0;
  for (let root = 0; root < count; root++) {
    if (index[root] >= 0) continue;
    path.push(root);
    while (path.length > 0) {
      const v = path[path.length - 1];
      if (index[v] < 0) {
        index[v] = low[v] = visited++;
        open.push(v);
      }
      if (cursor[v] < first[v + 1]) {
        const w = next[cursor[v]++];
        if (index[w] < 0) path.push(w);
        else if (of[w] < 0) low[v] = Math.min(low[v], index[w]);
        continue;
      }
      path.pop();
      if (path.length > 0) {
        const parent = path[path.length - 1];
        low[parent] = Math.min(low[parent], low[v]);
      }
      if (low[v] === index[v]) {
        for (;;) {
          const w = open.pop() as number;
          of[w] = components;
          if (w === v) break;
        }
        components++;
      }
    }
  }
  return { count: components, of };
}
