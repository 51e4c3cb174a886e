/**
 * The exact contiguous split of Tarnawski et al. 2020, section 5.1: best[I][used] is the least possible largest load when the
 * downset I is split over the devices used; its last device holds I without some smaller downset J.
 *
 * For one I all J are walked depth first by dropping one maximal component at a time, so that the load of I \ J changes by one
 * component a step. A branch ends where compute alone passes the best split known: compute only grows.
 */
import type { Clock } from '../types.js';
import type { Downsets } from './downsets.js';
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';
import { SetLoad } from './setLoad.js';

export function splitDownsets(
  problem: PlaceProblem,
  groups: Groups,
  members: readonly (readonly number[])[],
  downsets: Downsets,
  below: number,
  untilSec: number,
  clock: Clock,
): { found: { device: Int32Array; maxLoad: number } | null; finished: boolean } {
  const kinds = problem.kinds.length;
  const stride = new Int32Array(kinds);
  let states = 1;
  for (let k = 0; k < kinds; k++) {
    stride[k] = states;
    states *= problem.kinds[k].count + 1;
  }
  const { count, dropFirst, dropNode, dropTo, nodes } = downsets;
  const best = new Float64Array(count * states).fill(Infinity);
  const fromSet = new Int32Array(count * states).fill(-1);
  const fromKind = new Int8Array(count * states).fill(-1);
  best.fill(0, 0, states);
  const set = new SetLoad(problem, groups);
  const seen = new Int32Array(count).fill(-1);
  const path = new Int32Array(nodes + 1);
  const cursor = new Int32Array(nodes + 1);
  const load = new Float64Array(kinds);
  for (let whole = 1; whole < count; whole++) {
    if (whole % 64 === 0 && clock() >= untilSec) return { found: null, finished: false };
    const at = whole * states;
    let depth = 0;
    path[0] = whole;
    cursor[0] = dropFirst[whole];
    while (depth >= 0) {
      const here = path[depth];
      if (cursor[depth] >= dropFirst[here + 1]) {
        if (--depth >= 0) {
          // The component that led to `here` comes back.
          const node = dropNode[cursor[depth] - 1];
          for (let i = 0; i < members[node].length; i++) set.removeLast();
        }
        continue;
      }
      const step = cursor[depth]++;
      const rest = dropTo[step];
      if (seen[rest] === whole) continue;
      seen[rest] = whole;
      for (const g of members[dropNode[step]]) set.add(g);
      let open = false;
      for (let k = 0; k < kinds; k++) {
        load[k] = problem.kinds[k].count > 0 ? set.load(k) : Infinity;
        if (problem.kinds[k].count > 0 && set.floor(k) < below) open = true;
      }
      if (!open) {
        for (let i = 0; i < members[dropNode[step]].length; i++) set.removeLast();
        continue;
      }
      for (let k = 0; k < kinds; k++) {
        const value = load[k];
        if (!(value < below)) continue;
        const most = problem.kinds[k].count + 1;
        for (let s = stride[k]; s < states; s++) {
          if (Math.floor(s / stride[k]) % most === 0) continue;
          const before = best[rest * states + s - stride[k]];
          const larger = before > value ? before : value;
          if (larger < best[at + s]) {
            best[at + s] = larger;
            fromSet[at + s] = rest;
            fromKind[at + s] = k;
          }
        }
      }
      depth++;
      path[depth] = rest;
      cursor[depth] = dropFirst[rest];
    }
    set.clear();
  }
  const last = count * states - 1;
  if (!(best[last] < Infinity)) return { found: null, finished: true };
  const device = deviceOf(problem, groups, members, downsets, fromSet, fromKind, stride, states);
  return { found: { device, maxLoad: best[last] }, finished: true };
}

/** Walks the choices back from the full set. */
function deviceOf(
  problem: PlaceProblem,
  groups: Groups,
  members: readonly (readonly number[])[],
  { count, dropFirst, dropNode, dropTo }: Downsets,
  fromSet: Int32Array,
  fromKind: Int8Array,
  stride: Int32Array,
  states: number,
): Int32Array {
  // Nodes of a downset: along any chain of drops to the empty set.
  const nodesOf = (set: number): Set<number> => {
    const nodes = new Set<number>();
    for (let i = set; i !== 0; i = dropTo[dropFirst[i]]) nodes.add(dropNode[dropFirst[i]]);
    return nodes;
  };
  const kinds = problem.kinds.length;
  const nextDevice = new Int32Array(kinds);
  for (let k = 1; k < kinds; k++) nextDevice[k] = nextDevice[k - 1] + problem.kinds[k - 1].count;
  const device = new Int32Array(groups.count);
  let whole = count - 1;
  let state = states - 1;
  while (whole !== 0) {
    const k = fromKind[whole * states + state];
    const rest = fromSet[whole * states + state];
    const kept = nodesOf(rest);
    const d = nextDevice[k]++;
    for (const node of nodesOf(whole)) if (!kept.has(node)) for (const g of members[node]) device[g] = d;
    state -= stride[k];
    whole = rest;
  }
  return device;
}
