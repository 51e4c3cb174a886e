import { expect } from 'chai';
import { ShardProblemBuilder, shardCost, solveByElimination } from '../../src/shard/index.js';
import type { ShardProblem } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';

function randomProblem(random: Random, nodes: number, edges: number, forbid = 0): ShardProblem {
  const builder = new ShardProblemBuilder();
  const sizes = Array.from({ length: nodes }, () => 1 + random.int(4));
  for (const size of sizes) builder.addNode(Array.from({ length: size }, () => random.int(20)));
  for (let e = 0; e < edges; e++) {
    const a = random.int(nodes);
    const b = (a + 1 + random.int(nodes - 1)) % nodes;
    const matrix = Float64Array.from({ length: sizes[a] * sizes[b] }, () =>
      random.next() < forbid ? Infinity : random.int(20),
    );
    builder.addEdge(a, b, matrix);
  }
  return builder.build();
}

function bruteForce(problem: ShardProblem): number {
  const choice = new Int32Array(problem.nodeCount);
  let best = Infinity;
  for (;;) {
    best = Math.min(best, shardCost(problem, choice));
    let n = 0;
    for (; n < problem.nodeCount; n++) {
      if (++choice[n] < problem.choiceStart[n + 1] - problem.choiceStart[n]) break;
      choice[n] = 0;
    }
    if (n === problem.nodeCount) return best;
  }
}

describe('exact sharding by elimination', () => {
  it('finds the same cost as brute force on random graphs of every density', () => {
    const random = new Random(1);
    for (let i = 0; i < 200; i++) {
      const problem = randomProblem(random, 2 + random.int(6), random.int(16));
      const solution = solveByElimination(problem);
      expect(solution.status).to.equal('optimal');
      expect(solution.cost).to.equal(bruteForce(problem));
      expect(shardCost(problem, solution.choice)).to.equal(solution.cost);
    }
  });

  it('says infeasible exactly when brute force finds no finite choice', () => {
    const random = new Random(2);
    let infeasible = 0;
    for (let i = 0; i < 200; i++) {
      const problem = randomProblem(random, 2 + random.int(5), 8, 0.5);
      const expected = bruteForce(problem);
      const solution = solveByElimination(problem);
      expect(solution.status).to.equal(Number.isFinite(expected) ? 'optimal' : 'infeasible');
      if (solution.status === 'infeasible') infeasible++;
      else expect(solution.cost).to.equal(expected);
    }
    expect(infeasible).to.be.greaterThan(10);
  });

  it('solves a chain of 2,000 nodes', () => {
    const random = new Random(3);
    const builder = new ShardProblemBuilder();
    for (let n = 0; n < 2000; n++) builder.addNode([random.int(9), random.int(9), random.int(9)]);
    for (let n = 1; n < 2000; n++)
      builder.addEdge(
        n - 1,
        n,
        Float64Array.from({ length: 9 }, () => random.int(9)),
      );
    const problem = builder.build();
    const solution = solveByElimination(problem);
    expect(shardCost(problem, solution.choice)).to.equal(solution.cost);
  });

  it('stays exact where tables would be too large, by conditioning on the best-connected node', () => {
    // A clique of 12 nodes with 4 choices: any elimination makes a table of 4^12. A planted zero-cost choice is optimal.
    const random = new Random(4);
    const builder = new ShardProblemBuilder();
    const planted = Array.from({ length: 12 }, () => random.int(4));
    for (let n = 0; n < 12; n++) builder.addNode([0, 0, 0, 0]);
    for (let a = 0; a < 12; a++) {
      for (let b = a + 1; b < 12; b++) {
        const matrix = Float64Array.from({ length: 16 }, () => 1 + random.int(9));
        matrix[planted[a] * 4 + planted[b]] = 0;
        builder.addEdge(a, b, matrix);
      }
    }
    const solution = solveByElimination(builder.build());
    expect(solution.cost).to.equal(0);
    expect([...solution.choice]).to.deep.equal(planted);
  });
});
