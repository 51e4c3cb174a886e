import { expect } from 'chai';
import { BanditChoice, UniformChoice, judgeShard, reduceInstance } from '../../src/shard/index.js';
import { DualAscent } from '../../src/shard/dual.js';
import { searchExactly } from '../../src/shard/exact.js';
import { Random } from '../../src/util/random.js';
import { bruteForce, randomInstance } from '../support/shardInstances.js';
import { readProblem, solveInstance } from './support.js';

const TINY = { nodes: 8, edges: 10, mostStrategies: 4, following: 0.3, forbidden: 0.12 };

describe('solving sharding instances', function () {
  this.timeout(120_000);

  it('finds the optimum of 400 random small instances and proves it, or proves that nothing is feasible', () => {
    const random = new Random(1);
    let infeasible = 0;
    for (let k = 0; k < 400; k++) {
      const shape = k % 4 === 0 ? TINY : { ...TINY, tightness: (k % 7) / 10 };
      const problem = randomInstance(random, shape);
      const best = bruteForce(problem);
      const instance = readProblem(problem);
      const found = solveInstance(instance, 200, k);
      if (best === Infinity) {
        infeasible++;
        expect(found?.cost ?? Infinity, `instance ${k}`).to.equal(Infinity);
        continue;
      }
      expect(found, `instance ${k}`).to.not.equal(null);
      const verdict = judgeShard(instance, found!.solution);
      expect(verdict.feasible, `instance ${k}`).to.equal(true);
      expect(verdict.cost, `instance ${k}`).to.equal(best);
      expect(found!.cost, `instance ${k}`).to.equal(best);
      expect(found!.bound, `instance ${k}`).to.be.closeTo(best, 1e-6 * best);
    }
    expect(infeasible).to.be.within(20, 300);
  });

  it('reductions keep the optimum: every solution of the core unrolls to its cost and to a peak that fits', () => {
    const random = new Random(2);
    for (let k = 0; k < 60; k++) {
      const instance = readProblem(
        randomInstance(random, { ...TINY, nodes: 60, edges: 80, forbidden: 0.02, tightness: 0.2 }),
      );
      const found = solveInstance(instance, 60, k);
      if (found === null || found.cost === Infinity) continue;
      const verdict = judgeShard(instance, found.solution);
      expect(verdict.cost).to.equal(found.cost);
      expect(verdict.feasible).to.equal(true);
      expect(found.bound).to.be.at.most(found.cost);
    }
  });

  it('reductions that time cuts short anywhere leave a core with the same optimum', () => {
    const random = new Random(12);
    for (let k = 0; k < 60; k++) {
      const problem = randomInstance(random, { ...TINY, tightness: (k % 5) / 10 });
      const best = bruteForce(problem);
      const instance = readProblem(problem);
      for (const steps of [0, 1, 3, 7, 15, 40]) {
        let left = steps;
        const reduction = reduceInstance(instance, () => left-- <= 0);
        const { core } = reduction;
        const exact = core === null ? null : searchExactly(core);
        expect(exact?.cost ?? Infinity, `instance ${k}, ${steps} steps`).to.equal(best);
        if (best < Infinity)
          expect(judgeShard(instance, reduction.unroll(exact!.choice)).cost).to.equal(best);
      }
    }
  });

  it('finds feasible solutions where forbidden pairs and a limit without slack leave few', () => {
    const random = new Random(11);
    for (let k = 0; k < 12; k++) {
      const shape = {
        nodes: 150,
        edges: [150, 300][k % 2],
        mostStrategies: 8,
        following: [0, 0.3, 0.6][k % 3],
        forbidden: [0, 0.02, 0.05][(k >> 1) % 3],
        plantedSlack: [1, 1.02][(k >> 2) % 2],
      };
      const instance = readProblem(randomInstance(random, shape));
      const found = solveInstance(instance, 2000, k);
      expect(found, JSON.stringify(shape)).to.not.equal(null);
      expect(judgeShard(instance, found!.solution).feasible, JSON.stringify(shape)).to.equal(true);
    }
  });

  it('usages that are not whole fit a limit that they sum up to', () => {
    const usages = [0.1, 0.2, 0.7].map((u) => [u, 2 * u]);
    const instance = readProblem({
      problem: {
        nodes: { intervals: usages.map(() => [0, 1]), costs: usages.map(() => [5, 1]), usages },
        edges: { nodes: [[0, 1]], costs: [[0.1, 0.2, 0.3, 0.4]] },
        usage_limit: 1,
      },
    });
    const found = solveInstance(instance, 50);
    expect(Array.from(found!.solution)).to.deep.equal([0, 0, 0]);
    expect(found!.cost).to.be.closeTo(15.1, 1e-9);
  });

  it('the dual never exceeds the optimum', () => {
    const random = new Random(3);
    for (let k = 0; k < 120; k++) {
      const problem = randomInstance(random, { ...TINY, edges: 16, tightness: 0.1 });
      const best = bruteForce(problem);
      const { core } = reduceInstance(readProblem(problem));
      if (core === null || best === Infinity) continue;
      const dual = new DualAscent(core);
      expect(dual.bound).to.be.at.most(best);
      for (let step = 0; step < 60; step++) dual.step(best);
      expect(dual.bound).to.be.at.most(best + 1e-6 * (1 + best));
    }
  });

  it('the dual rises as well from a poor solution, or from none, as from a good one', () => {
    const shape = { nodes: 300, edges: 420, mostStrategies: 8, following: 0.1, forbidden: 0 };
    for (let seed = 0; seed < 4; seed++) {
      const problem = randomInstance(new Random(20 + seed), { ...shape, tightness: 0.15 });
      const { core } = reduceInstance(readProblem(problem));
      const risen = (known: number): number => {
        const dual = new DualAscent(core!);
        dual.warmUp(() => false);
        for (let k = 0; k < 120; k++) dual.step(known);
        return dual.bound;
      };
      const free = new DualAscent(core!).bound;
      const good = risen(solveInstance(readProblem(problem), 900, seed)!.cost);
      expect(good).to.be.greaterThan(1.05 * free);
      expect(risen(1e4 * good)).to.be.at.least(0.995 * good);
      expect(risen(Infinity)).to.be.at.least(0.995 * good);
    }
  });

  it('gives the same solution for the same seed and work', () => {
    const problem = randomInstance(new Random(4), {
      nodes: 300,
      edges: 420,
      mostStrategies: 8,
      following: 0.1,
      forbidden: 0.001,
      tightness: 0.15,
    });
    const instance = readProblem(problem);
    const first = solveInstance(instance, 900, 5);
    const again = solveInstance(instance, 900, 5);
    expect(first!.cost).to.be.lessThan(Infinity);
    expect(again!.solution).to.deep.equal(first!.solution);
    const verdict = judgeShard(instance, first!.solution);
    expect(verdict.feasible).to.equal(true);
    expect(verdict.cost / first!.bound).to.be.within(1, 1.2);
  });

  it('a bandit comes to open what pays', () => {
    const random = new Random(6);
    const bandit = new BanditChoice(4, random);
    const opened = [0, 0, 0, 0];
    for (let k = 0; k < 2000; k++) {
      const arm = bandit.next();
      opened[arm]++;
      bandit.learn(arm, arm === 2 ? 0.01 : 0.0005, arm === 3 ? 100 : 10);
    }
    expect(opened[2]).to.be.greaterThan(1000);
    expect(opened[3]).to.be.greaterThan(50);
    const uniform = new UniformChoice(4, random);
    expect(Array.from({ length: 200 }, () => uniform.next())).to.include.members([0, 1, 2, 3]);
  });
});
