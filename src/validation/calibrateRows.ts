/**
 * Fits stack profiles to measured training runs: few numbers per stack, the same for all of its rows, each source with
 * the same say, pulled towards what the profile said before.
 */
import { loadStack, stackNumber } from '../cost/stack.js';
import type { STACK_NUMBERS, StackProfile } from '../cost/stack.js';
import type { CalibrationPart, ErrorGroup } from './calibrationResult.js';
import { percentError } from './calibrationResult.js';
import { fitParameters } from './fit.js';
import type { FitParameter } from './fit.js';
import type { Prepared, Predictor } from './predict.js';
import { stepTimeOf } from './predict.js';
import { groupOf } from './row.js';

type StackNumber = (typeof STACK_NUMBERS)[number];

/** What a profile may be fitted in, the most telling first where rows are few; upper bounds of times in seconds. */
const FITTED: readonly { readonly number: StackNumber; readonly upper?: number; readonly lower?: number }[] =
  [
    { number: 'matrixEfficiency', lower: 0.3 },
    { number: 'pointwisePasses', lower: 0.5, upper: 6 },
    { number: 'tpExposed' },
    { number: 'networkBandwidthShare', lower: 0.1 },
    { number: 'hostSecPerBlock', upper: 300e-6 },
    { number: 'gradientsUnderBackward' },
    { number: 'gathersUnderForward' },
    { number: 'attentionEfficiency', lower: 0.3 },
    { number: 'microbatchOverheadSec', upper: 30e-3 },
    { number: 'groupedEfficiency', lower: 0.2 },
    { number: 'epExposed' },
    { number: 'fp8Efficiency', lower: 0.3 },
    { number: 'cpExposed' },
    { number: 'stepOverheadSec', upper: 1 },
  ];

/** A number is fitted for every so many rows of its stack. */
const ROWS_PER_NUMBER = 5;
/** Rows of a stack without which nothing of it is fitted. */
const LEAST_ROWS = 3;
/** Stronger than for benchmarks: rows are noisy and their settings are partly guessed. */
const PULL = 0.01;
const EVALUATIONS_PER_NUMBER = 60;

export interface RowFitOptions {
  /** Profile of a name before the fit. */
  readonly stack?: ((name: string) => StackProfile) | undefined;
  /** What was measured, for the origin of each number. */
  readonly source: string;
  readonly onProgress?: (text: string) => void;
}

/** One part for each stack that the rows ran on. */
export function fitRows(
  predictor: Predictor,
  prepared: readonly Prepared[],
  options: RowFitOptions,
): CalibrationPart[] {
  const byStack = new Map<string, Prepared[]>();
  for (const run of prepared) {
    const { stack } = run.setting;
    byStack.set(stack, [...(byStack.get(stack) ?? []), run]);
  }
  return [...byStack].map(([name, runs]) => fitStack(predictor, name, runs, options));
}

function fitStack(
  predictor: Predictor,
  name: string,
  runs: readonly Prepared[],
  options: RowFitOptions,
): CalibrationPart {
  const profile = (options.stack ?? loadStack)(name);
  const knobs = chooseNumbers(predictor, profile, runs);
  const measured = Float64Array.from(runs, (run) => stepTimeOf(run, run.row.value));
  const groups = runs.map((run) => groupOf(run.row.id));
  const size = new Map<string, number>();
  for (const group of groups) size.set(group, (size.get(group) ?? 0) + 1);
  let evaluations = 0;
  const predict = (values: readonly number[], out: Float64Array): void => {
    const changed = withNumbers(profile, knobs, values);
    predictor
      .predictAll(runs, { stack: () => changed })
      .forEach(({ stepTimeSec }, i) => (out[i] = stepTimeSec));
    evaluations++;
    options.onProgress?.(
      `fitting ${knobs.length} numbers of ${name} to ${runs.length} runs: ${evaluations} tries`,
    );
  };
  const fit = fitParameters(knobs, predict, measured, {
    pull: PULL,
    weights: Float64Array.from(groups, (group) => 1 / size.get(group)!),
    maxEvaluations: EVALUATIONS_PER_NUMBER * (knobs.length + 1),
  });
  const before = new Float64Array(runs.length);
  const after = new Float64Array(runs.length);
  predict(
    knobs.map((k) => k.prior),
    before,
  );
  predict(fit.values, after);
  const source = `fit to ${runs.length} measured runs of ${options.source}: mean error ${percentError(fit.errorBefore)} before, ${percentError(fit.errorAfter)} after`;
  const overlay: Record<string, unknown> = {};
  fit.parameters.forEach((p, i) => {
    if (p.fitted) overlay[p.name] = { value: fit.values[i], source };
  });
  const left = FITTED.filter(({ number }) => !knobs.some((knob) => knob.number === number)).map(
    ({ number }) => stackNumber(number).key,
  );
  return {
    title: `stack ${name}`,
    samples: runs.length,
    errorBefore: fit.errorBefore,
    errorAfter: fit.errorAfter,
    parameters: fit.parameters,
    groups: [...size.keys()].map((group) => errorOf(group, groups, measured, before, after)),
    notes:
      runs.length < LEAST_ROWS
        ? [`${runs.length} rows are too few to fit anything: nothing was changed`]
        : left.length > 0
          ? [`left alone, as the rows hardly depend on them or are too few: ${left.join(', ')}`]
          : [],
    overlay: {
      devices: {},
      networks: {},
      stacks: Object.keys(overlay).length === 0 ? {} : { [name]: overlay },
    },
  };
}

interface Knob extends FitParameter {
  readonly number: StackNumber;
  readonly unit: number;
}

/** As many numbers as the rows can bear, those on which the predictions depend most. */
function chooseNumbers(predictor: Predictor, profile: StackProfile, runs: readonly Prepared[]): Knob[] {
  if (runs.length < LEAST_ROWS) return [];
  const all = FITTED.map(({ number, lower, upper }): Knob => {
    const { min, max, key, unit } = stackNumber(number);
    return {
      name: key,
      number,
      unit,
      prior: profile[number] / unit,
      lower: (lower ?? min) / unit,
      upper: (upper ?? max) / unit,
    };
  });
  const plain = timesOf(predictor, profile, runs);
  const influence = all.map((knob) => {
    const middle = knob.lower > 0 ? Math.sqrt(knob.lower * knob.upper) : (knob.lower + knob.upper) / 2;
    // A step away from the prior, towards the middle of the bounds.
    const step =
      knob.lower > 0
        ? middle < knob.prior
          ? knob.prior / 1.5
          : knob.prior * 1.5
        : (knob.prior + middle) / 2;
    const value = step === knob.prior ? knob.upper : Math.min(knob.upper, Math.max(knob.lower, step));
    const changed = timesOf(predictor, withNumbers(profile, [knob], [value]), runs);
    return changed.reduce((sum, t, i) => sum + Math.abs(Math.log(t / plain[i])), 0) / runs.length;
  });
  const count = Math.max(1, Math.floor(runs.length / ROWS_PER_NUMBER));
  return all
    .map((knob, i) => ({ knob, influence: influence[i] }))
    .filter((entry) => entry.influence > 0.002)
    .sort((a, b) => b.influence - a.influence)
    .slice(0, count)
    .map((entry) => entry.knob);
}

function timesOf(predictor: Predictor, profile: StackProfile, runs: readonly Prepared[]): number[] {
  return predictor.predictAll(runs, { stack: () => profile }).map((p) => p.stepTimeSec);
}

/** The profile with these numbers, given in the unit of its file. */
function withNumbers(profile: StackProfile, knobs: readonly Knob[], values: readonly number[]): StackProfile {
  const changed = { ...profile };
  knobs.forEach(({ number, unit }, i) => Object.assign(changed, { [number]: values[i] * unit }));
  return changed;
}

function errorOf(
  name: string,
  groups: readonly string[],
  measured: Float64Array,
  before: Float64Array,
  after: Float64Array,
): ErrorGroup {
  const own = groups.flatMap((group, i) => (group === name ? [i] : []));
  const error = (predicted: Float64Array): number =>
    own.reduce((sum, i) => sum + Math.abs(Math.log(predicted[i] / measured[i])), 0) / own.length;
  return { name, samples: own.length, errorBefore: error(before), errorAfter: error(after) };
}
