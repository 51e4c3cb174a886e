/**
 * Small cores are searched through: depth first, variable by variable, cut off where the cost so far plus the least that
 * the rest can cost is no better than the best, or where memory overflows (usages count from the least, so that they only
 * grow).
 */
import type { ShardCore } from './core.js';
import { RowSlack } from './rowSlack.js';

/** Null when the search was given up; `cost` is Infinity when nothing is feasible. */
export type ExactResult = { readonly cost: number; readonly choice: Int32Array } | null;

/** Steps after which a search is given up. */
const MOST_STEPS = 400_000;

export function searchExactly(core: ShardCore): ExactResult {
  const { count, start, edgeStart, edgeTo, edgeTable, table } = core;
  const rest = leastOfRest(core);
  const slack = new RowSlack(core.capacity);
  const choice = new Int32Array(count).fill(-1);
  const sum = new Float64Array(count + 1);
  sum[0] = core.constant;
  let best = core.forbidden;
  let found: Int32Array | null = null;
  let steps = 0;
  for (let i = 0; i >= 0;) {
    if (i === count) {
      best = sum[i];
      found = Int32Array.from(choice);
      i--;
      continue;
    }
    if (choice[i] >= 0) take(core, slack, i, choice[i], -1);
    const size = start[i + 1] - start[i];
    const s = ++choice[i];
    if (s === size) {
      choice[i--] = -1;
      continue;
    }
    if (++steps > MOST_STEPS) return null;
    take(core, slack, i, s, 1);
    let cost = sum[i] + core.cost[start[i] + s];
    for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++)
      if (edgeTo[e] < i) cost += table[edgeTable[e] + choice[edgeTo[e]] * size + s];
    if (cost + rest[i + 1] >= best || overflows(core, slack, i)) continue;
    sum[i + 1] = cost;
    i++;
  }
  return { cost: found === null ? Infinity : best, choice: found ?? new Int32Array(count) };
}

/** The least that the variables from each one on can cost, edges to earlier ones included. */
function leastOfRest(core: ShardCore): Float64Array {
  const { count, start, edgeStart, edgeTo, edgeTable, table } = core;
  const rest = new Float64Array(count + 1);
  for (let i = count - 1; i >= 0; i--) {
    const size = start[i + 1] - start[i];
    let least = Infinity;
    for (let s = 0; s < size; s++) {
      let cost = core.cost[start[i] + s];
      for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
        const j = edgeTo[e];
        if (j > i) continue;
        let cheapest = Infinity;
        for (let t = 0; t < start[j + 1] - start[j]; t++)
          cheapest = Math.min(cheapest, table[edgeTable[e] + t * size + s]);
        cost += cheapest;
      }
      least = Math.min(least, cost);
    }
    rest[i] = rest[i + 1] + least;
  }
  return rest;
}

function take(core: ShardCore, slack: RowSlack, i: number, s: number, sign: number): void {
  for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++) {
    const usage = core.usage[core.usageAt[g] + s];
    if (usage !== 0) slack.add(core.rowBegin[g], core.rowEnd[g], -sign * usage);
  }
}

function overflows(core: ShardCore, slack: RowSlack, i: number): boolean {
  for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++)
    if (slack.leastOf(core.rowBegin[g], core.rowEnd[g]) < 0) return true;
  return false;
}
