/** Measured runs against predictions: the whole comparison, from a csv's text to figures. */
import { readCsv } from './csv.js';
import type { GroupMetrics, Outcome, OverallMetrics } from './metrics.js';
import { byGroup, groupMetrics, overallMetrics } from './metrics.js';
import { shippedResiduals } from './intervals.js';
import { Predictor, stepTimeOf } from './predict.js';
import type { Prediction, PredictorOptions } from './predict.js';
import { regret } from './regret.js';
import type { Regret } from './regret.js';
import { intervalFrom, leaveOneOut, residualCells } from './residuals.js';
import type { ResidualCell } from './residuals.js';
import { groupOf, readRows } from './row.js';
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
  /** With what the other sources taught; null where none shares its stack or device. */
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

/** Sources in a file from which its own intervals are read; of fewer the shipped ones are taken. */
const LEAST_SOURCES = 3;

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
  const groups = byGroup(outcomes);
  const cells = groups.size >= LEAST_SOURCES ? residualCells(outcomes) : shippedResiduals();
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
  const left = new Map(leaveOneOut(outcomes).map(({ name, mape }) => [name, mape]));
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
  const leftMapes = [...left.values()];
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

/** A prediction as the figures see it. */
export function outcomeOf(p: Prediction): Outcome {
  const { row, setting, base, modelFlop, candidate } = p.prepared;
  const { globalBatch } = setting;
  return {
    id: row.id,
    group: groupOf(row.id),
    stack: setting.stack,
    device: setting.preset,
    precision: setting.precision,
    metric: row.metric,
    measured: row.value,
    predicted: p.value,
    measuredSec: stepTimeOf(p.prepared, row.value),
    predictedSec: p.stepTimeSec,
    flopPerDevice: (modelFlop * globalBatch) / row.devices,
    peakFlopPerSec: base.cluster.groups[0].device.peakFlopPerSec[setting.precision],
    setup: JSON.stringify([
      groupOf(row.id),
      row.source,
      setting.stack,
      row.modelName,
      row.layers,
      row.hidden,
      row.hardware,
      row.devices,
      row.sequenceLength,
      row.precision,
      globalBatch,
      row.metric,
    ]),
    configuration: JSON.stringify([
      row.tp,
      row.pp,
      setting.vpp,
      row.cp,
      row.ep,
      setting.etp,
      setting.zeroStage,
      setting.microbatch,
      candidate.recompute[candidate.recompute.length >> 1],
      row.sequenceParallel,
    ]),
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
