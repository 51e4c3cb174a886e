/**
 * Topological orders. All traversals are iterative: chains of 100,000 nodes occur.
 */

/** Compressed adjacency: neighbours of i are `items[start[i] .. start[i + 1])`. */
export interface Csr {
  readonly start: Int32Array;
  readonly items: Int32Array;
}

/** Builds a Csr from (row, item) pairs given as two parallel arrays; items keep their order within a row. */
export function toCsr(rowCount: number, rows: ArrayLike<number>, items: ArrayLike<number>): Csr {
  const start = new Int32Array(rowCount + 1);
  for (let i = 0; i < rows.length; i++) start[rows[i] + 1]++;
  for (let i = 0; i < rowCount; i++) start[i + 1] += start[i];
  const at = start.slice(0, rowCount);
  const out = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) out[at[rows[i]]++] = items[i];
  return { start, items: out };
}

/** Transposes a Csr: who lists me. */
export function transpose(csr: Csr, columnCount: number): Csr {
  const rows = csr.start.length - 1;
  const owner = new Int32Array(csr.items.length);
  for (let r = 0; r < rows; r++) for (let k = csr.start[r]; k < csr.start[r + 1]; k++) owner[k] = r;
  return toCsr(columnCount, csr.items, owner);
}

/**
 * Longest path, in edges, from any source to each node; `null` when there is a cycle.
 * @param before predecessors per node (repeats allowed)
 */
export function depths(before: Csr): Int32Array | null {
  const n = before.start.length - 1;
  const after = transpose(before, n);
  const missing = new Int32Array(n);
  const queue = new Int32Array(n);
  let tail = 0;
  for (let i = 0; i < n; i++) {
    missing[i] = before.start[i + 1] - before.start[i];
    if (missing[i] === 0) queue[tail++] = i;
  }
  const depth = new Int32Array(n);
  for (let head = 0; head < tail; head++) {
    const i = queue[head];
    for (let k = after.start[i]; k < after.start[i + 1]; k++) {
      const j = after.items[k];
      if (depth[j] <= depth[i]) depth[j] = depth[i] + 1;
      if (--missing[j] === 0) queue[tail++] = j;
    }
  }
  return tail === n ? depth : null;
}

/**
 * Order in which a depth-first walk back from the roots finishes: every node after its predecessors, the deepest
 * predecessor first, equal depths in the order listed. It depends on the structure alone, not on how nodes are numbered,
 * and keeps the work of one layer together: all that the trunk needs is done before the trunk goes on, and nothing earlier.
 * Nodes no root depends on are left out.
 */
export function depthFirstOrder(before: Csr, roots: ArrayLike<number>): Int32Array {
  const n = before.start.length - 1;
  const depth = depths(before);
  if (depth === null) throw new Error('internal: cycle in a graph that was checked to have none');
  // Predecessors of each node by falling depth, stable (insertion sort: lists are short).
  const items = before.items.slice();
  for (let i = 0; i < n; i++) {
    const from = before.start[i];
    const to = before.start[i + 1];
    if (to - from > 64) {
      items.subarray(from, to).sort((a, b) => depth[b] - depth[a]);
      continue;
    }
    for (let k = from + 1; k < to; k++) {
      const x = items[k];
      const d = depth[x];
      let j = k - 1;
      while (j >= from && depth[items[j]] < d) {
        items[j + 1] = items[j];
        j--;
      }
      items[j + 1] = x;
    }
  }
  const order = new Int32Array(n);
  let count = 0;
  const seen = new Uint8Array(n);
  const next = before.start.slice(0, n);
  const stack = new Int32Array(n + 1);
  for (let r = 0; r < roots.length; r++) {
    if (seen[roots[r]]) continue;
    seen[roots[r]] = 1;
    let top = 0;
    stack[0] = roots[r];
    while (top >= 0) {
      const i = stack[top];
      if (next[i] < before.start[i + 1]) {
        const j = items[next[i]++];
        if (!seen[j]) {
          seen[j] = 1;
          stack[++top] = j;
        }
      } else {
        order[count++] = i;
        top--;
      }
    }
  }
  return order.slice(0, count);
}

/**
 * Moves every node with a single reader to right before it, with all that leads to it alone; the others keep their order. What
 * a decoder's first layer takes from the encoder is then computed where the later layers compute theirs.
 *
 * @param order a topological order of some nodes
 * @param before predecessors per node (repeats allowed); nodes outside of `order` are none of its nodes' readers
 */
export function sinkSingleReaders(order: Int32Array, before: Csr): Int32Array {
  const n = before.start.length - 1;
  // Sole reader of each node: -1 none, -2 several.
  const reader = new Int32Array(n).fill(-1);
  for (const i of order)
    for (let k = before.start[i]; k < before.start[i + 1]; k++) {
      const j = before.items[k];
      reader[j] = reader[j] === -1 || reader[j] === i ? i : -2;
    }
  const rows: number[] = [];
  const items: number[] = [];
  for (const i of order) {
    if (reader[i] < 0) continue;
    rows.push(reader[i]);
    items.push(i);
  }
  const children = toCsr(n, rows, items);
  const result = new Int32Array(order.length);
  let count = 0;
  const next = children.start.slice(0, n);
  const stack = new Int32Array(order.length + 1);
  for (const root of order) {
    if (reader[root] >= 0) continue;
    let top = 0;
    stack[0] = root;
    while (top >= 0) {
      const i = stack[top];
      if (next[i] < children.start[i + 1]) stack[++top] = children.items[next[i]++];
      else {
        result[count++] = i;
        top--;
      }
    }
  }
  return result.slice(0, count);
}
