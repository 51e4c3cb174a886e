import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { judgePiper, placeForPiper, readPiperProblem } from '../../../src/search/place/index.js';
import type { PiperProblem, PiperStage } from '../../../src/search/place/index.js';
import { solveKnapsack } from '../../../src/search/place/knapsack.js';
import { Random } from '../../../src/util/random.js';

const GIB = 2 ** 30;
const file = fileURLToPath(new URL('../../../../shared/data/piper/resnet.json', import.meta.url));
const clock = (): number => performance.now() / 1000;

/** A random small graph with one or two configurations for tensor degrees 1 and 2. */
function randomPiper(seed: number): PiperProblem {
  const random = new Random(seed);
  const n = 2 + random.int(3);
  const edges = Array.from({ length: n * n }, (_, i) => [Math.floor(i / n), i % n])
    .filter(([u, v]) => u < v && random.next() < 0.6)
    .map(([sourceId, destId]) => ({ sourceId, destId, communicationCost: random.int(5) }));
  return readPiperProblem(
    {
      maxDevices: 1 + random.int(4),
      maxMemoryPerDevice: 6 + random.int(25),
      bandwidth: 1 + random.int(3),
      mbsInBatch: [1, 2, 3, 4, 6][random.int(5)],
      nodes: Array.from({ length: n }, (_, id) => ({
        id,
        TMPCs: Object.fromEntries(
          (random.next() < 0.7 ? [1, 2] : [1]).map((t) => [
            t,
            Array.from({ length: 1 + random.int(2) }, (_, c) => ({
              id: `choice${c}`,
              timePerSample: (1 + random.int(12)) / t,
              parameterSize: 2,
              memoryUsageA: random.int(5),
              memoryUsageB: random.int(4),
              syncTimeFw: Object.fromEntries(
                edges.filter((e) => e.destId === id).map((e) => [e.sourceId, (t - 1) * (e.sourceId % 3)]),
              ),
              syncTimeBw: Object.fromEntries(
                edges.filter((e) => e.sourceId === id).map((e) => [e.destId, (t - 1) * (e.destId % 2)]),
              ),
            })),
          ]),
        ),
      })),
      edges,
    },
    'random',
  );
}

/** Every ordered split into stages, every pair of degrees, every choice. */
function bruteForce(problem: PiperProblem): number {
  const n = problem.names.length;
  let best = Infinity;
  const choose = (stages: { layers: number[]; d: number; t: number }[]): void => {
    const flat = stages.flatMap((s, i) => s.layers.map((v) => ({ i, v, t: s.t })));
    const counts = flat.map(({ v, t }) => problem.choices[v].get(t)?.length ?? 0);
    if (counts.includes(0)) return;
    const pick = counts.map(() => 0);
    for (;;) {
      let at = 0;
      const plan: PiperStage[] = stages.map((s) => ({
        layers: s.layers,
        dataDegree: s.d,
        tensorDegree: s.t,
        choice: s.layers.map(() => pick[at++]),
      }));
      const verdict = judgePiper(problem, plan);
      if (verdict.faults.length === 0) best = Math.min(best, verdict.timePerSample);
      let i = 0;
      while (i < pick.length && ++pick[i] === counts[i]) pick[i++] = 0;
      if (i === pick.length) return;
    }
  };
  const grow = (
    left: number[],
    devices: number,
    stages: { layers: number[]; d: number; t: number }[],
  ): void => {
    if (left.length === 0) {
      choose(stages);
      return;
    }
    for (let mask = 1; mask < 1 << left.length; mask++) {
      const layers = left.filter((_, i) => (mask >> i) & 1);
      const rest = left.filter((_, i) => !((mask >> i) & 1));
      for (const t of problem.tensorDegrees)
        for (let d = 1; d * t <= devices; d++) grow(rest, devices - d * t, [...stages, { layers, d, t }]);
    }
  };
  grow(
    Array.from({ length: n }, (_, v) => v),
    problem.devices,
    [],
  );
  return best;
}

describe('Piper: pipelines of data- and tensor-parallel stages', function () {
  this.timeout(60_000);

  it('finds the least time per sample of 60 small graphs, as trying every plan does', () => {
    for (let seed = 0; seed < 60; seed++) {
      const problem = randomPiper(seed);
      const best = bruteForce(problem);
      const found = placeForPiper(problem, { maxSec: 30, clock });
      if (best === Infinity) expect(found.stages, `seed ${seed}`).to.equal(null);
      else {
        expect(found.timePerSample, `seed ${seed}`).to.be.closeTo(best, 1e-6 * best);
        expect(found.lowerBound).to.be.at.most(best * (1 + 1e-9));
        expect(judgePiper(problem, found.stages ?? []).faults).to.deep.equal([]);
      }
    }
  });

  it('chooses configurations exactly, as trying every choice does', () => {
    const random = new Random(3);
    for (let round = 0; round < 500; round++) {
      const n = 1 + random.int(6);
      const counts = Array.from({ length: n }, () => 1 + random.int(3));
      const time = counts.map((m) => Array.from({ length: m }, () => random.int(10)));
      const bytes = counts.map((m) => Array.from({ length: m }, () => random.int(10)));
      const capacity = random.int(n * 6);
      let best = Infinity;
      const pick = counts.map(() => 0);
      for (let i = 0; i < n;) {
        const total = (of: readonly number[][]): number => pick.reduce((sum, c, j) => sum + of[j][c], 0);
        if (total(bytes) <= capacity) best = Math.min(best, total(time));
        i = 0;
        while (i < n && ++pick[i] === counts[i]) pick[i++] = 0;
      }
      expect(solveKnapsack({ time, bytes, capacity }, 1e6)?.time ?? Infinity).to.equal(best);
    }
  });

  it('reaches the published times per sample of ResNet in 3 s each, with proof', function () {
    if (!existsSync(file)) {
      console.log('      skipped: ../shared/data/piper is not there');
      this.skip();
    }
    const read = readPiperProblem(JSON.parse(readFileSync(file, 'utf8')), 'resnet');
    for (const [devices, gib, published] of [
      [8, 8, 63.434],
      [8, 16, 58.558],
      [16, 8, 31.634],
      [32, 16, 14.639],
    ]) {
      const problem = { ...read, devices, memoryBytes: gib * GIB };
      const started = clock();
      const found = placeForPiper(problem, { maxSec: 3, clock });
      expect(clock() - started).to.be.below(3);
      // Published to three decimals, cut off.
      expect(found.timePerSample).to.be.below(published + 0.001);
      expect(found.lowerBound).to.be.at.least(found.timePerSample * (1 - 1e-6));
      expect(judgePiper(problem, found.stages ?? []).faults).to.deep.equal([]);
    }
  });
});
