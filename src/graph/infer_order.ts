/** An order of execution: the list's own when it is sorted, else a stable topological sort. Linear, iterative. */
import type { GraphProto, NodeProto } from '../model/types.js';

/**
 * Names that a node's subgraphs read from outside, at any depth. Names that a subgraph defines are left out of what it
 * reads; a name that is both defined inside and outside refers to the inner one.
 */
export function capturedNames(node: NodeProto): string[] {
  const captured: string[] = [];
  const stack: { graph: GraphProto; defined: ReadonlySet<string>[] }[] = [];
  for (const a of node.attribute) {
    if (a.g !== undefined) stack.push({ graph: a.g, defined: [] });
    for (const g of a.graphs) stack.push({ graph: g, defined: [] });
  }
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    const { graph } = item;
    const own = new Set<string>();
    for (const v of graph.input) if (v.name !== undefined) own.add(v.name);
    for (const t of graph.initializer) if (t.name !== undefined) own.add(t.name);
    for (const t of graph.sparseInitializer) if (t.values?.name !== undefined) own.add(t.values.name);
    for (const n of graph.node) for (const o of n.output) own.add(o);
    const defined = [...item.defined, own];
    const read = (name: string | undefined): void => {
      if (name !== undefined && name !== '' && !defined.some((d) => d.has(name))) captured.push(name);
    };
    for (const n of graph.node) {
      for (const i of n.input) read(i);
      for (const a of n.attribute) {
        if (a.g !== undefined) stack.push({ graph: a.g, defined });
        for (const g of a.graphs) stack.push({ graph: g, defined });
      }
    }
    for (const v of graph.output) read(v.name);
  }
  return captured;
}

/**
 * @param count number of nodes
 * @param reads for each node, the nodes of the same list whose outputs it reads (itself included where it does)
 * @returns node positions in order, or `null` when there is a cycle
 */
export function stableOrder(count: number, reads: readonly (readonly number[])[]): Int32Array | null {
  const waiting = new Int32Array(count);
  const start = new Int32Array(count + 1);
  for (let n = 0; n < count; n++) {
    waiting[n] = reads[n].length;
    for (const p of reads[n]) start[p + 1]++;
  }
  for (let n = 0; n < count; n++) start[n + 1] += start[n];
  const use = new Int32Array(start[count]);
  const fill = start.slice();
  for (let n = 0; n < count; n++) for (const p of reads[n]) use[fill[p]++] = n;
  const order = new Int32Array(count);
  let tail = 0;
  for (let n = 0; n < count; n++) if (waiting[n] === 0) order[tail++] = n;
  for (let head = 0; head < tail; head++) {
    const n = order[head];
    for (let k = start[n]; k < start[n + 1]; k++) if (--waiting[use[k]] === 0) order[tail++] = use[k];
  }
  return tail === count ? order : null;
}

/**
 * Where to run each node of a list.
 * @param inputs value indices per node
 * @param producer position of the node that makes a value, for the values of this list
 * @param resolve value index of a name that a subgraph captures
 * @returns `null` when the list is in order as it stands
 */
export function executionOrder(
  protos: readonly NodeProto[],
  inputs: readonly (readonly number[])[],
  producer: ReadonlyMap<number, number>,
  resolve: (name: string) => number,
): Int32Array | null | 'cycle' {
  const captured = protos.map((p) => (hasSubgraph(p) ? capturedNames(p).map(resolve) : NOTHING));
  let sorted = true;
  for (let n = 0; n < protos.length && sorted; n++) {
    const [read, also] = [inputs[n], captured[n]];
    for (let i = 0; i < read.length; i++) if ((producer.get(read[i]) ?? -1) >= n) sorted = false;
    for (let i = 0; i < also.length; i++) if ((producer.get(also[i]) ?? -1) >= n) sorted = false;
  }
  if (sorted) return null;
  const reads = protos.map((_, n) => {
    const from = new Set<number>();
    for (const v of inputs[n]) from.add(producer.get(v) ?? -1);
    for (const v of captured[n]) from.add(producer.get(v) ?? -1);
    from.delete(-1);
    return [...from];
  });
  return stableOrder(protos.length, reads) ?? 'cycle';
}

const NOTHING: readonly number[] = [];

function hasSubgraph(proto: NodeProto): boolean {
  const list = proto.attribute;
  for (let i = 0; i < list.length; i++) if (list[i].g !== undefined || list[i].graphs.length > 0) return true;
  return false;
}
