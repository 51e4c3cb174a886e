/** Measured runs against predictions: the whole comparison, from a csv's text to figures. */
import { readCsv } from './csv.js';
import type { GroupMetrics, Outcome, OverallMetrics } from './metrics.js';
import { byGroup, groupMetrics, overallMetrics } from './metrics.js';
import { leftOutErrors, shippedResiduals } from './intervals.js';
import { Predictor } from './predict.js';
import type { Prediction, PredictorOptions } from './predict.js';
import { regret } from './regret.js';
import type { Regret } from './regret.js';
import { outcomeOf } from './outcome.js';
import { intervalFrom } from './residuals.js';
import type { ResidualCell } from './residuals.js';
import { readRows } from './row.js';
import type { MeasuredRow, Metric, RowFault } from './row.js';
import { constantMfu } from './yardstick.js';
import { mean, median } from '../util/stats.js';

/** A row of the file, predicted or with the reason why not. */
export interface ValidatedRow {
  readonly id: string;
  readonly line: number;
  readonly metric: Metric | null;
  readonly measured: number | null;
  readonly predicted: number | null;
  /** 80 % interval of the metric. */
  readonly low: number | null;
  readonly high: number | null;
  /** What it was priced with. */
  readonly stack: string | null;
  readonly cluster: string | null;
  readonly stepTimeSec: number | null;
  readonly reason?: string;
}

export interface ValidatedGroup extends GroupMetrics {
  /** The same group by constant MFU. */
  readonly yardstickMape: number;
  readonly yardstickSpearman: number | null;
  /** Predicted with profiles that were fitted without it; null where no other source has its stack or device. */
  readonly leaveOneOutMape: number | null;
  /** Share of its rows inside their intervals. */
  readonly coverage: number;
}

export interface OverallResult extends OverallMetrics {
  readonly rows: number;
  readonly predicted: number;
  readonly skipped: number;
  readonly yardstick: OverallMetrics;
  /** Over groups that share a stack or device with another; null without any. */
  readonly leaveOneOutMedianMape: number | null;
  readonly leaveOneOutMeanMape: number | null;
  /** Share of rows inside their 80 % intervals. */
  readonly coverage: number | null;
  readonly regret: Regret;
}

export interface Validation {
  readonly rows: readonly ValidatedRow[];
  readonly groups: readonly ValidatedGroup[];
  /** Absent figures are null. */
  readonly overall: OverallResult | null;
}

export interface ValidateOptions extends PredictorOptions {
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @throws PartitionError input when the file is no table of measured runs at all; faults of rows are part of the result */
export function validateText(text: string, where: string, options: ValidateOptions = {}): Validation {
  const { rows, faults } = readRows(readCsv(text, where), where);
  return validateRows(rows, faults, options);
}

export function validateRows(
  rows: readonly MeasuredRow[],
  faults: readonly RowFault[],
  options: ValidateOptions = {},
): Validation {
  const predictor = new Predictor(options);
  const { prepared, faults: impossible } = predictor.prepareAll(rows, (done) =>
    options.onProgress?.(done, rows.length),
  );
  const predictions = predictor.predictAll(prepared);
  const outcomes = predictions.map(outcomeOf);
  const cells = shippedResiduals();
  const validated = [
    ...predictions.map((p, i) => validatedRow(p, outcomes[i], cells)),
    ...[...faults, ...impossible].map(skippedRow),
  ].sort((a, b) => a.line - b.line);
  return { rows: validated, ...figures(outcomes, cells, validated) };
}

function figures(
  outcomes: readonly Outcome[],
  cells: readonly ResidualCell[],
  rows: readonly ValidatedRow[],
): Pick<Validation, 'groups' | 'overall'> {
  if (outcomes.length === 0) return { groups: [], overall: null };
  const yardstick = constantMfu(outcomes);
  const left = leftOutErrors();
  const inside = new Map(outcomes.map((o) => [o, isInside(o, cells)]));
  const share = (some: readonly Outcome[]): number => some.filter((o) => inside.get(o)).length / some.length;
  const plain: GroupMetrics[] = [];
  const constant: GroupMetrics[] = [];
  const groups = [...byGroup(outcomes)].map(([name, some]): ValidatedGroup => {
    const own = groupMetrics(name, some);
    const other = groupMetrics(name, some, yardstick);
    plain.push(own);
    constant.push(other);
    return {
      ...own,
      yardstickMape: other.mape,
      yardstickSpearman: other.spearman,
      leaveOneOutMape: left.get(name) ?? null,
      coverage: share(some),
    };
  });
  const leftMapes = groups.flatMap((g) => g.leaveOneOutMape ?? []);
  return {
    groups,
    overall: {
      rows: rows.length,
      predicted: outcomes.length,
      skipped: rows.length - outcomes.length,
      ...overallMetrics(plain),
      yardstick: overallMetrics(constant),
      leaveOneOutMedianMape: leftMapes.length === 0 ? null : median(leftMapes),
      leaveOneOutMeanMape: leftMapes.length === 0 ? null : mean(leftMapes),
      coverage: share(outcomes),
      regret: regret(outcomes),
    },
  };
}

/** Whether what was measured lies in the interval around what was predicted. */
function isInside(o: Outcome, cells: readonly ResidualCell[]): boolean {
  const { low, high } = intervalFrom(cells, o.stack, o.device, o.group);
  const ratio = o.measuredSec / o.predictedSec;
  return ratio >= low && ratio <= high;
}

function validatedRow(p: Prediction, o: Outcome, cells: readonly ResidualCell[]): ValidatedRow {
  const { row, setting } = p.prepared;
  const { low, high } = intervalFrom(cells, o.stack, o.device, o.group);
  // Rates fall as the step grows.
  const isTime = row.metric === 'step_s';
  return {
    id: row.id,
    line: row.line,
    metric: row.metric,
    measured: row.value,
    predicted: p.value,
    low: finiteOrNull(isTime ? p.value * low : p.value / high),
    high: finiteOrNull(isTime ? p.value * high : p.value / low),
    stack: setting.stack,
    cluster: setting.preset,
    stepTimeSec: p.stepTimeSec,
  };
}

/** JSON knows no infinity: nothing bounds a prediction on a stack and device that no source speaks of. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function skippedRow({ id, line, reason }: RowFault): ValidatedRow {
  return {
    id,
    line,
    metric: null,
    measured: null,
    predicted: null,
    low: null,
    high: null,
    stack: null,
    cluster: null,
    stepTimeSec: null,
    reason,
  };
}
