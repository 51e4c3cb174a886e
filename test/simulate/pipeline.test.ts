import { expect } from 'chai';
import { bubbleSec } from '../../src/parallel/index.js';
import { PipelineTimer } from '../../src/simulate/pipeline.js';
import type { StageTimes } from '../../src/simulate/stageTimes.js';
import type { ScheduleKind } from '../../src/plan/types.js';
import { Random } from '../../src/util/random.js';
import { naivePipeline } from '../support/naivePipeline.js';

const timer = new PipelineTimer();

/** The same stage everywhere, no gathers. */
function equalTimes(stages: number, f: number, b: number, w = 0, x = 0): StageTimes {
  const column = (sec: number): Float64Array => new Float64Array(stages + 1).fill(sec);
  return {
    forwardSec: column(f),
    backwardSec: column(b),
    weightSec: column(w),
    transferSec: column(x),
    gatherExposedSec: column(0),
  };
}

/** Random stage times; `kind` picks equal stages, mildly uneven ones, or anything. */
function randomTimes(random: Random, stages: number, kind: number): StageTimes {
  const spread = [0, 0.3, 3][kind];
  const column = (base: number): Float64Array =>
    Float64Array.from({ length: stages }, () => base * (1 + spread * random.next()));
  const x = random.next() < 0.3 ? 0 : random.next() * (random.next() < 0.2 ? 4 : 0.5);
  const backwardSec = column(2);
  const share = random.next();
  const late = random.next() < 0.5 ? 0 : random.next() * 3;
  return {
    forwardSec: column(1),
    backwardSec,
    weightSec: backwardSec.map((b) => b * (kind === 0 ? share : random.next())),
    transferSec: new Float64Array(stages + 1).fill(x),
    gatherExposedSec: Float64Array.from({ length: stages }, () => late * random.next()),
  };
}

/** Compares every end with the task-by-task reference. */
function compare(
  schedule: ScheduleKind,
  pp: number,
  vpp: number,
  microbatches: number,
  times: StageTimes,
): void {
  const expected = naivePipeline(schedule, pp, vpp, microbatches, times);
  const total = timer.train(schedule, pp, vpp, microbatches, times);
  const what = `${schedule} pp=${pp} vpp=${vpp} microbatches=${microbatches} steps=${timer.steps}`;
  expect(total, what).to.be.closeTo(Math.max(...expected.finishSec), 1e-9 * total);
  for (let r = 0; r < pp; r++)
    expect(timer.finishSec[r], what).to.be.closeTo(expected.finishSec[r], 1e-9 * total);
  for (let v = 0; v < pp * vpp; v++)
    expect(timer.chunkEndSec[v], what).to.be.closeTo(expected.chunkEndSec[v], 1e-9 * total);
}

describe('pipeline timing', () => {
  it('equals the task-by-task reference on random 1F1B, ZB-H1 and GPipe pipelines', () => {
    const random = new Random(1);
    for (let i = 0; i < 1500; i++) {
      const schedule = random.pick(['1f1b', 'zb-h1', 'gpipe'] as const);
      const pp = (schedule === 'zb-h1' ? 2 : 1) + random.int(9);
      compare(schedule, pp, 1, 1 + random.int(60), randomTimes(random, pp, random.int(3)));
    }
  });

  it('equals the task-by-task reference on random interleaved pipelines', () => {
    const random = new Random(2);
    for (let i = 0; i < 600; i++) {
      const pp = 2 + random.int(6);
      const vpp = 2 + random.int(4);
      const microbatches = pp * (1 + random.int(12));
      compare('interleaved', pp, vpp, microbatches, randomTimes(random, pp * vpp, random.int(3)));
    }
  });

  it('equals the reference when only forward passes run', () => {
    const random = new Random(3);
    for (let i = 0; i < 300; i++) {
      const pp = 1 + random.int(8);
      const microbatches = 1 + random.int(30);
      const times = randomTimes(random, pp, random.int(3));
      const expected = naivePipeline('1f1b', pp, 1, microbatches, times, false).finishSec;
      const total = timer.infer(pp, microbatches, times);
      expect(total).to.be.closeTo(Math.max(...expected), 1e-9 * total);
    }
  });

  it('has a closed form for equal stages with equal short transfers, whatever the schedule', () => {
    const random = new Random(5);
    for (let i = 0; i < 600; i++) {
      const schedule = random.pick(['1f1b', 'zb-h1', 'interleaved'] as const);
      const pp = 2 + random.int(9);
      const vpp = schedule === 'interleaved' ? 2 + random.int(4) : 1;
      const microbatches = schedule === 'interleaved' ? pp * (1 + random.int(9)) : 1 + random.int(60);
      const w = random.next();
      const b = 0.5 + random.next();
      const x = Math.min(1, b) * random.next() * random.next();
      const times = equalTimes(pp * vpp, 1, b + w, w, x);
      compare(schedule, pp, vpp, microbatches, times);
      const defers = schedule === 'zb-h1';
      if (defers || x <= 1) expect(timer.steps, `${schedule} x=${x}`).to.equal(0);
    }
  });

  it('leaves equal stages without transfers idle as the formulas say', () => {
    const [f, b, w] = [1, 1.25, 0.75];
    const work = f + b + w;
    for (const pp of [2, 4, 8, 16])
      for (const microbatches of [pp, 2 * pp, 128]) {
        const idle = (schedule: ScheduleKind, vpp: number): number =>
          timer.train(
            schedule,
            pp,
            vpp,
            microbatches,
            equalTimes(pp * vpp, f / vpp, (b + w) / vpp, w / vpp),
          ) -
          microbatches * work;
        for (const schedule of ['gpipe', '1f1b', 'zb-h1'] as const)
          expect(idle(schedule, 1), schedule).to.be.closeTo(bubbleSec(schedule, pp, 1, f, b, w), 1e-9);
        for (const vpp of [2, 4])
          expect(idle('interleaved', vpp)).to.be.closeTo(bubbleSec('interleaved', pp, vpp, f, b, w), 1e-9);
        expect(bubbleSec('1f1b', pp, 1, f, b, w)).to.equal((pp - 1) * (f + b + w));
        expect(bubbleSec('zb-h1', pp, 1, f, b, w)).to.equal((pp - 1) * (f + b - w));
        expect(bubbleSec('interleaved', pp, 4, f, b, w)).to.equal(((pp - 1) * (f + b + w)) / 4);
      }
  });

  it('walks a number of steps that does not grow with the microbatches', () => {
    const times = equalTimes(8, 1, 2, 1, 0.01);
    times.forwardSec[5] = 1.2;
    times.backwardSec[5] = 2.4;
    for (const schedule of ['1f1b', 'zb-h1'] as const) {
      timer.train(schedule, 8, 1, 100000, times);
      expect(timer.steps, schedule).to.be.within(1, 100);
    }
    timer.train('interleaved', 4, 2, 100000, times);
    expect(timer.steps).to.be.within(1, 200);
  });

  it('never gets faster when a stage gets slower', () => {
    const random = new Random(4);
    for (let i = 0; i < 400; i++) {
      const schedule = random.pick(['1f1b', 'zb-h1'] as const);
      const pp = 2 + random.int(6);
      const times = randomTimes(random, pp, 1);
      const before = timer.train(schedule, pp, 1, 24, times);
      times.forwardSec[random.int(pp)] += random.next();
      expect(timer.train(schedule, pp, 1, 24, times)).to.be.at.least(before * (1 - 1e-12));
    }
  });

  it('ends ZB-H1 no later than 1F1B where gradients of weights take no longer than forward passes', () => {
    const random = new Random(6);
    for (let i = 0; i < 200; i++) {
      const pp = 2 + random.int(7);
      const w = random.next();
      const times = equalTimes(pp, 1, 1 + w, w);
      const microbatches = 1 + random.int(40);
      const plain = timer.train('1f1b', pp, 1, microbatches, times);
      expect(timer.train('zb-h1', pp, 1, microbatches, times)).to.be.at.most(plain * (1 + 1e-12));
    }
  });
});
