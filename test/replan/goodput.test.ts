/** Goodput: the best checkpoint interval and the expected time, against failure-by-failure simulation. */
import { expect } from 'chai';
import {
  bestIntervalSec,
  expectedTimeSec,
  goodputOf,
  jobIntervalSec,
  jobMtbfSec,
  runningTime,
  stragglerFactor,
  waitingShare,
  youngIntervalSec,
} from '../../src/simulate/goodput.js';
import type { Reliability } from '../../src/simulate/goodput.js';
import { simulatedIntervalSec } from '../../src/simulate/goodputSearch.js';
import { sampleTimes } from '../../src/simulate/risk.js';
import type { TimeSample } from '../../src/simulate/risk.js';
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
  failureShape: 1,
};
const JOB = { devices: 1000, hosts: 125, stepTimeSec: 1, steps: 2_000_000 };
const MTBF_SEC = 20_000;

/** Mean time of jobs with this interval, on the same failures for every interval, and its standard error. */
function simulated(intervalSec: number, r = RELIABILITY): TimeSample {
  const mtbfSec = jobMtbfSec(r, JOB.devices, JOB.hosts);
  return sampleTimes(
    { ...r, mtbfSec, intervalSec, workSec: JOB.steps, expectedFailures: 500 },
    3,
    null,
    4000,
  );
}

describe('goodput', () => {
  it('the expected time is the mean of simulated jobs within its standard error, on good and bad terms', () => {
    for (const [intervalSec, checkpointSec, restartSec, mtbfSec] of [
      [600, 120, 300, 20_000],
      [2000, 120, 300, 20_000],
      [6100, 120, 300, 20_000],
      [777_777, 120, 300, 2_000_000],
      [900, 1000, 3000, 3000],
      [400, 40, 0, 500],
    ]) {
      const r = { ...RELIABILITY, checkpointSec, restartSec, deviceMtbfSec: 1000 * mtbfSec };
      const { meanSec, meanErrorSec, meanFailures } = simulated(intervalSec, r);
      const { totalSec } = runningTime(JOB.steps, intervalSec, r, mtbfSec);
      expect(totalSec).to.equal(expectedTimeSec(JOB.steps, intervalSec, r, mtbfSec));
      const where = `interval ${intervalSec}, failures every ${mtbfSec}`;
      expect(Math.abs(meanSec - totalSec), where).to.be.below(4 * meanErrorSec);
      expect(meanErrorSec / totalSec, where).to.be.below(0.005);
      expect(meanFailures / (totalSec / mtbfSec), where).to.be.within(0.95, 1.05);
    }
  });

  it('time goes where the parts say, and all of it', () => {
    const g = goodputOf({ ...RELIABILITY, repairSec: 50_000, spareHosts: 3, stragglerShare: 0.01 }, JOB);
    const { workSec, checkpointingSec, lostSec, restartingSec, waitingSec } = g;
    expect(workSec + checkpointingSec + lostSec + restartingSec + waitingSec).to.be.closeTo(
      g.expectedSec,
      1e-6 * g.expectedSec,
    );
    // A restart takes its 300 s, and a little more where it fails itself.
    expect(restartingSec / g.expectedFailures).to.be.within(295, 300);
    expect(lostSec / g.expectedFailures).to.be.within(0.4 * g.intervalSec, 0.6 * g.intervalSec);
  });

  for (const [checkpointSec, mtbfSec, restartSec] of [
    [120, 20_000, 300],
    [30, 5_000, 0],
    [1000, 10_000, 10_000],
    [6000, 10_000, 1000],
    [30_000, 10_000, 0],
  ])
    it(`the best interval for ${checkpointSec} s checkpoints and failures every ${mtbfSec} s is the simulation's within 5 %`, () => {
      const best = bestIntervalSec(checkpointSec, mtbfSec);
      const setting = { checkpointSec, mtbfSec, restartSec, spareHosts: 0, repairSec: 0, failureShape: 1 };
      const found = simulatedIntervalSec(setting, 5);
      expect(found / best, `best ${best.toFixed(0)} s, simulated ${found.toFixed(0)} s`).to.be.within(
        0.95,
        1.05,
      );
    });

  it('a short job is cut into whole stretches, and not at all where a checkpoint does not pay', () => {
    const costs = { checkpointSec: 100, restartSec: 300 };
    const time = (interval: number): number => expectedTimeSec(5000, interval, costs, 10_000);
    const best = jobIntervalSec(5000, 1, costs, 10_000);
    expect(5000 / best).to.be.closeTo(4, 1e-9);
    for (let i = 100; i <= 5000; i += 10) expect(time(i), `interval ${i}`).to.be.at.least(time(best) - 1e-6);
    expect(jobIntervalSec(1000, 1, costs, 10_000)).to.equal(Infinity);
    expect(jobIntervalSec(5000, 2500, costs, 10_000)).to.equal(2500);
    // Checkpoints that cost nothing are written after every step.
    expect(jobIntervalSec(1e6, 7, { checkpointSec: 0, restartSec: 300 }, 10_000)).to.equal(7);
    expect(goodputOf({ ...RELIABILITY, checkpointSec: 0 }, JOB).intervalSec).to.equal(1);
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

  it('the share of time spent waiting for repairs is the simulated one, whatever the spares', () => {
    expect(waitingShare(20_000, 0, 0)).to.equal(0);
    expect(waitingShare(Infinity, 1e5, 0)).to.equal(0);
    // Without spares every failure is waited out.
    expect(waitingShare(20_000, 10_000, 0)).to.be.closeTo(1 / 3, 1e-12);
    let before = 1;
    for (const spareHosts of [0, 1, 2, 5]) {
      const r = { ...RELIABILITY, repairSec: 30_000, spareHosts };
      const share = waitingShare(MTBF_SEC, r.repairSec, spareHosts);
      expect(share).to.be.below(before);
      before = share;
      const { totalSec } = runningTime(JOB.steps, 2000, r, MTBF_SEC);
      // All hosts are whole at the start, so that a job waits a little less than it would later.
      expect(simulated(2000, r).meanSec / (totalSec / (1 - share)), `${spareHosts} spares`).to.be.within(
        0.985,
        1.002,
      );
    }
  });

  it('without failures a job takes its steps and its checkpoints none', () => {
    const g = goodputOf({ ...RELIABILITY, deviceMtbfSec: Infinity }, JOB);
    expect(g).to.include({ mtbfSec: Infinity, goodput: 1, expectedSec: JOB.steps, expectedFailures: 0 });
    expect(simulated(Infinity, { ...RELIABILITY, deviceMtbfSec: Infinity }).meanSec).to.equal(JOB.steps);
    const failing = goodputOf(RELIABILITY, JOB);
    expect(failing.goodput).to.be.within(0.8, 0.95);
    expect(failing.expectedFailures).to.be.closeTo(failing.expectedSec / MTBF_SEC, 1e-6);
  });
});
