import { expect } from 'chai';
import type { Rank, Scalar } from '@tensorflow/tfjs';
import { Adam } from '../../src/agent/adam.js';
import { loadBackend } from '../../src/agent/backend.js';
import type { EnvironmentSpec, Observation } from '../../src/agent/environment.js';
import { packBatch, Scorer, segmentSum, width } from '../../src/agent/scorer.js';
import { Random } from '../../src/util/random.js';

const SPEC: EnvironmentSpec = { name: 'tiny', optionFeatures: 3, contextFeatures: 2, maxSteps: 1 };

function observe(random: Random, optionCount: number, masked: number): Observation {
  const mask = new Uint8Array(optionCount).fill(1);
  if (masked >= 0) mask[masked] = 0;
  return {
    optionCount,
    mask,
    options: Float32Array.from({ length: 3 * optionCount }, () => random.normal()),
    context: Float32Array.from({ length: 2 }, () => random.normal()),
  };
}

describe('agent/scorer', () => {
  it('packs the legal options of every step into rows, with the context in front', () => {
    const random = new Random(1);
    const observations = [observe(random, 3, 1), observe(random, 2, -1)];
    const batch = packBatch(SPEC, observations);
    expect([...batch.rowStart]).to.deep.equal([0, 2, 4]);
    expect([...batch.rowOption]).to.deep.equal([0, 2, 0, 1]);
    expect([...batch.rows.subarray(5, 10)]).to.deep.equal([
      ...observations[0].context,
      ...observations[0].options.subarray(6, 9),
    ]);
  });

  it('gives equal rows equal scores, wherever they stand', async () => {
    const { tf } = await loadBackend();
    const random = new Random(2);
    const scorer = new Scorer(tf, SPEC, 8, random);
    const one = observe(random, 4, -1);
    const reversed: Observation = {
      ...one,
      options: Float32Array.from([3, 2, 1, 0].flatMap((i) => [...one.options.subarray(3 * i, 3 * i + 3)])),
    };
    const { scores } = scorer.infer(packBatch(SPEC, [one, reversed]));
    for (let i = 0; i < 4; i++) expect(scores[i]).to.be.closeTo(scores[7 - i], 1e-6);
    scorer.dispose();
  });

  it('has gradients that match finite differences, through the sums over options', async () => {
    const { tf } = await loadBackend();
    const random = new Random(3);
    const scorer = new Scorer(tf, SPEC, 5, random);
    for (const v of scorer.variables) {
      const t = tf.tensor(
        Float32Array.from({ length: v.size }, () => 0.7 * random.normal()),
        v.shape,
      );
      v.assign(t);
      t.dispose();
    }
    const batch = packBatch(SPEC, [observe(random, 3, 0), observe(random, 4, -1)]);
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(SPEC)]);
    const contexts = tf.tensor2d(batch.contexts, [2, 2]);
    const belongs = new Float32Array(2 * batch.rowCount);
    for (let t = 0; t < 2; t++)
      belongs.fill(1, t * batch.rowCount + batch.rowStart[t], t * batch.rowCount + batch.rowStart[t + 1]);
    const s = tf.tensor2d(belongs, [2, batch.rowCount]);
    const transposed = tf.transpose(s);
    const loss = (): Scalar => {
      const total = segmentSum(tf, s, transposed, tf.exp(scorer.scores(rows)));
      return tf.sum(tf.add(tf.log(total), tf.square(scorer.values(contexts))));
    };
    const { gradients } = scorer.gradients(loss);
    const value = (): number => tf.tidy(() => loss().dataSync()[0]);
    const step = 1e-2;
    scorer.variables.forEach((variable, k) => {
      const weights = variable.dataSync().slice() as Float32Array;
      for (let i = 0; i < weights.length; i += Math.max(1, weights.length >> 2)) {
        const at = (delta: number): number => {
          const moved = weights.slice();
          moved[i] = weights[i] + delta;
          tf.tidy(() => variable.assign(tf.tensor(moved, variable.shape)));
          return value();
        };
        const numeric = (at(step) - at(-step)) / (2 * step);
        at(0);
        expect(gradients[k][i], `variable ${k}, weight ${i}`).to.be.closeTo(
          numeric,
          2e-2 + 2e-2 * Math.abs(numeric),
        );
      }
    });
    scorer.dispose();
    tf.dispose([rows, contexts, s, transposed]);
  });

  it('leaves no tensors behind', async () => {
    const { tf } = await loadBackend();
    const before = tf.memory().numTensors;
    const random = new Random(4);
    const scorer = new Scorer(tf, SPEC, 8, random);
    const batch = packBatch(SPEC, [observe(random, 5, -1)]);
    scorer.infer(batch);
    const rows = tf.tensor2d(batch.rows, [batch.rowCount, width(SPEC)]);
    const contexts = tf.zeros<Rank.R2>([1, 2]);
    new Adam(tf, scorer.variables, 1).apply(
      scorer.gradients(() => tf.sum(tf.add(scorer.scores(rows), tf.sum(scorer.values(contexts))))).gradients,
      0.1,
    );
    tf.dispose([rows, contexts]);
    scorer.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('moves along the gradient with Adam, by at most the learning rate at first', async () => {
    const { tf } = await loadBackend();
    const variable = tf.variable(tf.tensor1d([1, -1]));
    const adam = new Adam(tf, [variable], 10);
    for (let i = 0; i < 300; i++) {
      const w = variable.dataSync() as Float32Array;
      adam.apply([Float32Array.of(2 * w[0], 8 * w[1])], 0.05);
      if (i === 0) expect(variable.dataSync()[0]).to.be.closeTo(0.95, 1e-3);
    }
    for (const w of variable.dataSync()) expect(Math.abs(w)).to.be.below(0.02);
    variable.dispose();
  });
});
