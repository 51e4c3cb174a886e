import { expect } from 'chai';
import type { Outcome } from '../../src/validation/metrics.js';
import { byGroup, groupMetrics, overallMetrics } from '../../src/validation/metrics.js';
import { regret } from '../../src/validation/regret.js';
import { correction, intervalFrom, leaveOneOut, residualCells } from '../../src/validation/residuals.js';
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

  it('is corrected by the median of sources that share its stack or its device', () => {
    const rows = [outcome(1, 1, a), outcome(2, 1, b), outcome(8, 1, c), outcome(9, 1, z)];
    const groups = byGroup(rows);
    // Of b (same stack) and c (same device): log 2 and log 8, in the middle log 4.
    expect(correction(rows[0], groups)).to.be.closeTo(Math.log(4), 1e-12);
    expect(correction(rows[3], groups)).to.equal(null);
  });

  it('is the error of the corrected prediction; sources that share nothing have none', () => {
    const rows = [outcome(2, 1, a), outcome(2, 1, b), outcome(3, 1, z)];
    expect(leaveOneOut(rows)).to.deep.equal([
      { name: 'a', mape: 0 },
      { name: 'b', mape: 0 },
    ]);
  });

  it('makes intervals in which every source has the same say', () => {
    const many = Array.from({ length: 100 }, (_, i) => outcome(Math.exp(0.001 * (i - 50)), 1, a));
    const few = [outcome(Math.exp(0.5), 1, b), outcome(Math.exp(-0.5), 1, b)];
    const cells = residualCells([...many, ...few]).map((cell) => ({
      ...cell,
      // Without corrections, to count by hand.
      residuals: cell.group === 'a' ? many.map((_, i) => 0.001 * (i - 50)) : [-0.5, 0.5],
    }));
    const { low, high } = intervalFrom(cells, 's', 'd');
    // Half the weight is b's: a tenth from each end is inside its outer quarters.
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
