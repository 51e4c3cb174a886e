import { expect } from 'chai';
import { minimize } from '../../src/util/minimize.js';
import { Random } from '../../src/util/random.js';

describe('util/minimize', () => {
  it('finds the bottom of a curved valley', () => {
    const f = ([x, y]: readonly number[]): number => (1 - x) ** 2 + 100 * (y - x * x) ** 2;
    const found = minimize(f, [-1.2, 1], [-3, -3], [3, 3], { maxEvaluations: 4000, tolerance: 1e-7 });
    expect(found.x[0]).to.be.closeTo(1, 0.01);
    expect(found.x[1]).to.be.closeTo(1, 0.02);
  });

  it('recovers parameters of several magnitudes from absolute log errors', () => {
    const truth = [3e-6, 2.5e11, 0.8];
    const model = (x: readonly number[], n: number): number => x[0] + n ** x[2] / x[1];
    const random = new Random(1);
    const samples = Array.from({ length: 60 }, () => 10 ** (3 + 7 * random.next()));
    const error = (x: readonly number[]): number =>
      samples.reduce((sum, n) => sum + Math.abs(Math.log(model(x, n) / model(truth, n))), 0) / samples.length;
    const found = minimize(error, [1e-5, 1e11, 0.6], [1e-7, 1e9, 0.1], [1e-3, 1e13, 1], {
      maxEvaluations: 5000,
    });
    expect(found.value).to.be.below(1e-3);
    found.x.forEach((x, i) => expect(x / truth[i]).to.be.closeTo(1, 0.02));
  });

  it('stays inside bounds, reaches them where the minimum lies outside, and leaves fixed parameters alone', () => {
    const seen: number[] = [];
    const found = minimize(
      ([x, y]) => {
        seen.push(x);
        return (x - 5) ** 2 + y;
      },
      [1, 0.3],
      [0, 0.3],
      [2, 0.3],
    );
    expect(found.x).to.deep.equal([2, 0.3]);
    expect(Math.max(...seen)).to.be.at.most(2);
    expect(Math.min(...seen)).to.be.at.least(0);
  });

  it('gives the same answer every time, within its budget, never worse than the start', () => {
    const random = new Random(5);
    const centre = Array.from({ length: 12 }, () => random.next());
    const f = (x: readonly number[]): number =>
      x.reduce((sum, v, i) => sum + Math.abs(v - centre[i]) * (1 + (i % 3)), 0);
    const run = (): ReturnType<typeof minimize> =>
      minimize(
        f,
        centre.map(() => 0.5),
        centre.map(() => 0),
        centre.map(() => 1),
        { maxEvaluations: 3000 },
      );
    const first = run();
    expect(run()).to.deep.equal(first);
    expect(first.evaluations).to.be.at.most(3000);
    expect(first.value).to.be.below(0.01);
    const short = minimize(
      f,
      centre.map(() => 0.5),
      centre.map(() => 0),
      centre.map(() => 1),
      { maxEvaluations: 1 },
    );
    expect(short.x).to.deep.equal(centre.map(() => 0.5));
  });

  it('walks around points where the function has no value', () => {
    const found = minimize(([x]) => (x < 0.4 ? NaN : Math.abs(x - 0.41)), [0.9], [0], [1]);
    expect(found.x[0]).to.be.closeTo(0.41, 1e-3);
  });
});
