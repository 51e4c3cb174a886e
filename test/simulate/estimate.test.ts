import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { createEngine } from '../../src/simulate/engine.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';
import { quantile } from '../../src/util/stats.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';
import type { SyntheticOptions } from '../support/synthetic.js';

const FAMILIES: readonly SyntheticOptions[] = [
  {},
  { spread: 0.3 },
  { experts: 8, spread: 0.2 },
  { tied: true, devices: 256, layers: 48 },
  { phase: 'inference' },
  { devices: 1024, layers: 96, hidden: 12288, globalBatch: 2048, spread: 0.1 },
];

describe('estimate', () => {
  it('gives the step time and the activations of the event engine, to rounding', () => {
    for (const family of FAMILIES) {
      const problem = syntheticProblem(family);
      const simulator = createSimulator(problem);
      const engine = createEngine(problem);
      const estimate = createEstimate();
      const random = new Random(7);
      const gaps: number[] = [];
      for (let i = 0; i < 120; i++) {
        const candidate = randomCandidate(problem, random);
        simulator.estimate(candidate, estimate);
        const run = engine.run(candidate);
        gaps.push(Math.abs(estimate.stepTimeSec / run.stepTimeSec - 1));
        if (problem.phase === 'train')
          for (let r = 0; r < candidate.pp; r++) {
            const bytes = run.peakActivationBytes[r];
            expect(estimate.memory[r].activationBytes).to.be.closeTo(bytes, 1e-9 * bytes);
          }
      }
      expect(quantile(gaps, 1), JSON.stringify(family)).to.be.at.most(1e-9);
    }
  });

  it('is never below its bound, and its parts add up', () => {
    for (const family of FAMILIES) {
      const problem = syntheticProblem(family);
      const simulator = createSimulator(problem);
      const engine = createEngine(problem);
      const estimate = createEstimate();
      const random = new Random(11);
      for (let i = 0; i < 120; i++) {
        const candidate = randomCandidate(problem, random);
        simulator.estimate(candidate, estimate);
        expect(estimate.planBoundSec).to.be.at.most(engine.run(candidate).stepTimeSec * (1 + 1e-9));
        const step = (Object.values(estimate.breakdown) as number[]).reduce((sum, part) => sum + part, 0);
        expect(step).to.be.closeTo(estimate.stepTimeSec, 1e-9 * estimate.stepTimeSec);
        for (const part of Object.values(estimate.breakdown) as number[]) expect(part).to.be.at.least(0);
        for (let r = 0; r < estimate.rankCount; r++) {
          const { totalBytes, ...parts } = estimate.memory[r];
          const sum = Object.values(parts).reduce((a: number, b: number) => a + b, 0);
          expect(sum).to.be.closeTo(totalBytes, 1e-9 * totalBytes);
        }
        expect(estimate.mfu).to.be.within(0, 1);
        expect(estimate.hfu).to.be.at.least(estimate.mfu);
        expect(estimate.energyJoulesPerStep).to.be.above(0);
      }
    }
  });

  it('bounds every cut and schedule of the same degrees, not only its own', () => {
    const problem = syntheticProblem({ spread: 0.3, layers: 22, devices: 32 });
    const simulator = createSimulator(problem);
    const random = new Random(5);
    const best = new Map<string, number>();
    const bound = new Map<string, number>();
    for (let i = 0; i < 2000; i++) {
      const c = randomCandidate(problem, random);
      const estimate = simulator.estimate(c, createEstimate());
      const key = [c.tp, c.pp, c.vpp, c.cp, c.microbatch].join();
      best.set(key, Math.min(best.get(key) ?? Infinity, estimate.stepTimeSec));
      bound.set(key, Math.max(bound.get(key) ?? 0, estimate.planBoundSec));
    }
    for (const [key, least] of best) expect(bound.get(key)).to.be.at.most(least * (1 + 1e-9));
  });

  it('does not depend on what was priced before', () => {
    const problem = syntheticProblem({ experts: 8 });
    const random = new Random(3);
    const candidates = Array.from({ length: 60 }, () => randomCandidate(problem, random));
    const shared = createSimulator(problem);
    const reused = createEstimate();
    for (const c of [...candidates, ...candidates.reverse()]) {
      const fresh = createSimulator(problem).estimate(c, createEstimate());
      shared.estimate(c, reused);
      expect(reused.stepTimeSec).to.equal(fresh.stepTimeSec);
      expect(reused.energyJoulesPerStep).to.equal(fresh.energyJoulesPerStep);
      expect(reused.memory.slice(0, reused.rankCount)).to.deep.equal(fresh.memory.slice(0, fresh.rankCount));
    }
    expect(shared.evaluations).to.equal(120);
  });

  it('shards parameters, gradients and optimizer state by the ZeRO stage', () => {
    const problem = syntheticProblem();
    const simulator = createSimulator(problem);
    const at = (zeroStage: 0 | 1 | 2 | 3) =>
      simulator.estimate(syntheticCandidate(problem, { zeroStage }), createEstimate()).memory[0];
    const whole = problem.parameters;
    expect(at(0).parameterBytes).to.equal(2 * whole);
    expect(at(0).gradientBytes).to.equal(4 * whole);
    expect(at(0).optimizerBytes).to.equal(12 * whole);
    expect(at(1).optimizerBytes).to.equal((12 * whole) / 64);
    expect(at(1).gradientBytes).to.equal(4 * whole);
    expect(at(2).gradientBytes).to.equal((4 * whole) / 64);
    expect(at(2).parameterBytes).to.equal(2 * whole);
    expect(at(3).parameterBytes).to.equal((2 * whole) / 64);
    expect(at(3).gradientBytes).to.equal((2 * whole) / 64);
  });

  it('trades activation memory for time when it recomputes', () => {
    const problem = syntheticProblem();
    const simulator = createSimulator(problem);
    const under = (policy: number) =>
      simulator.estimate(
        syntheticCandidate(problem, { tp: 8, pp: 4, recompute: new Uint8Array(3).fill(policy) }),
        createEstimate(),
      );
    expect(under(1).memory[0].activationBytes).to.be.below(under(0).memory[0].activationBytes);
    expect(under(2).memory[0].activationBytes).to.be.below(under(1).memory[0].activationBytes);
    expect(under(1).stepTimeSec).to.be.above(under(0).stepTimeSec);
    expect(under(2).stepTimeSec).to.be.above(under(1).stepTimeSec);
    expect(under(2).mfu).to.be.below(under(2).hfu);
    expect(under(0).mfu).to.equal(under(0).hfu);
  });

  it('holds tied parameters once on one rank and sums their gradients across two', () => {
    const tied = syntheticProblem({ tied: true });
    const loose = syntheticProblem({ tied: false });
    const price = (problem: typeof tied, pp: number) =>
      createSimulator(problem).estimate(syntheticCandidate(problem, { pp, zeroStage: 0 }), createEstimate());
    const table = 32000 * 4096;
    expect(price(loose, 1).memory[0].parameterBytes - price(tied, 1).memory[0].parameterBytes).to.equal(
      2 * table,
    );
    expect(price(tied, 4).memory[0].parameterBytes).to.equal(price(loose, 4).memory[0].parameterBytes);
    expect(price(tied, 4).stepTimeSec).to.be.above(price(loose, 4).stepTimeSec);
  });

  it('says by how many bytes and on which rank a plan does not fit', () => {
    const problem = syntheticProblem({ hidden: 8192, layers: 80, devices: 8, globalBatch: 64 });
    const estimate = createSimulator(problem).estimate(
      syntheticCandidate(problem, { zeroStage: 0, pp: 2 }),
      createEstimate(),
    );
    expect(estimate.fits).to.equal(false);
    expect(estimate.overflowBytes).to.equal(estimate.peakMemoryBytes - estimate.memoryCapacityBytes);
    expect(estimate.peakMemoryBytes).to.equal(estimate.memory[estimate.worstRank].totalBytes);
  });

  it('slows down a stage that holds a slower device, and takes the smallest memory', () => {
    const healthy = loadCluster('h100-sxm', 16);
    const device = healthy.groups[0].device;
    const half = {
      ...device,
      memoryBytes: device.memoryBytes / 2,
      peakFlopPerSec: scaled(device.peakFlopPerSec),
      achievableFlopPerSec: scaled(device.achievableFlopPerSec),
    };
    const group = healthy.groups[0];
    const mixed = {
      ...healthy,
      groups: [
        { ...group, hosts: 1, deviceCount: 8 },
        { ...group, hosts: 1, deviceCount: 8, firstRank: 8, device: half, speed: 0.5 },
      ],
    };
    const options = { devices: 16, globalBatch: 64, layers: 30 };
    const given = { tp: 8, pp: 2 };
    const fast = syntheticProblem({ ...options, cluster: healthy });
    const slow = syntheticProblem({ ...options, cluster: mixed });
    const price = (problem: typeof fast) =>
      createSimulator(problem).estimate(syntheticCandidate(problem, given), createEstimate());
    expect(price(slow).stepTimeSec).to.be.above(1.5 * price(fast).stepTimeSec);
    expect(price(slow).memoryCapacityBytes).to.equal(half.memoryBytes);
    // Stages dealt in turn: both ranks hold both kinds of device.
    const dealt = createSimulator(slow).estimate(
      syntheticCandidate(slow, { tp: 4, pp: 2, axisOrder: 'tp-cp-pp-dp' }),
      createEstimate(),
    );
    expect(dealt.memoryCapacityBytes).to.equal(half.memoryBytes);
  });

  it('needs no gradients, optimizer or backward pass for inference, but a cache for every sequence', () => {
    const problem = syntheticProblem({ phase: 'inference', globalBatch: 256 });
    const candidate = syntheticCandidate(problem, { tp: 8, pp: 2, zeroStage: 0, microbatch: 4 });
    const estimate = createSimulator(problem).estimate(candidate, createEstimate());
    expect(estimate.memory[0].gradientBytes).to.equal(0);
    expect(estimate.memory[0].optimizerBytes).to.equal(0);
    const sequences = 256 / 4;
    expect(estimate.memory[1].cacheBytes).to.be.closeTo((sequences * 2 * 2 * 4096 * 4096 * 16) / 8, 1);
    expect(estimate.breakdown.optimizerSec + estimate.breakdown.recomputeSec).to.equal(0);
  });
});

function scaled<T extends Readonly<Record<string, number>>>(rates: T): T {
  return Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, rate / 2])) as T;
}
