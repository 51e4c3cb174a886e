/**
 * The network of every agent: scores candidates from their features and values the state from its context.
 *
 *     [context | option] -> dense, ReLU -> dense, ReLU -> score      one row per legal option
 *     [context]          -> dense, ReLU -> dense, ReLU -> value      one row per step
 *
 * Nothing in it is sized by the number of options or devices. All options of all steps of a batch are rows of one
 * matrix (`Batch`), so a batch is priced by a handful of matrix products.
 *
 * The WebAssembly backend has no gradient for gather, so sums over a step's options are products with a 0/1 matrix,
 * and its products with a transposed operand are slow, so gradients transpose explicitly.
 */
import type { Scalar, Tensor2D, Variable } from '@tensorflow/tfjs';
import type { Random } from '../util/random.js';
import type { TensorFlow } from './backend.js';
import type { EnvironmentSpec, Observation } from './environment.js';

/** Scores are squashed into +-SCORE_LIMIT, so that exp never overflows and no option is ruled out for good. */
export const SCORE_LIMIT = 10;

/** Observations packed for the network: the legal options of step t are rows rowStart[t] .. rowStart[t + 1]. */
export interface Batch {
  readonly stepCount: number;
  readonly rowCount: number;
  readonly rowStart: Int32Array;
  /** Index of each row's option in its observation. */
  readonly rowOption: Int32Array;
  /** Row-major [rowCount, contextFeatures + optionFeatures]. */
  readonly rows: Float32Array;
  /** Row-major [stepCount, contextFeatures]. */
  readonly contexts: Float32Array;
}

/** Packs observations; masked options get no row. */
export function packBatch(spec: EnvironmentSpec, observations: readonly Observation[]): Batch {
  const stepCount = observations.length;
  const { contextFeatures: c, optionFeatures: o } = spec;
  const rowStart = new Int32Array(stepCount + 1);
  for (let t = 0; t < stepCount; t++) {
    let legal = 0;
    for (const m of observations[t].mask) legal += m;
    rowStart[t + 1] = rowStart[t] + legal;
  }
  const rowCount = rowStart[stepCount];
  const rowOption = new Int32Array(rowCount);
  const rows = new Float32Array(rowCount * (c + o));
  const contexts = new Float32Array(stepCount * c);
  let row = 0;
  for (let t = 0; t < stepCount; t++) {
    const { mask, options, context, optionCount } = observations[t];
    contexts.set(context, t * c);
    for (let i = 0; i < optionCount; i++) {
      if (mask[i] !== 1) continue;
      rowOption[row] = i;
      rows.set(context, row * (c + o));
      rows.set(options.subarray(i * o, (i + 1) * o), row * (c + o) + c);
      row++;
    }
  }
  return { stepCount, rowCount, rowStart, rowOption, rows, contexts };
}

export class Scorer {
  readonly variables: Variable[];
  private readonly policy: Variable[];
  private readonly critic: Variable[];

  /** Scores start near 0 (a uniform policy), values at 0. */
  constructor(
    readonly tf: TensorFlow,
    readonly spec: EnvironmentSpec,
    hidden: number,
    random: Random,
  ) {
    const c = spec.contextFeatures;
    this.policy = this.layers([c + spec.optionFeatures, hidden, hidden, 1], random);
    this.critic = this.layers([c, hidden, hidden, 1], random);
    this.variables = [...this.policy, ...this.critic];
  }

  /** Scores of all rows [rowCount, 1]; keeps the gradient of the weights. `rows` must outlive the gradient's computation. */
  scores(rows: Tensor2D): Tensor2D {
    const x = this.forward(rows, this.policy);
    return this.tf.mul(this.tf.tanh(this.tf.div(x, SCORE_LIMIT)), SCORE_LIMIT);
  }

  /** Values of all steps [stepCount, 1]; as `scores`. */
  values(contexts: Tensor2D): Tensor2D {
    return this.forward(contexts, this.critic);
  }

  /** Scores and values without gradients. */
  infer(batch: Batch): { scores: Float32Array; values: Float32Array } {
    const { tf, spec } = this;
    const scores = tf.tidy(
      () => this.scores(tf.tensor2d(batch.rows, [batch.rowCount, width(spec)])).dataSync() as Float32Array,
    );
    const values = tf.tidy(
      () =>
        this.values(
          tf.tensor2d(batch.contexts, [batch.stepCount, spec.contextFeatures]),
        ).dataSync() as Float32Array,
    );
    return { scores: scores.slice(), values: values.slice() };
  }

  /** Loss and its gradients, flattened in the order of `variables`. */
  gradients(loss: () => Scalar): { loss: number; gradients: Float32Array[] } {
    const { value, grads } = this.tf.variableGrads(loss, this.variables);
    const result = value.dataSync()[0];
    value.dispose();
    const gradients = this.variables.map((v) => {
      const g = grads[v.name] as Tensor2D | undefined;
      // A loss that does not see a weight has no gradient there.
      if (g === undefined) return new Float32Array(v.size);
      const data = (g.dataSync() as Float32Array).slice();
      g.dispose();
      return data;
    });
    return { loss: result, gradients };
  }

  /** Moves the weights towards those of another network of the same shapes; a share of 1 copies them. */
  follow(other: Scorer, share: number): void {
    this.variables.forEach((v, k) => {
      const source = other.variables[k].dataSync() as Float32Array;
      const weights = (v.dataSync() as Float32Array).slice();
      for (let i = 0; i < weights.length; i++) weights[i] += share * (source[i] - weights[i]);
      const tensor = this.tf.tensor(share === 1 ? source.slice() : weights, v.shape);
      v.assign(tensor);
      tensor.dispose();
    });
  }

  dispose(): void {
    for (const v of this.variables) v.dispose();
  }

  /** Weights and biases of a perceptron; He-initialised from our own seed, the last layer 100 times smaller. */
  private layers(sizes: readonly number[], random: Random): Variable[] {
    const variables: Variable[] = [];
    for (let k = 0; k + 1 < sizes.length; k++) {
      const [n, m] = [sizes[k], sizes[k + 1]];
      const scale = Math.sqrt(2 / n) * (k + 2 === sizes.length ? 0.01 : 1);
      const weights = Float32Array.from({ length: n * m }, () => scale * random.normal());
      const initial = this.tf.tensor2d(weights, [n, m]);
      const zero = this.tf.zeros([1, m]);
      variables.push(this.tf.variable(initial), this.tf.variable(zero));
      initial.dispose();
      zero.dispose();
    }
    return variables;
  }

  private forward(input: Tensor2D, variables: readonly Variable[]): Tensor2D {
    const { tf } = this;
    let x = input;
    for (let k = 0; k < variables.length; k += 2) {
      const product =
        k === 0 ? inputMatMul(tf, x, variables[0] as Tensor2D) : matMul(tf, x, variables[k] as Tensor2D);
      x = tf.add(product, variables[k + 1]);
      if (k + 2 < variables.length) x = tf.relu(x);
    }
    return x;
  }
}

/** 1 in the row of each step's choice, 0 elsewhere; choices are places among the legal options. */
export function oneHot(batch: Batch, choices: ArrayLike<number>): Float32Array {
  const chosen = new Float32Array(batch.rowCount);
  for (let t = 0; t < batch.stepCount; t++) chosen[batch.rowStart[t] + choices[t]] = 1;
  return chosen;
}

/** Features of one row of a batch. */
export function width(spec: EnvironmentSpec): number {
  return spec.contextFeatures + spec.optionFeatures;
}

/** a b, with gradients through explicit transposes. */
export function matMul(tf: TensorFlow, a: Tensor2D, b: Tensor2D): Tensor2D {
  const op = tf.customGrad((x, y, save) => {
    (save as (tensors: unknown[]) => void)([x, y]);
    return {
      value: tf.matMul(x as Tensor2D, y as Tensor2D),
      gradFunc: (dz, saved) => {
        const [p, q] = saved as [Tensor2D, Tensor2D];
        return [tf.matMul(dz, tf.transpose(q)), tf.matMul(tf.transpose(p), dz)];
      },
    };
  });
  return op(a, b) as Tensor2D;
}

/** Like `matMul`, for a constant `a`, whose gradient nobody wants. */
export function inputMatMul(tf: TensorFlow, a: Tensor2D, b: Tensor2D): Tensor2D {
  const op = tf.customGrad((y) => ({
    value: tf.matMul(a, y as Tensor2D),
    gradFunc: (dz) => [tf.matMul(tf.transpose(a), dz)],
  }));
  return op(b) as Tensor2D;
}

/** s x for a constant 0/1 matrix s [steps, rows] given with its transpose; x [rows, 1]. */
export function segmentSum(tf: TensorFlow, s: Tensor2D, transposed: Tensor2D, x: Tensor2D): Tensor2D {
  const op = tf.customGrad((y) => ({
    value: tf.matMul(s, y as Tensor2D),
    gradFunc: (dz) => [tf.matMul(transposed, dz)],
  }));
  return op(x) as Tensor2D;
}
