/**
 * Fits of a model's parameters to measurements: the mean absolute logarithm of predicted over measured is made small,
 * with a light pull towards what was believed before. Parameters that the samples cannot tell are left alone, and the
 * result says so; unless all are asked for.
 */
import { minimize } from '../util/minimize.js';

export interface FitParameter {
  /** As the calibration file calls it, in the file's unit. */
  readonly name: string;
  readonly prior: number;
  readonly lower: number;
  readonly upper: number;
  /** Why the samples cannot tell it, when that is known beforehand: it is then left alone. */
  readonly lacking?: string | null;
}

export interface FitOptions {
  /** Price of moving a parameter by one unit of `distance`, in units of the error; default 0.002. */
  readonly pull?: number;
  /** How far a value is from its prior; default: factors of e, or shares of the range where the prior may be 0. */
  readonly distance?: (value: number, prior: number, parameter: FitParameter) => number;
  /** The error of a sample counts up to this; default: all of it. */
  readonly errorCap?: number;
  /** Figures that a fit can mean; default 4. */
  readonly digits?: number;
  /** Every parameter is fitted, whatever the samples can tell, and however little is gained; default false. */
  readonly all?: boolean;
  readonly maxEvaluations?: number;
  /** Weight of each sample; default: all equal. */
  readonly weights?: ArrayLike<number>;
}

export interface FittedParameter {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly fitted: boolean;
  /** Why it was left alone; null when it was fitted. */
  readonly reason: string | null;
}

export interface Fit {
  readonly parameters: readonly FittedParameter[];
  /** Values in the order of the parameters asked for. */
  readonly values: readonly number[];
  /** Mean |log(predicted / measured)|, before and after. */
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly samples: number;
}

/** A parameter is fitted when doubling it changes the samples' times by this much on average (as a logarithm). */
const LEAST_INFLUENCE = 0.02;
/** A number is fitted for every so many samples at most. */
const SAMPLES_PER_NUMBER = 2;
/** A fit must gain this share of the error, or nothing is changed. */
const LEAST_GAIN = 0.005;

/**
 * @param predict seconds (or whatever was measured) of every sample, written into `out`; not finite or not positive where
 * the model has no answer, which counts as a large error
 */
export function fitParameters(
  parameters: readonly FitParameter[],
  predict: (values: readonly number[], out: Float64Array) => void,
  measured: ArrayLike<number>,
  options: FitOptions = {},
): Fit {
  const { pull = 0.002, distance = steps, errorCap = Infinity, digits = 4, all = false, weights } = options;
  const n = measured.length;
  const predicted = new Float64Array(n);
  let totalWeight = 0;
  for (let i = 0; i < n; i++) totalWeight += weights?.[i] ?? 1;
  const priors = parameters.map((p) => Math.min(p.upper, Math.max(p.lower, p.prior)));
  const errorOf = (values: readonly number[]): number => {
    predict(values, predicted);
    let sum = 0;
    for (let i = 0; i < n; i++)
      sum += (weights?.[i] ?? 1) * Math.min(errorCap, logError(predicted[i], measured[i]));
    return sum / totalWeight;
  };
  const errorBefore = errorOf(parameters.map((p) => p.prior));
  const influence = parameters.map((p, i) =>
    all ? Infinity : (p.lacking ?? null) === null ? influenceOf(p, i, priors, predict, n) : 0,
  );
  const told = mostTelling(influence, all ? Infinity : Math.max(1, Math.floor(n / SAMPLES_PER_NUMBER)));
  const lower = parameters.map((p, i) => (told[i] ? p.lower : priors[i]));
  const upper = parameters.map((p, i) => (told[i] ? p.upper : priors[i]));
  const pulled = (values: readonly number[]): number =>
    errorOf(values) + pull * values.reduce((sum, v, i) => sum + distance(v, priors[i], parameters[i]), 0);
  const found = minimize(pulled, priors, lower, upper, {
    maxEvaluations: options.maxEvaluations ?? 400 * (parameters.length + 1),
  });
  let values = found.x.map((v, i) =>
    !all && unmoved(v, priors[i]) ? parameters[i].prior : Number(v.toPrecision(digits)),
  );
  let errorAfter = errorOf(values);
  const gained = all || errorAfter < errorBefore * (1 - LEAST_GAIN);
  if (!gained) {
    values = parameters.map((p) => p.prior);
    errorAfter = errorBefore;
  }
  return {
    parameters: parameters.map((p, i) => {
      const few = influence[i] >= LEAST_INFLUENCE ? 'too few samples for one more number' : null;
      const reason = !told[i]
        ? (p.lacking ?? few ?? 'the samples hardly depend on it')
        : !gained
          ? 'no value predicts the samples better'
          : values[i] === p.prior
            ? 'it predicts the samples as it is'
            : null;
      const after = told[i] ? values[i] : p.prior;
      return { name: p.name, before: p.prior, after, fitted: reason === null, reason };
    }),
    values: parameters.map((p, i) => (told[i] ? values[i] : p.prior)),
    errorBefore,
    errorAfter,
    samples: n,
  };
}

/** Those that the samples can tell, the most influential ones where there are too many. */
function mostTelling(influence: readonly number[], most: number): boolean[] {
  const order = influence.map((_, i) => i).sort((a, b) => influence[b] - influence[a] || a - b);
  const kept = new Set(order.slice(0, most).filter((i) => influence[i] >= LEAST_INFLUENCE));
  return influence.map((_, i) => kept.has(i));
}

/** A change too small to write down. */
function unmoved(value: number, prior: number): boolean {
  return Math.abs(value - prior) <= 1e-3 * Math.abs(prior);
}

/** A prediction that is no time at all is as wrong as one that is off by e^5. */
const NO_ANSWER = 5;

function logError(predicted: number, measured: number): number {
  return predicted > 0 && predicted < Infinity ? Math.abs(Math.log(predicted / measured)) : NO_ANSWER;
}

/** Steps of a parameter from its prior, in factors of e; shares whose prior may be 0 are measured against their range. */
function steps(value: number, prior: number, { lower, upper }: FitParameter): number {
  if (lower > 0) return Math.abs(Math.log(value / prior));
  return upper > 0 ? Math.abs(value - prior) / upper : 0;
}

/** Mean change of the samples' logarithms when the parameter goes up and down by a factor of 2 within its bounds. */
function influenceOf(
  parameter: FitParameter,
  index: number,
  priors: readonly number[],
  predict: (values: readonly number[], out: Float64Array) => void,
  samples: number,
): number {
  const { lower, upper } = parameter;
  const prior = priors[index];
  const step = lower > 0 ? prior : (upper - lower) / 2;
  const low = Math.max(lower, lower > 0 ? prior / 2 : prior - step);
  const high = Math.min(upper, lower > 0 ? prior * 2 : prior + step);
  if (!(high > low)) return 0;
  const at = (value: number): Float64Array => {
    const out = new Float64Array(samples);
    predict(
      priors.map((p, i) => (i === index ? value : p)),
      out,
    );
    return out;
  };
  const below = at(low);
  const above = at(high);
  let sum = 0;
  for (let i = 0; i < samples; i++)
    if (below[i] > 0 && above[i] > 0) sum += Math.abs(Math.log(above[i] / below[i]));
  return sum / samples;
}
