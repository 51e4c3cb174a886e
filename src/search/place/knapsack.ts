/**
 * Multiple-choice knapsack, exactly: one choice per item, least total time within a memory. Branch and bound, depth first along
 * items ordered by what their first byte saved costs; the bound takes the remaining items' hull steps fractionally.
 */

export interface Knapsack {
  /** Choices of each item. */
  readonly time: readonly (readonly number[])[];
  readonly bytes: readonly (readonly number[])[];
  readonly capacity: number;
}

export interface KnapsackAnswer {
  readonly choice: readonly number[];
  readonly time: number;
  /** Whether nothing is better. */
  readonly proven: boolean;
}

interface Step {
  readonly item: number;
  readonly time: number;
  readonly bytes: number;
}

/** @returns null when nothing fits */
export function solveKnapsack(knapsack: Knapsack, mostNodes = 4000): KnapsackAnswer | null {
  const n = knapsack.time.length;
  const hulls = knapsack.time.map((time, i) => hullOf(time, knapsack.bytes[i]));
  const steps: Step[] = [];
  hulls.forEach((hull, item) => {
    for (let j = 1; j < hull.length; j++)
      steps.push({
        item,
        time: knapsack.time[item][hull[j]] - knapsack.time[item][hull[j - 1]],
        bytes: knapsack.bytes[item][hull[j - 1]] - knapsack.bytes[item][hull[j]],
      });
  });
  steps.sort((a, b) => a.time / a.bytes - b.time / b.bytes || a.item - b.item);
  // The items whose steps come last in the greedy order are those that the bound is unsure of: fix the sure ones last.
  const total = (of: readonly (readonly number[])[], place: readonly number[]): number =>
    place.reduce((sum, p, i) => sum + of[i][hulls[i][p]], 0);
  const place = new Array<number>(n).fill(0);
  let excess = total(knapsack.bytes, place) - knapsack.capacity;
  let critical = 0;
  while (excess > 0 && critical < steps.length) {
    place[steps[critical].item]++;
    excess -= steps[critical++].bytes;
  }
  if (excess > 0) return null;
  let best = place.map((p, i) => hulls[i][p]);
  let bestTime = total(knapsack.time, place);
  if (critical === 0) return { choice: best, time: bestTime, proven: true };
  // Items by the distance of their nearest step from the critical one.
  const distance = new Array<number>(n).fill(Infinity);
  steps.forEach((step, j) => {
    distance[step.item] = Math.min(distance[step.item], Math.abs(j - critical + 0.5));
  });
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => distance[a] - distance[b] || a - b);
  const depthOf = new Int32Array(n);
  order.forEach((item, depth) => (depthOf[item] = depth));
  // Sums of the remaining items at their fastest.
  const restTime = new Float64Array(n + 1);
  const restBytes = new Float64Array(n + 1);
  for (let depth = n - 1; depth >= 0; depth--) {
    const item = order[depth];
    restTime[depth] = restTime[depth + 1] + knapsack.time[item][hulls[item][0]];
    restBytes[depth] = restBytes[depth + 1] + knapsack.bytes[item][hulls[item][0]];
  }
  const stepItem = Int32Array.from(steps, (s) => s.item);
  const stepTime = Float64Array.from(steps, (s) => s.time);
  const stepBytes = Float64Array.from(steps, (s) => s.bytes);
  const bound = (depth: number, time: number, bytes: number): number => {
    let value = time + restTime[depth];
    let over = bytes + restBytes[depth] - knapsack.capacity;
    for (let j = 0; over > 0 && j < stepItem.length; j++) {
      if (depthOf[stepItem[j]] < depth) continue;
      if (stepBytes[j] >= over) return value + (stepTime[j] * over) / stepBytes[j];
      value += stepTime[j];
      over -= stepBytes[j];
    }
    return over > 0 ? Infinity : value;
  };
  const chosen = new Int32Array(n).fill(-1);
  const timeAt = new Float64Array(n + 1);
  const bytesAt = new Float64Array(n + 1);
  let nodes = 0;
  let depth = 0;
  while (depth >= 0 && nodes < mostNodes) {
    if (depth === n) {
      if (bytesAt[n] <= knapsack.capacity && timeAt[n] < bestTime) {
        bestTime = timeAt[n];
        best = new Array<number>(n);
        for (let d = 0; d < n; d++) best[order[d]] = chosen[d];
      }
      depth--;
      continue;
    }
    const item = order[depth];
    const next = ++chosen[depth];
    if (next >= knapsack.time[item].length) {
      chosen[depth] = -1;
      depth--;
      continue;
    }
    nodes++;
    const time = timeAt[depth] + knapsack.time[item][next];
    const bytes = bytesAt[depth] + knapsack.bytes[item][next];
    if (bound(depth + 1, time, bytes) >= bestTime * (1 - 1e-12)) continue;
    timeAt[depth + 1] = time;
    bytesAt[depth + 1] = bytes;
    depth++;
  }
  return { choice: best, time: bestTime, proven: depth < 0 };
}

/** The fastest choice, of equals the first. */
export function fastest(time: readonly number[]): number {
  let best = 0;
  for (let c = 1; c < time.length; c++) if (time[c] < time[best]) best = c;
  return best;
}

/** Choices on the lower convex hull of (bytes, time), from `fastest` to the smallest. */
export function hullOf(time: readonly number[], bytes: readonly number[]): number[] {
  let here = fastest(time);
  const hull = [here];
  for (;;) {
    let next = -1;
    let least = Infinity;
    for (let c = 0; c < time.length; c++) {
      const saved = bytes[here] - bytes[c];
      if (saved <= 0) continue;
      const ratio = (time[c] - time[here]) / saved;
      if (ratio < least || (ratio === least && bytes[c] < bytes[next])) {
        least = ratio;
        next = c;
      }
    }
    if (next < 0) return hull;
    hull.push(next);
    here = next;
  }
}
