/** A plain perceptron on rows, with the scorer's products (see `scorer`): for learners of numbers. */
import type { Scalar, Tensor2D, Variable } from '@tensorflow/tfjs';
import type { Random } from '../util/random.js';
import type { TensorFlow } from './backend.js';
import { inputMatMul, matMul } from './scorer.js';

/** One dense layer after another, ReLU between them. */
export class Perceptron {
  readonly variables: Variable[] = [];

  /**
   * @param sizes of the input, the hidden layers and the output; weights He-initialised
   * @param lastScale of the last layer's weights: small for answers that start near 0
   */
  constructor(
    private readonly tf: TensorFlow,
    readonly sizes: readonly number[],
    lastScale: number,
    random: Random,
  ) {
    for (let k = 0; k + 1 < sizes.length; k++) {
      const [n, m] = [sizes[k], sizes[k + 1]];
      const scale = Math.sqrt(2 / n) * (k + 2 === sizes.length ? lastScale : 1);
      const weights = Float32Array.from({ length: n * m }, () => scale * random.normal());
      this.variables.push(
        tf.tidy(() => tf.variable(tf.tensor2d(weights, [n, m]))),
        tf.tidy(() => tf.variable(tf.zeros([1, m]))),
      );
    }
  }

  /** @param isConstant no gradient with respect to the input is wanted */
  apply(input: Tensor2D, isConstant: boolean): Tensor2D {
    const { tf, variables } = this;
    let x = input;
    for (let k = 0; k < variables.length; k += 2) {
      const w = variables[k] as Tensor2D;
      x = tf.add(k === 0 && isConstant ? inputMatMul(tf, x, w) : matMul(tf, x, w), variables[k + 1]);
      if (k + 2 < variables.length) x = tf.relu(x);
    }
    return x;
  }

  dispose(): void {
    for (const v of this.variables) v.dispose();
  }
}

/** Gradients of a loss with respect to some variables, on the host. */
export function gradientsOf(
  tf: TensorFlow,
  variables: readonly Variable[],
  loss: () => Scalar,
): Float32Array[] {
  const { value, grads } = tf.variableGrads(loss, [...variables]);
  value.dispose();
  return variables.map((v) => {
    const g = grads[v.name] as Tensor2D | undefined;
    if (g === undefined) return new Float32Array(v.size);
    const data = (g.dataSync() as Float32Array).slice();
    g.dispose();
    return data;
  });
}
