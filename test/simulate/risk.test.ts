/** When jobs end: runs against closed forms, cases without chance, and order. */
import { expect } from 'chai';
import { JobRun, NEVER_FAILURES, gamma } from '../../src/simulate/goodputRun.js';
import type { RunSetting } from '../../src/simulate/goodputRun.js';
import { runningTime } from '../../src/simulate/goodput.js';
import {
  MOST_RUNS,
  endsWithin,
  runsFor,
  sampleTimes,
  spreadOf,
  timeQuantile,
} from '../../src/simulate/risk.js';
import type { RiskJob } from '../../src/simulate/risk.js';
import { Random } from '../../src/util/random.js';

const SETTING: RunSetting = {
  mtbfSec: 10_000,
  checkpointSec: 100,
  restartSec: 200,
  intervalSec: 1000,
  spareHosts: 0,
  repairSec: 0,
  failureShape: 1,
};
const JOB: RiskJob = { ...SETTING, workSec: 200_000, expectedFailures: 25 };

describe('the risk of a job', () => {
  it('a job that cannot fail ends when its work and checkpoints are done, for certain', () => {
    const sure = sampleTimes({ ...JOB, mtbfSec: Infinity, expectedFailures: 0 }, 1);
    const endSec = 200_000 + 199 * 100;
    expect(sure).to.include({ meanSec: endSec, meanErrorSec: 0, meanFailures: 0 });
    expect(sure.sortedSec).to.have.length(MOST_RUNS);
    expect(endsWithin(sure, endSec)).to.deep.equal({ probability: 1, standardError: 0 });
    expect(endsWithin(sure, endSec - 1e-6)).to.deep.equal({ probability: 0, standardError: 0 });
    expect(timeQuantile(sure, 0.1)).to.equal(endSec);
  });

  it('of one stretch without restart the probability to end at once is that of no failure', () => {
    const job = { ...JOB, workSec: 8000, intervalSec: Infinity, restartSec: 0 };
    const { probability, standardError } = endsWithin(sampleTimes(job, 2), 8000);
    expect(Math.abs(probability - Math.exp(-0.8))).to.be.below(4 * standardError);
    expect(standardError).to.be.closeTo(Math.sqrt((probability * (1 - probability)) / 10_000), 1e-12);
  });

  it('the mean is the expectation within its standard error, and halves with four times the runs', () => {
    const { totalSec } = runningTime(JOB.workSec, JOB.intervalSec, JOB, JOB.mtbfSec);
    const many = sampleTimes(JOB, 3);
    const few = sampleTimes(JOB, 3, null, 2500);
    expect(Math.abs(many.meanSec - totalSec)).to.be.below(4 * many.meanErrorSec);
    expect(few.meanErrorSec / many.meanErrorSec).to.be.within(1.8, 2.2);
  });

  it('the probability never falls with a later deadline, and quantiles and it are each the other backwards', () => {
    const sample = sampleTimes(JOB, 4);
    let before = 0;
    for (let t = 200_000; t < 320_000; t += 500) {
      const { probability } = endsWithin(sample, t);
      expect(probability).to.be.at.least(before);
      before = probability;
    }
    expect(before).to.equal(1);
    for (const q of [0.1, 0.5, 0.9])
      expect(endsWithin(sample, timeQuantile(sample, q)).probability).to.be.closeTo(q, 2e-4);
    expect(endsWithin(sample, 0).probability).to.equal(0);
  });

  it('is the same for the same seed, and other for another', () => {
    expect(sampleTimes(JOB, 5).sortedSec).to.deep.equal(sampleTimes(JOB, 5).sortedSec);
    expect(sampleTimes(JOB, 6).meanSec).to.not.equal(sampleTimes(JOB, 5).meanSec);
  });

  it('waits end when the first of the hosts under repair is back', () => {
    // Failures by hand: after 550 s of running each, four times, then none.
    const gaps = [550, 550, 550, 550, Infinity];
    const by = (repairSec: number, spareHosts: number): number => {
      const setting = { ...SETTING, restartSec: 100, intervalSec: 400, checkpointSec: 0 };
      const random = new Random(0);
      let k = 0;
      random.next = () => 1 - Math.exp(-gaps[k++] / SETTING.mtbfSec);
      return new JobRun({ ...setting, repairSec, spareHosts }).run(2000, random);
    };
    // Between two failures one stretch of 400 s holds; after the last a restart and the fifth stretch.
    const bare = by(0, 0);
    expect(bare).to.be.closeTo(4 * 550 + 100 + 400, 1e-6);
    expect(by(1000, 0)).to.be.closeTo(bare + 4 * 1000, 1e-6);
    // One spare: the second failure waits for the host of the first, the third finds that of the second just back.
    expect(by(1000, 1)).to.be.closeTo(bare + 2 * (1000 - 550), 1e-6);
    expect(by(1000, 4)).to.be.closeTo(bare, 1e-6);
  });

  it('failures in bursts have the same mean time between them', () => {
    for (const failureShape of [0.7, 1.5]) {
      const job = { ...JOB, failureShape, checkpointSec: 0, intervalSec: 1, restartSec: 0 };
      const { meanFailures } = sampleTimes({ ...job, workSec: 1e7 }, 7, null, 400);
      expect(meanFailures / 1000, `shape ${failureShape}`).to.be.within(0.98, 1.02);
    }
    expect(gamma(1)).to.be.closeTo(1, 1e-13);
    expect(gamma(5)).to.be.closeTo(24, 1e-12);
    expect(gamma(2.5)).to.be.closeTo(0.75 * Math.sqrt(Math.PI), 1e-13);
  });

  it('a job that fails more often than it can restart never ends, and is told so soon', () => {
    const hopeless = { ...JOB, mtbfSec: 10, expectedFailures: Infinity };
    const sample = sampleTimes(hopeless, 8, null, 3);
    expect(Array.from(sample.sortedSec)).to.deep.equal([Infinity, Infinity, Infinity]);
    expect(sample.meanSec).to.equal(Infinity);
    expect(sample.meanFailures).to.be.at.most(NEVER_FAILURES + 2);
    expect(endsWithin(sample, 1e300)).to.deep.equal({ probability: 0, standardError: 0 });
    expect(runsFor(Infinity)).to.equal(200);
    expect(runsFor(0)).to.equal(MOST_RUNS);
  });

  it('uncertain step times widen the ends as the spread says, on the same failures', () => {
    const sure = { ...JOB, mtbfSec: Infinity, expectedFailures: 0, checkpointSec: 0 };
    const sample = sampleTimes(sure, 9, spreadOf(0.95, 1.2));
    expect(timeQuantile(sample, 0.1) / JOB.workSec).to.be.closeTo(0.95, 0.005);
    expect(timeQuantile(sample, 0.9) / JOB.workSec).to.be.closeTo(1.2, 0.008);
  });
});
