/** How far estimate and engine are apart: 1,000 random legal plans of 6 models, by model and by schedule. */
import { SCHEDULES } from '../src/parallel/index.js';
import { quantile } from '../src/util/stats.js';
import { gaps } from '../test/support/agreement.js';
import type { Gap } from '../test/support/agreement.js';
import { RANDOM_MODELS, randomModelProblem } from '../test/support/randomPlans.js';

const PLANS = 1000;

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Median, 95th percentile and worst, percent of the step. */
function rowsOf(label: string, found: readonly Gap[]): Row[] {
  const times = found.map((g) => 100 * g.time);
  return (
    [
      ['median', 0.5],
      ['p95', 0.95],
      ['worst', 1],
    ] as const
  ).map(([name, q]) => ({
    name: `gap of ${label}, ${found.length} plans, ${name}`,
    value: quantile(times, q),
    unit: '%',
  }));
}

export function run(): Row[] {
  const rows: Row[] = [];
  const all: Gap[] = [];
  for (const model of RANDOM_MODELS) {
    const found = gaps(randomModelProblem(model), Math.ceil(PLANS / RANDOM_MODELS.length), 2);
    rows.push(...rowsOf(model.name, found));
    all.push(...found);
  }
  for (const schedule of SCHEDULES)
    rows.push(
      ...rowsOf(
        schedule,
        all.filter((g) => g.schedule === schedule),
      ),
    );
  rows.push(...rowsOf('all models', all));
  return rows;
}
