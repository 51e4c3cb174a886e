/**
 * The policy's network in plain typed arrays: scores only, for where nothing is learned. Loading TensorFlow.js takes longer
 * than many a plan, and a small perceptron on a few rows gains nothing from it. The same layers and the same squashing as
 * `scorer`, in double precision sums; what the context adds to the first layer is computed once per decision.
 */
import { PartitionError } from '../util/errors.js';
import type { Checkpoint } from './checkpoint.js';
import type { EnvironmentSpec, Observation } from './environment.js';
import { SCORE_LIMIT } from './scorer.js';

export class FastPolicy {
  private readonly hidden: number;
  private readonly base: Float64Array;
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  private readonly w1: Float64Array;
  private readonly b1: Float64Array;
  private readonly w2: Float64Array;
  private readonly b2: Float64Array;
  private readonly w3: Float64Array;
  private readonly b3: number;

  /** @throws PartitionError input when the checkpoint is for other observations or has other layers */
  constructor(
    { weights, environment }: Pick<Checkpoint, 'weights' | 'environment'>,
    readonly spec: EnvironmentSpec,
    where: string,
  ) {
    const { hidden: h } = environment;
    const rowFeatures = spec.contextFeatures + spec.optionFeatures;
    const expected = [rowFeatures * h, h, h * h, h, h, 1];
    if (expected.some((size, k) => weights[k]?.length !== size))
      throw new PartitionError('input', 'checkpoint of a network of other layers', where, 'train again');
    this.hidden = h;
    [this.w1, this.b1, this.w2, this.b2, this.w3] = weights.map((w) => Float64Array.from(w));
    this.b3 = weights[5][0];
    this.base = new Float64Array(h);
    this.first = new Float64Array(h);
    this.second = new Float64Array(h);
  }

  /** Score of every option, -Infinity of those that are masked. */
  scores({ optionCount, options, mask, context }: Observation): Float64Array {
    const { hidden: h, spec, base, w1, b1 } = this;
    const out = new Float64Array(optionCount).fill(-Infinity);
    for (let u = 0; u < h; u++) base[u] = b1[u];
    addRows(base, context, 0, spec.contextFeatures, w1, 0, h);
    for (let i = 0; i < optionCount; i++) if (mask[i] === 1) out[i] = this.score(options, i);
    return out;
  }

  private score(options: Float32Array, i: number): number {
    const { hidden: h, spec, base, first, second, w1, w2, b2, w3 } = this;
    first.set(base);
    addRows(first, options, i * spec.optionFeatures, spec.optionFeatures, w1, spec.contextFeatures, h);
    for (let v = 0; v < h; v++) second[v] = b2[v];
    for (let u = 0; u < h; u++) {
      const value = first[u];
      // About half of the units are silent.
      if (value <= 0) continue;
      const at = u * h;
      for (let v = 0; v < h; v++) second[v] += value * w2[at + v];
    }
    let x = this.b3;
    for (let v = 0; v < h; v++) if (second[v] > 0) x += second[v] * w3[v];
    return SCORE_LIMIT * Math.tanh(x / SCORE_LIMIT);
  }
}

/** to += x[from, from + count) times rows `row` onward of the weights [., h]; zeros, of which there are many, are skipped. */
function addRows(
  to: Float64Array,
  x: Float32Array,
  from: number,
  count: number,
  weights: Float64Array,
  row: number,
  h: number,
): void {
  for (let k = 0; k < count; k++) {
    const value = x[from + k];
    if (value === 0) continue;
    const at = (row + k) * h;
    for (let u = 0; u < h; u++) to[u] += value * weights[at + u];
  }
}
