/** Adam (Kingma and Ba, 2015) on the host: the networks are so small that one pass over their weights costs nothing. */
import type { Variable } from '@tensorflow/tfjs';
import type { TensorFlow } from './backend.js';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-5;

/** First and second moments per variable. */
export interface AdamState {
  readonly steps: number;
  readonly first: readonly Float64Array[];
  readonly second: readonly Float64Array[];
}

export class Adam {
  private readonly weights: Float32Array[];
  private readonly first: Float64Array[];
  private readonly second: Float64Array[];
  private steps = 0;

  constructor(
    private readonly tf: TensorFlow,
    private readonly variables: readonly Variable[],
    private readonly maxGradientNorm: number,
  ) {
    this.weights = variables.map((v) => (v.dataSync() as Float32Array).slice());
    this.first = this.weights.map((w) => new Float64Array(w.length));
    this.second = this.weights.map((w) => new Float64Array(w.length));
  }

  /** Moments and count of steps, to go on from later. */
  get state(): AdamState {
    return { steps: this.steps, first: this.first, second: this.second };
  }

  /** Goes on from a state of the same shapes. */
  restore(state: AdamState): void {
    this.steps = state.steps;
    this.first.forEach((x, k) => x.set(state.first[k]));
    this.second.forEach((x, k) => x.set(state.second[k]));
  }

  /** One step along the gradients, which are scaled down where their joint norm exceeds the limit. */
  apply(gradients: readonly Float32Array[], learningRate: number): void {
    this.steps++;
    const scale = Math.min(1, this.maxGradientNorm / (norm(gradients) + 1e-12));
    const correction1 = 1 - BETA1 ** this.steps;
    const correction2 = 1 - BETA2 ** this.steps;
    for (let k = 0; k < this.variables.length; k++) {
      const weight = this.weights[k];
      const gradient = gradients[k];
      const m = this.first[k];
      const v = this.second[k];
      for (let i = 0; i < weight.length; i++) {
        const g = gradient[i] * scale;
        m[i] = BETA1 * m[i] + (1 - BETA1) * g;
        v[i] = BETA2 * v[i] + (1 - BETA2) * g * g;
        weight[i] =
          weight[i] - (learningRate * m[i]) / correction1 / (Math.sqrt(v[i] / correction2) + EPSILON);
      }
      const variable = this.variables[k];
      const tensor = this.tf.tensor(weight, variable.shape);
      variable.assign(tensor);
      tensor.dispose();
    }
  }
}

function norm(gradients: readonly Float32Array[]): number {
  let sum = 0;
  for (const g of gradients) for (let i = 0; i < g.length; i++) sum += g[i] * g[i];
  return Math.sqrt(sum);
}
