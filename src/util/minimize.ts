/**
 * Bounded minimisation without derivatives, for fits of a few parameters to measurements. Deterministic.
 *
 * Errors of fits are sums of absolute values: kinks everywhere, no gradient. So two methods take turns until neither
 * gains: a pattern search (Hooke and Jeeves 1961), which cannot stall on a coordinate, and a simplex (Nelder and Mead
 * 1965, with the dimension-dependent coefficients of Gao and Han 2012), which follows valleys that cross coordinates.
 * Both work on parameters mapped to [0, 1] between their bounds: by their logarithm where the lower bound is
 * positive, linearly where it is not.
 */
import { invariant } from './errors.js';

export interface MinimizeOptions {
  /** Calls of the function at most; default 200 a parameter. */
  readonly maxEvaluations?: number;
  /** Smallest step, as a share of the way between the bounds; default 1e-4. */
  readonly tolerance?: number;
  /** First step, as a share of the way between the bounds; default 0.08. */
  readonly firstStep?: number;
}

export interface Minimum {
  readonly x: number[];
  readonly value: number;
  readonly evaluations: number;
}

/**
 * Smallest value found of `f` between bounds. A parameter whose bounds are equal stays where it is. Points at which
 * `f` is not finite are never taken.
 *
 * @param start moved into the bounds where outside of them
 */
export function minimize(
  f: (x: readonly number[]) => number,
  start: readonly number[],
  lower: readonly number[],
  upper: readonly number[],
  options: MinimizeOptions = {},
): Minimum {
  invariant(start.length === lower.length && start.length === upper.length, 'bounds of another length');
  const free: number[] = [];
  for (let i = 0; i < start.length; i++) {
    invariant(lower[i] <= upper[i], `bounds of parameter ${i} are ${lower[i]} and ${upper[i]}`);
    if (lower[i] < upper[i]) free.push(i);
  }
  const search = new Search(f, start, lower, upper, free, options.maxEvaluations ?? 200 * (free.length + 1));
  const tolerance = options.tolerance ?? 1e-4;
  const firstStep = options.firstStep ?? 0.08;
  for (let step = firstStep; free.length > 0 && !search.spent();) {
    const before = search.bestValue;
    search.pattern(step, tolerance);
    if (free.length > 1) search.simplex(step / 2, tolerance);
    const gain = before - search.bestValue;
    if (!(gain > 1e-9 * Math.abs(before)) || !Number.isFinite(gain)) break;
    step = Math.max(step / 2, 8 * tolerance);
  }
  return { x: search.toParameters(search.best), value: search.bestValue, evaluations: search.evaluations };
}

/** Sweeps over all parameters before the simplex has its turn. */
const SWEEPS = 30;

/** Best point so far and the budget; points are in [0, 1] along each free parameter. */
class Search {
  evaluations = 0;
  best: Float64Array;
  bestValue: number;

  constructor(
    private readonly f: (x: readonly number[]) => number,
    private readonly start: readonly number[],
    private readonly lower: readonly number[],
    private readonly upper: readonly number[],
    private readonly free: readonly number[],
    private readonly maxEvaluations: number,
  ) {
    this.best = Float64Array.from(free, (i) => this.toUnit(i, start[i]));
    this.bestValue = Infinity;
    this.evaluate(this.best);
  }

  spent(): boolean {
    return this.evaluations >= this.maxEvaluations;
  }

  /** Parameters of a point; those with equal bounds keep their value, and an untouched one is returned bit for bit. */
  toParameters(point: Float64Array): number[] {
    const x = this.start.map((value, i) => Math.min(this.upper[i], Math.max(this.lower[i], value)));
    this.free.forEach((i, j) => {
      if (point[j] !== this.toUnit(i, x[i])) x[i] = this.fromUnit(i, point[j]);
    });
    return x;
  }

  /** Steps along each parameter in turn and, when some helped, the same way once more; halves the steps otherwise. */
  pattern(firstStep: number, tolerance: number): void {
    const n = this.free.length;
    const step = new Float64Array(n).fill(firstStep);
    // A curved valley is the simplex's business: creeping along it would eat the budget.
    for (let sweep = 0; sweep < SWEEPS && !this.spent() && step.some((s) => s > tolerance); sweep++) {
      const base = this.best.slice();
      const baseValue = this.bestValue;
      for (let j = 0; j < n && !this.spent(); j++) {
        if (step[j] <= tolerance) continue;
        if (this.tryStep(j, step[j]) || this.tryStep(j, -step[j])) step[j] = Math.min(0.5, step[j] * 1.6);
        else step[j] *= 0.4;
      }
      if (this.bestValue < baseValue && !this.spent())
        this.evaluate(this.best.map((u, j) => clampUnit(u + (u - base[j]))));
    }
  }

  /** A simplex around the best point, until it is small or the budget is spent. */
  simplex(size: number, tolerance: number): void {
    const n = this.free.length;
    const points: Float64Array[] = [this.best.slice()];
    const values: number[] = [this.bestValue];
    for (let j = 0; j < n && !this.spent(); j++) {
      const point = points[0].slice();
      point[j] = point[j] + size <= 1 ? point[j] + size : point[j] - size;
      points.push(point);
      values.push(this.evaluate(point));
    }
    if (points.length <= n) return;
    const expand = 1 + 2 / n;
    const contract = 0.75 - 1 / (2 * n);
    const shrink = 1 - 1 / n;
    while (!this.spent()) {
      const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b] || a - b);
      const worst = order[n];
      if (spread(points, order[0]) <= tolerance) return;
      const centre = new Float64Array(n);
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) centre[j] += points[order[i]][j] / n;
      const away = (share: number): Float64Array =>
        centre.map((c, j) => clampUnit(c + share * (c - points[worst][j])));
      let point = away(1);
      let value = this.evaluate(point);
      if (value < values[order[0]]) {
        const further = away(expand);
        const furtherValue = this.evaluate(further);
        if (furtherValue < value) [point, value] = [further, furtherValue];
      } else if (!(value < values[order[n - 1]])) {
        const nearer = away(value < values[worst] ? contract : -contract);
        const nearerValue = this.evaluate(nearer);
        if (nearerValue < Math.min(value, values[worst])) [point, value] = [nearer, nearerValue];
        else {
          for (const i of order.slice(1)) {
            points[i] = points[i].map((u, j) => points[order[0]][j] + shrink * (u - points[order[0]][j]));
            values[i] = this.evaluate(points[i]);
          }
          if (n === 1) return;
          continue;
        }
      }
      points[worst] = point;
      values[worst] = value;
    }
  }

  private tryStep(j: number, step: number): boolean {
    const to = clampUnit(this.best[j] + step);
    if (to === this.best[j]) return false;
    const point = this.best.slice();
    point[j] = to;
    const before = this.bestValue;
    return this.evaluate(point) < before;
  }

  /** Value of a point; the best is kept. */
  private evaluate(point: Float64Array): number {
    this.evaluations++;
    const found = this.f(this.toParameters(point));
    const value = Number.isFinite(found) ? found : Infinity;
    if (value < this.bestValue) {
      this.bestValue = value;
      this.best = point.slice();
    }
    return value;
  }

  private toUnit(i: number, value: number): number {
    const low = this.lower[i];
    const high = this.upper[i];
    const inside = Math.min(high, Math.max(low, value));
    return low > 0 ? Math.log(inside / low) / Math.log(high / low) : (inside - low) / (high - low);
  }

  private fromUnit(i: number, u: number): number {
    const low = this.lower[i];
    const high = this.upper[i];
    const value = low > 0 ? low * Math.exp(u * Math.log(high / low)) : low + u * (high - low);
    return Math.min(high, Math.max(low, value));
  }
}

function clampUnit(u: number): number {
  return Math.min(1, Math.max(0, u));
}

function spread(points: readonly Float64Array[], around: number): number {
  let widest = 0;
  for (const point of points)
    for (let j = 0; j < point.length; j++) widest = Math.max(widest, Math.abs(point[j] - points[around][j]));
  return widest;
}
