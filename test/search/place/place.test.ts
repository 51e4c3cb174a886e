import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  judgeLatency,
  judgePlacement,
  placeForLatency,
  placeForThroughput,
  readPlaceProblem,
} from '../../../src/search/place/index.js';
import type { PlaceOptions, PlaceProblem } from '../../../src/search/place/index.js';
import { groupsOf } from '../../../src/search/place/groups.js';
import { loadBound } from '../../../src/search/place/bound.js';
import { Loads } from '../../../src/search/place/loads.js';
import { LatencyModel } from '../../../src/search/place/latencyModel.js';
import { Random } from '../../../src/util/random.js';
import { bruteForce, randomProblem, randomWorkload } from './support.js';

/** A clock that runs with the number of times it is asked: the same search on any machine. */
function options(asked: number, contiguous = false, seed = 1): PlaceOptions {
  let now = 0;
  return { contiguous, maxSec: asked, clock: () => now++, random: new Random(seed) };
}

function expectClose(value: number, best: number, seed: number): void {
  if (best === Infinity) expect(value, `seed ${seed}`).to.equal(Infinity);
  else expect(value, `seed ${seed}`).to.be.closeTo(best, 1e-9);
}

const data = fileURLToPath(new URL('../../../../shared/data/dnn-partitioning/', import.meta.url));

function shared(name: string): PlaceProblem {
  return readPlaceProblem(JSON.parse(readFileSync(data + name, 'utf8')), name);
}

describe('placement of profiled graphs', function () {
  this.timeout(60_000);

  it('finds the least largest load of 60 small graphs, as trying every placement does', () => {
    for (let seed = 0; seed < 60; seed++) {
      const problem = randomProblem(seed);
      const best = bruteForce(problem, 'throughput', false);
      const found = placeForThroughput(problem, options(30));
      expectClose(found.value, best, seed);
      expect(found.lowerBound).to.be.at.most(best + 1e-9);
      if (found.device === null) continue;
      const verdict = judgePlacement(problem, found.device);
      expect(verdict.faults).to.deep.equal([]);
      expect(verdict.maxLoad).to.be.closeTo(found.value, 1e-9);
    }
  });

  it('finds contiguous splits that the judge accepts and no placement of any kind beats', () => {
    for (let seed = 0; seed < 60; seed++) {
      const problem = randomProblem(seed);
      const found = placeForThroughput(problem, options(40, true));
      const best = bruteForce(problem, 'throughput', true);
      expect(found.value).to.be.at.least(best - 1e-9);
      if (found.device === null) continue;
      const verdict = judgePlacement(problem, found.device, true);
      expect(verdict.faults, `seed ${seed}`).to.deep.equal([]);
      expect(verdict.maxLoad).to.be.closeTo(found.value, 1e-9);
    }
  });

  it('splits chains contiguously at the optimum', () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const problem = readPlaceProblem(
        {
          devices: [{ name: 'gpu', count: 3, memoryBytes: 12 }],
          ops: Array.from({ length: 7 }, (_, v) => ({
            name: v,
            time: { gpu: 1 + random.int(9) },
            sizeBytes: random.int(5),
          })),
          edges: Array.from({ length: 6 }, (_, v) => ({ from: v, to: v + 1, transferTime: random.int(4) })),
        },
        'chain',
      );
      const found = placeForThroughput(problem, options(40, true));
      expect(found.value, `seed ${seed}`).to.be.closeTo(bruteForce(problem, 'throughput', true), 1e-9);
    }
  });

  it('finds the least latency of 60 small graphs, as trying every placement does', () => {
    for (let seed = 100; seed < 160; seed++) {
      const problem = randomProblem(seed);
      const best = bruteForce(problem, 'latency', false);
      const found = placeForLatency(problem, options(500));
      expectClose(found.value, best, seed);
      expect(found.lowerBound).to.be.at.most(best + 1e-9);
    }
  });

  it('has lower bounds that hold in 2,000 random small graphs', () => {
    for (let seed = 1000; seed < 3000; seed++) {
      const problem = randomProblem(seed, 4);
      const best = bruteForce(problem, 'throughput', false);
      expect(loadBound(problem, groupsOf(problem)), `seed ${seed}`).to.be.at.most(best + 1e-9);
    }
  });

  it('keeps loads through moves as the judge sums them, and latency too', () => {
    for (let seed = 0; seed < 20; seed++) {
      const workload = randomWorkload(seed, 12) as { ops: { time: { gpu: number | null } }[] };
      for (const op of workload.ops) op.time.gpu ??= 9;
      const problem = readPlaceProblem(workload, 'random');
      const groups = groupsOf(problem);
      const loads = new Loads(problem, groups);
      const model = new LatencyModel(problem, groups);
      const random = new Random(seed);
      loads.reset(new Int32Array(groups.count));
      for (let step = 0; step < 100; step++) {
        const g = random.int(groups.count);
        const d = random.int(loads.devices);
        if (d === loads.device[g]) continue;
        loads.weigh(g, d);
        loads.move(g, d);
        const device = Int32Array.from(groups.of, (group) => loads.device[group]);
        const verdict = judgePlacement(problem, device);
        verdict.loads.forEach((load, i) => expect(loads.load[i]).to.be.closeTo(load, 1e-9));
        if (verdict.faults.length > 0) continue;
        const latency = judgeLatency(problem, device);
        if (latency === Infinity) expect(model.latency(loads.device)).to.equal(Infinity);
        else expect(model.latency(loads.device)).to.be.closeTo(latency, 1e-9);
      }
    }
  });

  it('gives the same answer for the same seed', () => {
    const problem = randomProblem(7, 12);
    const [a, b] = [1, 2].map(() => placeForThroughput(problem, options(60, false, 5)));
    expect(a).to.deep.equal(b);
  });

  it('says that nothing fits when nothing does', () => {
    const problem = readPlaceProblem(
      {
        devices: [{ name: 'gpu', count: 2, memoryBytes: 3 }],
        ops: [1, 2, 3].map((v) => ({ name: v, time: { gpu: 1 }, sizeBytes: 2.5 })),
        edges: [],
      },
      'tight',
    );
    expect(placeForThroughput(problem, options(30)).device).to.equal(null);
    expect(placeForThroughput(problem, options(30, true)).device).to.equal(null);
    expect(placeForLatency(problem, options(30)).device).to.equal(null);
  });

  describe('published workloads', () => {
    before(function () {
      if (existsSync(data)) return;
      console.log('      skipped: ../shared/data/dnn-partitioning is not there');
      this.skip();
    });

    const clock = (): number => performance.now() / 1000;
    const best: readonly [string, number, boolean][] = [
      ['bert24_inference', 17.778, false],
      ['bert24_training', 39.943, false],
      ['resnet50_training', 78.632, false],
      ['resnet50_training', 78.632, true],
      ['inceptionv3_inference', 51.552, false],
      ['bert_l-3_inference-ops', 27.574, false],
      ['bert_l-3_training-ops', 65.303, false],
    ];
    for (const [name, value, contiguous] of best)
      it(`${name} ${contiguous ? 'split contiguously ' : ''}is at most ${value} within 3 s`, () => {
        const problem = shared(`throughput/${name}.json`);
        const found = placeForThroughput(problem, { contiguous, maxSec: 3, clock, random: new Random(0) });
        expect(found.value).to.be.at.most(value);
        expect(judgePlacement(problem, found.device ?? [], contiguous).faults).to.deep.equal([]);
      });

    it('latency stays within what was found once', () => {
      for (const [name, value] of [
        ['bert24_inference', 100.22],
        ['bert_l-3_inference-ops', 408.6],
      ] as const) {
        const problem = shared(`latency/${name}.json`);
        const found = placeForLatency(problem, {
          contiguous: false,
          maxSec: 3,
          clock,
          random: new Random(0),
        });
        expect(found.value).to.be.at.most(value);
        expect(judgeLatency(problem, found.device ?? [])).to.be.closeTo(found.value, 1e-6);
        expect(judgePlacement(problem, found.device ?? []).faults).to.deep.equal([]);
      }
    });
  });
});
