/**
 * Contiguous splits along one order of the groups: the exact best for that order by dynamic programming over its prefixes
 * (PipeDream's and Tarnawski's recurrence on a path). State: prefix, and how many devices of each kind it uses.
 */
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';
import { SetLoad } from './setLoad.js';

/** Groups in a row, and where it may be cut. */
export interface Order {
  readonly groups: Int32Array;
  /** 1 at i: a device may begin with `groups[i]`; also at the end of the row. */
  readonly cut: Uint8Array;
}

/**
 * @param order every group once
 * @param below intervals of at least this load are left out
 * @param outOfTime asked now and then; the split is given up when it says so
 * @returns device of each group and the largest load, or null when nothing fits below the limit
 */
export function splitOrder(
  problem: PlaceProblem,
  groups: Groups,
  { groups: order, cut }: Order,
  below = Infinity,
  outOfTime: () => boolean = () => false,
): { device: Int32Array; maxLoad: number } | null {
  const kinds = problem.kinds.length;
  const n = order.length;
  const stride = new Int32Array(kinds);
  let states = 1;
  for (let k = 0; k < kinds; k++) {
    stride[k] = states;
    states *= problem.kinds[k].count + 1;
  }
  const best = new Float64Array((n + 1) * states).fill(Infinity);
  const fromPrefix = new Int32Array((n + 1) * states).fill(-1);
  const fromKind = new Int8Array((n + 1) * states).fill(-1);
  best.fill(0, 0, states);
  const set = new SetLoad(problem, groups);
  const load = new Float64Array(kinds);
  for (let end = 1; end <= n; end++) {
    if (cut[end] === 0) continue;
    if (end % 64 === 0 && outOfTime()) return null;
    const at = end * states;
    set.clear();
    for (let start = end - 1; start >= 0; start--) {
      set.add(order[start]);
      let open = false;
      for (let k = 0; k < kinds; k++) {
        load[k] = set.load(k);
        if (problem.kinds[k].count > 0 && set.floor(k) < below) open = true;
      }
      if (!open) break;
      if (cut[start] === 0) continue;
      for (let k = 0; k < kinds; k++) {
        if (problem.kinds[k].count === 0 || !(load[k] < below)) continue;
        const step = stride[k];
        const most = problem.kinds[k].count + 1;
        for (let s = 0; s < states; s++) {
          if (Math.floor(s / step) % most === 0) continue;
          const before = best[start * states + s - step];
          const value = before > load[k] ? before : load[k];
          if (value < best[at + s]) {
            best[at + s] = value;
            fromPrefix[at + s] = start;
            fromKind[at + s] = k;
          }
        }
      }
    }
  }
  const last = n * states + states - 1;
  if (!(best[last] < Infinity)) return null;
  const device = new Int32Array(groups.count);
  const used = new Int32Array(kinds);
  const first = new Int32Array(kinds);
  for (let k = 1; k < kinds; k++) first[k] = first[k - 1] + problem.kinds[k - 1].count;
  let end = n;
  let state = states - 1;
  while (end > 0) {
    const k = fromKind[end * states + state];
    const start = fromPrefix[end * states + state];
    const d = first[k] + used[k]++;
    for (let i = start; i < end; i++) device[order[i]] = d;
    state -= stride[k];
    end = start;
  }
  return { device, maxLoad: best[last] };
}
