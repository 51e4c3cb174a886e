/**
 * Fits the shipped stack profiles to measured runs as `fitPlan` says, all rows together or with one source left out. Every
 * source of a few rows or more has the same say; a row counts with the logarithm of predicted over measured step time, capped, so that a run
 * that nobody can explain does not bend a profile.
 */
import type { Overlay } from '../cluster/overlay.js';
import { readStack, stackDocument } from '../cost/stack.js';
import type { StackProfile } from '../cost/stack.js';
import { fitParameters } from './fit.js';
import { plannedFits } from './fitPlan.js';
import type { PlannedFit, PlannedNumber } from './fitPlan.js';
import type { Predictor, Prepared } from './predict.js';
import { stepTimeOf } from './predict.js';
import { groupOf } from './row.js';

/** Values of one fit's numbers, in their order, in the unit of the file. */
export interface FittedStack {
  readonly fit: PlannedFit;
  readonly values: readonly number[];
  readonly rows: number;
  readonly sources: readonly string[];
  /** Mean over sources, each by its say, of the mean |log(predicted / measured)|. */
  readonly error: number;
}

const ERROR_CAP = 0.7;
/** Rows from which on a source has its full say; of fewer it has less. */
const FULL_SAY_ROWS = 4;
/** Price of moving a number from its prior across the whole of its range. */
const PULL = 0.004;
const EVALUATIONS_PER_NUMBER = 90;

/** Fits everything; `without` leaves a source out and keeps of `known` the fits that it had no part in. */
export function fitStacks(
  predictor: Predictor,
  prepared: readonly Prepared[],
  without: string | null = null,
  known: readonly FittedStack[] = [],
  onProgress: (text: string) => void = () => undefined,
): FittedStack[] {
  const fitted: FittedStack[] = [];
  for (const fit of plannedFits()) {
    const own = prepared.filter((run) => belongs(fit, run));
    const left = own.filter((run) => groupOf(run.row.id) !== without);
    const before = known[fitted.length];
    if (before !== undefined && left.length === own.length) fitted.push(before);
    else if (left.length === 0) fitted.push(unfitted(fit));
    else fitted.push(fitOne(predictor, fit, left, overlaysOf(fitted), onProgress));
  }
  // Stand-ins may come later in the list than what they stand in for.
  const overlays = overlaysOf(fitted);
  return fitted.map((f) => (f.rows === 0 && f.fit.standIn !== null ? standIn(f.fit, overlays) : f));
}

/** Profiles under fitted numbers. */
export function profilesOf(fitted: readonly FittedStack[]): (name: string) => StackProfile {
  const overlays = overlaysOf(fitted);
  const profiles = new Map<string, StackProfile>();
  return (name) => {
    let profile = profiles.get(name);
    if (profile === undefined) profiles.set(name, (profile = profileUnder(name, overlays)));
    return profile;
  };
}

function belongs(fit: PlannedFit, run: Prepared): boolean {
  if (!fit.stacks.includes(run.setting.stack)) return false;
  const experts = (run.row.experts ?? 1) > 1;
  return fit.rows === 'all' || (fit.rows === 'experts') === experts;
}

function fitOne(
  predictor: Predictor,
  fit: PlannedFit,
  runs: readonly Prepared[],
  fixed: ReadonlyMap<string, Overlay>,
  onProgress: (text: string) => void,
): FittedStack {
  const measured = runs.map((run) => stepTimeOf(run, run.row.value));
  const sources = [...new Set(runs.map((run) => groupOf(run.row.id)))];
  const sourceOf = runs.map((run) => sources.indexOf(groupOf(run.row.id)));
  const size = sources.map((_, s) => sourceOf.reduce((n, t) => n + (t === s ? 1 : 0), 0));
  const say = size.map((n) => Math.min(1, n / FULL_SAY_ROWS));
  let evaluations = 0;
  const predict = (values: readonly number[], out: Float64Array): void => {
    const overlays = layOver(fixed, fit.numbers, values);
    const profiles = new Map(fit.stacks.map((name) => [name, profileUnder(name, overlays)]));
    predictor
      .predictAll(runs, { stack: (name) => profiles.get(name)! })
      .forEach(({ stepTimeSec }, i) => (out[i] = stepTimeSec));
    if (++evaluations % 25 === 0) onProgress(`fitting ${fit.stacks.join(', ')}: ${evaluations} tries`);
  };
  const { values, errorAfter } = fitParameters(
    fit.numbers.map((n) => ({ name: n.key, prior: n.prior, lower: n.lower, upper: n.upper })),
    predict,
    measured,
    {
      all: true,
      errorCap: ERROR_CAP,
      weights: sourceOf.map((s) => say[s] / size[s]),
      pull: PULL,
      distance: (value, prior, { lower, upper }) => ((value - prior) / (upper - lower)) ** 2,
      digits: 3,
      maxEvaluations: EVALUATIONS_PER_NUMBER * (fit.numbers.length + 1),
    },
  );
  return { fit, values, rows: runs.length, sources, error: errorAfter };
}

function unfitted(fit: PlannedFit): FittedStack {
  return { fit, values: fit.numbers.map((n) => n.prior), rows: 0, sources: [], error: NaN };
}

/** The numbers of the profile that stands in: of its own stacks, on every device. */
function standIn(fit: PlannedFit, overlays: ReadonlyMap<string, Overlay>): FittedStack {
  const document = stackDocument(fit.standIn!, overlays);
  const values = fit.numbers.map((n) => {
    const value = document[n.key] as { value: number } | number | undefined;
    return value === undefined ? n.prior : typeof value === 'number' ? value : value.value;
  });
  return { fit, values, rows: 0, sources: [], error: NaN };
}

function profileUnder(name: string, overlays: ReadonlyMap<string, Overlay>): StackProfile {
  return readStack(stackDocument(name, overlays), name, name);
}

/** The overlay of each profile that some number belongs to. */
export function overlaysOf(fitted: readonly FittedStack[]): ReadonlyMap<string, Overlay> {
  let overlays: ReadonlyMap<string, Overlay> = new Map();
  for (const f of fitted) overlays = layOver(overlays, f.fit.numbers, f.values, sourceText(f));
  return overlays;
}

function sourceText(f: FittedStack): string {
  if (f.rows === 0) return f.fit.standIn === null ? 'prior: no row to fit to' : `as ${f.fit.standIn}`;
  return `fitted to ${f.rows} rows of ${f.sources.join(', ')}`;
}

function layOver(
  below: ReadonlyMap<string, Overlay>,
  numbers: readonly PlannedNumber[],
  values: readonly number[],
  source = 'being fitted',
): Map<string, Overlay> {
  const overlays = new Map<string, Record<string, unknown>>();
  for (const [name, overlay] of below) overlays.set(name, { ...overlay });
  numbers.forEach(({ stack, key, devices }, i) => {
    let overlay = overlays.get(stack);
    if (overlay === undefined) overlays.set(stack, (overlay = {}));
    const figure = { value: values[i], source };
    if (devices.length === 0) overlay[key] = figure;
    else {
      const onDevice = { ...(overlay.onDevice as Record<string, object> | undefined) };
      for (const device of devices) onDevice[device] = { ...onDevice[device], [key]: figure };
      overlay.onDevice = onDevice;
    }
  });
  return overlays;
}
