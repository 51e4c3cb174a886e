/**
 * What moves as one: operators of one colour are one group, and tensors are nets between groups. Tensors with the same
 * source and the same readers become one net that costs their sum.
 */
import type { PlaceProblem } from './problem.js';

export interface Groups {
  readonly count: number;
  /** Group of each operator. */
  readonly of: Int32Array;
  /** `[kind * count + group]`. */
  readonly time: Float64Array;
  readonly sizeBytes: Float64Array;
  readonly nets: number;
  readonly netSource: Int32Array;
  readonly netTime: Float64Array;
  /** Readers of net e, each once and none the source: `reader[readerFirst[e] .. readerFirst[e + 1])`. */
  readonly readerFirst: Int32Array;
  readonly reader: Int32Array;
  /** Nets that start at group g, and nets that g reads. */
  readonly outFirst: Int32Array;
  readonly out: Int32Array;
  readonly inFirst: Int32Array;
  readonly in: Int32Array;
}

export function groupsOf(problem: PlaceProblem): Groups {
  const n = problem.names.length;
  const count = problem.colors;
  const kinds = problem.kinds.length;
  const time = new Float64Array(kinds * count);
  const sizeBytes = new Float64Array(count);
  for (let v = 0; v < n; v++) {
    const g = problem.color[v];
    sizeBytes[g] += problem.sizeBytes[v];
    for (let k = 0; k < kinds; k++) time[k * count + g] += problem.time[k * n + v];
  }
  const readers: Set<number>[] = Array.from(problem.tensorTime, () => new Set<number>());
  for (let e = 0; e < problem.edgeSource.length; e++) {
    const reader = problem.color[problem.edgeTarget[e]];
    if (reader !== problem.color[problem.edgeSource[e]]) readers[problem.edgeTensor[e]].add(reader);
  }
  const merged = new Map<string, number>();
  const netSource: number[] = [];
  const netTime: number[] = [];
  const netReaders: number[][] = [];
  readers.forEach((set, tensor) => {
    const cost = problem.tensorTime[tensor];
    if (set.size === 0 || cost === 0) return;
    const list = [...set].sort((a, b) => a - b);
    const source = problem.color[problem.tensorSource[tensor]];
    const key = `${source}:${list.join(',')}`;
    const known = merged.get(key);
    if (known !== undefined) netTime[known] += cost;
    else {
      merged.set(key, netSource.length);
      netSource.push(source);
      netTime.push(cost);
      netReaders.push(list);
    }
  });
  const nets = netSource.length;
  const out: number[][] = Array.from({ length: count }, () => []);
  const into: number[][] = Array.from({ length: count }, () => []);
  for (let e = 0; e < nets; e++) {
    out[netSource[e]].push(e);
    for (const g of netReaders[e]) into[g].push(e);
  }
  const [readerFirst, reader] = flatten(netReaders);
  const [outFirst, outFlat] = flatten(out);
  const [inFirst, inFlat] = flatten(into);
  return {
    count,
    of: problem.color,
    time,
    sizeBytes,
    nets,
    netSource: Int32Array.from(netSource),
    netTime: Float64Array.from(netTime),
    readerFirst,
    reader,
    outFirst,
    out: outFlat,
    inFirst,
    in: inFlat,
  };
}

/** Lists laid end to end: `[first, items]`. */
export function flatten(lists: readonly (readonly number[])[]): [Int32Array, Int32Array] {
  const first = new Int32Array(lists.length + 1);
  lists.forEach((list, i) => (first[i + 1] = first[i] + list.length));
  return [first, Int32Array.from(lists.flat())];
}
