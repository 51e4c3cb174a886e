/**
 * How wrong predictions are of a source that the profiles never saw: each source in turn is left out, what it had a part in is
 * fitted again, and its rows are predicted with that.
 */
import { mean } from '../util/stats.js';
import { errorAt } from './metrics.js';
import type { Predictor, Prepared } from './predict.js';
import type { ResidualCell } from './residuals.js';
import { residualCells } from './residuals.js';
import { groupOf } from './row.js';
import type { FittedStack } from './stackFits.js';
import { fitStacks, profilesOf } from './stackFits.js';
import { outcomeOf } from './outcome.js';

export interface LeftOutSource {
  readonly group: string;
  /** Mean absolute percentage error of its rows, as a share; null where no other source has its stack, a stand-in or its device. */
  readonly mape: number | null;
}

export interface LeftOut {
  readonly sources: readonly LeftOutSource[];
  /** Only of sources that share something. */
  readonly cells: readonly ResidualCell[];
}

export function leaveOneOut(
  predictor: Predictor,
  prepared: readonly Prepared[],
  fitted: readonly FittedStack[],
  onProgress: (text: string) => void = () => undefined,
): LeftOut {
  const groups = [...new Set(prepared.map((run) => groupOf(run.row.id)))];
  const sources: LeftOutSource[] = [];
  const cells: ResidualCell[] = [];
  for (const group of groups) {
    const own = prepared.filter((run) => groupOf(run.row.id) === group);
    const others = prepared.filter((run) => groupOf(run.row.id) !== group);
    if (!own.some((run) => others.some((other) => sharesWith(run, other)))) {
      sources.push({ group, mape: null });
      continue;
    }
    const without = fitStacks(predictor, prepared, group, fitted, (text) =>
      onProgress(`without ${group}: ${text}`),
    );
    const outcomes = predictor.predictAll(own, { stack: profilesOf(without) }).map(outcomeOf);
    sources.push({ group, mape: mean(outcomes.map((o) => errorAt(o, o.predictedSec))) });
    cells.push(...residualCells(outcomes));
  }
  return { sources, cells };
}

function sharesWith(a: Prepared, b: Prepared): boolean {
  return a.setting.stack === b.setting.stack || a.setting.preset === b.setting.preset;
}
