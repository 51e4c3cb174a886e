/** Goodput: the best checkpoint interval and the expected time, against failure-by-failure simulation. */
import { expect } from 'chai';
import {
  bestIntervalSec,
  expectedTimeSec,
  goodputOf,
  simulateJob,
  stragglerFactor,
  waitingShare,
  youngIntervalSec,
} from '../../src/simulate/goodput.js';
import type { Reliability } from '../../src/simulate/goodput.js';
import { Random } from '../../src/util/random.js';
import { mean } from '../../src/util/stats.js';

const RELIABILITY: Reliability = {
  deviceMtbfSec: 1000 * 20_000,
  hostMtbfSec: Infinity,
  checkpointSec: 120,
  restartSec: 300,
  spareHosts: 0,
  repairSec: 0,
  stragglerShare: 0,
};
const JOB = { devices: 1000, hosts: 125, stepTimeSec: 1, steps: 2_000_000 };
const MTBF_SEC = 20_000;

/** Mean time of jobs with this interval, on the same failures for every interval. */
function simulated(intervalSec: number, runs: number, r = RELIABILITY): number {
  return mean(
    Array.from({ length: runs }, (_, i) =>
      simulateJob(r, { ...JOB, workSec: JOB.steps, intervalSec }, new Random(i + 1)),
    ),
  );
}

describe('goodput', () => {
  it('the expected time is that of the simulation within 1 %', () => {
    for (const interval of [600, 2000, 6000]) {
      const expected = expectedTimeSec(JOB.steps, interval, RELIABILITY, MTBF_SEC);
      expect(simulated(interval, 60) / expected, `interval ${interval}`).to.be.within(0.99, 1.01);
    }
  });

  for (const [checkpointSec, mtbfSec] of [
    [120, 20_000],
    [600, 20_000],
    [30, 5_000],
  ])
    it(`the best interval for ${checkpointSec} s checkpoints and failures every ${mtbfSec} s is the simulation's within 5 %`, () => {
      const r = { ...RELIABILITY, checkpointSec, deviceMtbfSec: 1000 * mtbfSec };
      const best = bestIntervalSec(checkpointSec, mtbfSec);
      // A parabola through simulated times at intervals around, in the logarithm: its lowest point.
      const points = [-0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8].map((x) => ({
        x,
        y: simulated(best * Math.exp(x), 120, r),
      }));
      const lowest = lowestOfCubic(points);
      expect(Math.abs(Math.exp(lowest) - 1), `best ${best.toFixed(0)} s, off by ${lowest}`).to.be.below(0.05);
    });

  it("Young's rule is the limit for short checkpoints, and the exact interval is the root of its equation", () => {
    expect(bestIntervalSec(1, 1e6) / youngIntervalSec(1, 1e6)).to.be.within(0.999, 1.001);
    const t = bestIntervalSec(600, 5000);
    expect(Math.exp(-(t + 600) / 5000)).to.be.closeTo(1 - t / 5000, 1e-9);
    for (const other of [0.9 * t, 1.1 * t])
      expect(expectedTimeSec(1e6, other, { checkpointSec: 600, restartSec: 60 }, 5000)).to.be.above(
        expectedTimeSec(1e6, t, { checkpointSec: 600, restartSec: 60 }, 5000),
      );
    expect(bestIntervalSec(60, Infinity)).to.equal(Infinity);
  });

  it('a step that waits for the slowest of n devices lengthens by the expected maximum of n normals', () => {
    const random = new Random(5);
    for (const n of [2, 16, 1024]) {
      const most = mean(
        Array.from({ length: 4000 }, () => {
          let top = -Infinity;
          for (let i = 0; i < n; i++) top = Math.max(top, random.normal());
          return top;
        }),
      );
      expect(stragglerFactor(0.03, n), `${n} devices`).to.be.closeTo(1 + 0.03 * most, 0.002);
    }
    expect(stragglerFactor(0, 1000)).to.equal(1);
  });

  it('spares shorten the wait for repairs, as the simulation has it', () => {
    expect(waitingShare(20_000, 0, 0)).to.equal(0);
    expect(waitingShare(20_000, 10_000, 2)).to.be.below(waitingShare(20_000, 10_000, 0));
    const r = { ...RELIABILITY, repairSec: 20_000, spareHosts: 3 };
    const without = simulated(2000, 20);
    const spared = simulated(2000, 20, r);
    const bare = simulated(2000, 20, { ...r, spareHosts: 0 });
    expect(spared).to.be.below(bare);
    expect(spared / without).to.be.below(1.05);
  });

  it('without failures a job takes its steps and its checkpoints none', () => {
    const g = goodputOf({ ...RELIABILITY, deviceMtbfSec: Infinity }, JOB);
    expect(g).to.include({ mtbfSec: Infinity, goodput: 1, expectedSec: JOB.steps, expectedFailures: 0 });
    const failing = goodputOf(RELIABILITY, JOB);
    expect(failing.goodput).to.be.within(0.8, 0.95);
    expect(failing.expectedFailures).to.be.closeTo(failing.expectedSec / MTBF_SEC, 1e-6);
  });
});

/** Least-squares cubic through the points; where it is lowest near 0. */
function lowestOfCubic(points: readonly { readonly x: number; readonly y: number }[]): number {
  const size = 4;
  const a = Array.from({ length: size }, () => new Float64Array(size + 1));
  for (const { x, y } of points)
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) a[i][j] += x ** (i + j);
      a[i][size] += y * x ** i;
    }
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      if (k === i) continue;
      const f = a[k][i] / a[i][i];
      for (let j = i; j <= size; j++) a[k][j] -= f * a[i][j];
    }
  const c = a.map((row, i) => row[size] / row[i]);
  let best = 0;
  for (let x = -0.5; x <= 0.5; x += 1e-4)
    if (c[1] * x + c[2] * x ** 2 + c[3] * x ** 3 < c[1] * best + c[2] * best ** 2 + c[3] * best ** 3)
      best = x;
  return best;
}
