import { expect } from 'chai';
import { PipelineTimer } from '../../src/simulate/pipeline.js';
import { Random } from '../../src/util/random.js';
import { naivePipeline } from '../support/naivePipeline.js';

const timer = new PipelineTimer();

/** Random stage times; `kind` picks equal stages, mildly uneven ones, or anything. */
function randomTimes(random: Random, stages: number, kind: number): Record<'f' | 'b' | 'x', Float64Array> {
  const spread = [0, 0.3, 3][kind];
  const column = (base: number): Float64Array =>
    Float64Array.from({ length: stages }, () => base * (1 + spread * random.next()));
  const x = random.next() < 0.3 ? 0 : random.next() * (random.next() < 0.2 ? 4 : 0.3);
  return { f: column(1), b: column(2), x: new Float64Array(stages + 1).fill(x) };
}

describe('pipeline timing', () => {
  it('equals the task-by-task reference on random 1F1B and GPipe pipelines', () => {
    const random = new Random(1);
    for (let i = 0; i < 400; i++) {
      const pp = 1 + random.int(9);
      const microbatches = 1 + random.int(60);
      const schedule = random.next() < 0.7 ? '1f1b' : 'gpipe';
      const { f, b, x } = randomTimes(random, pp, random.int(3));
      const expected = naivePipeline(schedule, pp, 1, microbatches, f, b, x);
      const total = timer.train(schedule, pp, 1, microbatches, f, b, x);
      const what = `${schedule} pp=${pp} microbatches=${microbatches}`;
      expect(total, what).to.be.closeTo(Math.max(...expected), 1e-9 * total);
      for (let r = 0; r < pp; r++) expect(timer.finishSec[r], what).to.be.closeTo(expected[r], 1e-9 * total);
    }
  });

  it('equals the task-by-task reference on random interleaved pipelines', () => {
    const random = new Random(2);
    for (let i = 0; i < 300; i++) {
      const pp = 2 + random.int(6);
      const vpp = 2 + random.int(4);
      const microbatches = pp * (1 + random.int(12));
      const { f, b, x } = randomTimes(random, pp * vpp, random.int(3));
      const expected = naivePipeline('interleaved', pp, vpp, microbatches, f, b, x);
      const total = timer.train('interleaved', pp, vpp, microbatches, f, b, x);
      const what = `pp=${pp} vpp=${vpp} microbatches=${microbatches}`;
      expect(total, what).to.be.closeTo(Math.max(...expected), 1e-9 * total);
      for (let r = 0; r < pp; r++) expect(timer.finishSec[r], what).to.be.closeTo(expected[r], 1e-9 * total);
    }
  });

  it('equals the reference when only forward passes run', () => {
    const random = new Random(3);
    for (let i = 0; i < 100; i++) {
      const pp = 1 + random.int(8);
      const microbatches = 1 + random.int(30);
      const { f, b, x } = randomTimes(random, pp, random.int(3));
      const expected = naivePipeline('1f1b', pp, 1, microbatches, f, b, x, false);
      const total = timer.infer(pp, microbatches, f, x);
      expect(total).to.be.closeTo(Math.max(...expected), 1e-9 * total);
    }
  });

  it('gives equal stages without transfers the textbook (M + pp - 1) (f + b)', () => {
    const f = new Float64Array(8).fill(1);
    const b = new Float64Array(8).fill(2);
    const none = new Float64Array(9);
    expect(timer.train('1f1b', 8, 1, 32, f, b, none)).to.equal((32 + 7) * 3);
    expect(timer.train('gpipe', 8, 1, 32, f, b, none)).to.equal((32 + 7) * 3);
    // Interleaving divides the bubble by vpp: chunks of half the size, (M + (pp - 1) / vpp) stage times.
    const half = timer.train(
      'interleaved',
      4,
      2,
      32,
      f.map(() => 0.5),
      b.map(() => 1),
      none,
    );
    expect(half).to.be.closeTo((32 + 3 / 2) * 3, 1e-9);
  });

  it('walks a number of steps that does not grow with the microbatches', () => {
    const f = Float64Array.from({ length: 8 }, (_, r) => 1 + (r === 5 ? 0.2 : 0));
    const b = f.map((t) => 2 * t);
    const x = new Float64Array(9).fill(0.01);
    timer.train('1f1b', 8, 1, 100000, f, b, x);
    expect(timer.steps).to.be.below(100);
    timer.train('interleaved', 4, 2, 100000, f, b, x);
    expect(timer.steps).to.be.below(200);
  });

  it('never gets faster when a stage gets slower', () => {
    const random = new Random(4);
    for (let i = 0; i < 200; i++) {
      const pp = 2 + random.int(6);
      const { f, b, x } = randomTimes(random, pp, 1);
      const before = timer.train('1f1b', pp, 1, 24, f, b, x);
      f[random.int(pp)] += random.next();
      expect(timer.train('1f1b', pp, 1, 24, f, b, x)).to.be.at.least(before * (1 - 1e-12));
    }
  });
});
