/**
 * Lower bounds on the largest load, without a search: the dearest group on its best kind, and all work spread as if it could be
 * split at will over the kinds (with unlimited memory and free transfers).
 */
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';

export function loadBound(problem: PlaceProblem, groups: Groups): number {
  const n = groups.count;
  const kinds = problem.kinds.map((_, k) => k).filter((k) => problem.kinds[k].count > 0);
  let dearest = 0;
  let spread = 0;
  for (let g = 0; g < n; g++) {
    let best = Infinity;
    for (const k of kinds) best = Math.min(best, groups.time[k * n + g]);
    dearest = Math.max(dearest, best);
  }
  const devices = kinds.reduce((sum, k) => sum + problem.kinds[k].count, 0);
  if (devices === 0) return Infinity;
  if (kinds.length === 2) spread = twoKinds(problem, groups, kinds[0], kinds[1]);
  else {
    for (let g = 0; g < n; g++) {
      let best = Infinity;
      for (const k of kinds) best = Math.min(best, groups.time[k * n + g]);
      spread += best / devices;
    }
  }
  return Math.max(dearest, spread);
}

/**
 * The best split of divisible work over p devices of kind a and q of kind b: groups go to b in the order of time_b / time_a
 * (exchange argument), as many as keep a's share at least b's.
 */
function twoKinds(problem: PlaceProblem, groups: Groups, a: number, b: number): number {
  const n = groups.count;
  const [p, q] = [problem.kinds[a].count, problem.kinds[b].count];
  const timeA = groups.time.subarray(a * n, (a + 1) * n);
  const timeB = groups.time.subarray(b * n, (b + 1) * n);
  const ratio = (g: number): number =>
    timeA[g] === Infinity ? -1 : timeB[g] === Infinity ? Infinity : timeB[g] / Math.max(timeA[g], 1e-300);
  const order = Array.from({ length: n }, (_, g) => g).sort((x, y) => ratio(x) - ratio(y));
  let onA = 0;
  let onB = 0;
  for (const g of order) if (timeA[g] !== Infinity) onA += timeA[g];
  for (const g of order) {
    if (timeA[g] === Infinity) {
      onB += timeB[g];
      continue;
    }
    if (timeB[g] === Infinity || onB / q >= onA / p) break;
    // The share x of g on b that evens out: (onB + x tB) / q = (onA - x tA) / p.
    const x = Math.min(1, (onA * q - onB * p) / (timeB[g] * p + timeA[g] * q || 1));
    onB += x * timeB[g];
    onA -= x * timeA[g];
    if (x < 1) break;
  }
  return Math.max(onA / p, onB / q);
}
