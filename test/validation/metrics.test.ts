import { expect } from 'chai';
import type { Outcome } from '../../src/validation/metrics.js';
import { groupMetrics, overallMetrics } from '../../src/validation/metrics.js';
import { regret } from '../../src/validation/regret.js';
import { intervalFrom, residualCells, summarise } from '../../src/validation/residuals.js';
import { constantMfu } from '../../src/validation/yardstick.js';

function outcome(measuredSec: number, predictedSec: number, more: Partial<Outcome> = {}): Outcome {
  return {
    id: 'a-1',
    group: 'a',
    stack: 's',
    device: 'd',
    precision: 'bf16',
    metric: 'step_s',
    measured: measuredSec,
    predicted: predictedSec,
    measuredSec,
    predictedSec,
    flopPerDevice: 100,
    peakFlopPerSec: 100,
    setup: 'one',
    configuration: String(Math.random()),
    ...more,
  };
}

describe('metrics of predictions', () => {
  it('average the absolute error of the metric that was measured', () => {
    // 10 % and 30 % of step time.
    const g = groupMetrics('a', [outcome(10, 11), outcome(10, 7)]);
    expect(g.mape).to.be.closeTo(0.2, 1e-12);
    expect(g.rows).to.equal(2);
    // A rate predicted from half the time is twice the rate: 100 %.
    const rate = groupMetrics('a', [outcome(10, 5, { metric: 'tflops_per_gpu' })]);
    expect(rate.mape).to.be.closeTo(1, 1e-12);
  });

  it('call optimistic what is predicted faster than it is', () => {
    const g = groupMetrics('a', [outcome(12, 10), outcome(11, 10), outcome(10, 10)]);
    expect(g.bias).to.be.closeTo(0.1, 1e-12);
  });

  it('rank FLOP/s per device, not step times that follow the batch', () => {
    // Step times 1, 2, 3 are ordered by work 100, 400, 900; rates are 100, 200, 300 measured and 100, 80, 60 predicted.
    const rows = [
      outcome(1, 1, { flopPerDevice: 100 }),
      outcome(2, 5, { flopPerDevice: 400 }),
      outcome(3, 15, { flopPerDevice: 900 }),
    ];
    expect(groupMetrics('a', rows).spearman).to.equal(-1);
    expect(groupMetrics('a', rows.slice(1)).spearman).to.equal(null);
  });

  it('are summed up over groups, ranks only of groups of eight', () => {
    const group = (rows: number, mape: number, spearman: number | null) => ({
      name: '',
      rows,
      mape,
      spearman,
      bias: 0,
    });
    const overall = overallMetrics([group(8, 0.1, 0.9), group(7, 0.2, 0.1), group(9, 0.6, 0.7)]);
    expect(overall.medianMape).to.equal(0.2);
    expect(overall.meanMape).to.be.closeTo(0.3, 1e-12);
    expect(overall.medianSpearman).to.be.closeTo(0.8, 1e-12);
    expect(overallMetrics([group(2, 0.1, null)]).medianSpearman).to.equal(null);
  });
});

describe('the constant-MFU yardstick', () => {
  it('takes the median utilisation of each hardware and precision', () => {
    // MFU of 100 FLOP at 100 FLOP/s: 1 / seconds.
    const rows = [outcome(2, 0), outcome(4, 0), outcome(5, 0), outcome(10, 0, { precision: 'fp8' })];
    const yardstick = constantMfu(rows);
    expect(rows.map(yardstick).map((sec) => Number(sec.toFixed(9)))).to.deep.equal([4, 4, 4, 10]);
    expect(yardstick(outcome(1, 0, { flopPerDevice: 50 }))).to.be.closeTo(2, 1e-12);
  });
});

describe('regret', () => {
  it('is how much slower the configuration predicted fastest is, beside a random choice', () => {
    const result = regret([
      outcome(10, 3),
      outcome(12, 2),
      outcome(14, 4),
      outcome(5, 1, { setup: 'two' }),
      outcome(10, 2, { setup: 'two' }),
      outcome(7, 1, { setup: 'alone' }),
    ]);
    expect(result.sets).to.equal(2);
    // Set one: 12 chosen of a best 10; random (0 + 20 + 40) / 3. Set two: the best; random (0 + 100) / 2.
    expect(result.median).to.be.closeTo(0.1, 1e-12);
    expect(result.mean).to.be.closeTo(0.1, 1e-12);
    expect(result.randomMedian).to.be.closeTo(0.35, 1e-12);
    expect(result.randomMean).to.be.closeTo(0.35, 1e-12);
  });

  it('chooses at random among configurations predicted alike, and needs two configurations', () => {
    expect(regret([outcome(10, 1), outcome(14, 1)]).mean).to.be.closeTo(0.2, 1e-12);
    const same = [outcome(10, 1, { configuration: 'c' }), outcome(14, 1, { configuration: 'c' })];
    expect(regret(same)).to.deep.equal({
      sets: 0,
      median: null,
      mean: null,
      randomMedian: null,
      randomMean: null,
    });
  });
});

describe('what is left when a source is left out', () => {
  const a = { group: 'a', stack: 's', device: 'd' };
  const b = { group: 'b', stack: 's', device: 'e' };
  const c = { group: 'c', stack: 't', device: 'd' };
  const z = { group: 'z', stack: 'u', device: 'f' };

  it('is kept per source, stack and device as logarithms of measured over predicted', () => {
    const cells = residualCells([outcome(2, 1, a), outcome(1, 1, a), outcome(1, 4, b)]);
    expect(cells.map((cell) => [cell.group, cell.stack, cell.device, cell.rows])).to.deep.equal([
      ['a', 's', 'd', 2],
      ['b', 's', 'e', 1],
    ]);
    expect(cells[0].residuals).to.deep.equal([0, Math.log(2)]);
    expect(cells[1].residuals).to.deep.equal([-Math.log(4)]);
  });

  it('is summarised by few quantiles', () => {
    const many = Array.from({ length: 101 }, (_, i) => i);
    expect(summarise(many, 4)).to.deep.equal([12.5, 37.5, 62.5, 87.5]);
    expect(summarise([3, 1], 4)).to.deep.equal([3, 1]);
  });

  it('makes intervals in which every source has the same say', () => {
    const many = Array.from({ length: 100 }, (_, i) => outcome(Math.exp(0.001 * (i - 50)), 1, a));
    const few = [outcome(Math.exp(0.5), 1, b), outcome(Math.exp(-0.5), 1, b)];
    const cells = residualCells([...many, ...few]);
    const { low, high } = intervalFrom(cells, 's', 'd');
    // Half the weight is b's: a seventh from each end is inside its outer quarters.
    expect(Math.log(low)).to.be.closeTo(-0.5, 1e-9);
    expect(Math.log(high)).to.be.closeTo(0.5, 1e-9);
  });

  it('falls back from the stack to the device to all, and never asks the source itself', () => {
    const cell = (where: typeof a, residual: number) => ({ ...where, rows: 1, residuals: [residual] });
    const cells = [cell(a, 9), cell(b, 1), cell(c, 2), cell(z, 3)];
    expect(Math.log(intervalFrom(cells, 's', 'nowhere').high)).to.be.closeTo(9, 1e-9);
    // Without a one source of the stack and one of the device are left: all are asked.
    const { low, high } = intervalFrom(cells, 's', 'd', 'a');
    expect([Math.log(low), Math.log(high)].map((x) => Number(x.toFixed(6)))).to.deep.equal([1, 3]);
    expect(intervalFrom([], 's', 'd')).to.deep.equal({ low: 0, high: Infinity });
  });
});
