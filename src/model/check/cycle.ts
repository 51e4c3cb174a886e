/** Cycles among the nodes of one graph, in linear time and without recursion. */
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

/** Dependencies between nodes of a region: from[e] must come before to[e]. */
export interface Edges {
  readonly from: number[];
  readonly to: number[];
}

/** Kahn's algorithm on edges from[e] -> to[e]; names a node of a cycle when nodes are left over. */
export function failOnCycle(region: Region, { from, to }: Edges, report: Report): void {
  const count = region.nodes.length;
  const waiting = new Int32Array(count);
  const start = new Int32Array(count + 1);
  for (let e = 0; e < from.length; e++) {
    waiting[to[e]]++;
    start[from[e] + 1]++;
  }
  for (let i = 0; i < count; i++) start[i + 1] += start[i];
  const fill = start.slice(0, count);
  const successors = new Int32Array(from.length);
  for (let e = 0; e < from.length; e++) successors[fill[from[e]]++] = to[e]!;
  const ready = new Int32Array(count);
  let tail = 0;
  for (let i = 0; i < count; i++) if (waiting[i] === 0) ready[tail++] = i;
  for (let head = 0; head < tail; head++) {
    const i = ready[head];
    for (let k = start[i]; k < start[i + 1]; k++)
      if (--waiting[successors[k]] === 0) ready[tail++] = successors[k]!;
  }
  if (tail === count) return;
  const cycle = findCycle(waiting, from, to);
  const shown = cycle.slice(0, 4).map((i) => nodeLabel(region, i));
  const through = cycle.length > 4 ? `${shown.join(' -> ')} -> ...` : shown.join(' -> ');
  report.fail(region.label, `a cycle of ${cycle.length} node${cycle.length === 1 ? '' : 's'}: ${through}`);
}

/** Walks predecessors among the nodes that still wait until one comes again. */
function findCycle(waiting: Int32Array, from: readonly number[], to: readonly number[]): number[] {
  const before = new Int32Array(waiting.length).fill(-1);
  for (let e = 0; e < from.length; e++) if (waiting[from[e]] > 0) before[to[e]] = from[e]!;
  const seenAt = new Map<number, number>();
  const path: number[] = [];
  let at = waiting.findIndex((w) => w > 0);
  while (!seenAt.has(at)) {
    seenAt.set(at, path.length);
    path.push(at);
    at = before[at]!;
  }
  return path.slice(seenAt.get(at)).reverse();
}
