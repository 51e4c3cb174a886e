import { expect } from 'chai';
import { ShardProblemBuilder, shardCost, solveByElimination } from '../../src/shard/index.js';
import type { ShardProblem } from '../../src/shard/index.js';
import { solveProblem } from '../../src/strategy/solveProblem.js';
import { Random } from '../../src/util/random.js';

/** A graph with `extra` edges beside a spanning tree. */
function randomProblem(random: Random, nodes: number, extra: number): ShardProblem {
  const builder = new ShardProblemBuilder();
  const sizes = Array.from({ length: nodes }, () => 1 + random.int(5));
  for (const size of sizes) builder.addNode(Array.from({ length: size }, () => random.next()));
  const join = (a: number, b: number): void => {
    if (a !== b)
      builder.addEdge(
        a,
        b,
        Float64Array.from({ length: sizes[a] * sizes[b] }, () => random.next()),
      );
  };
  for (let n = 1; n < nodes; n++) join(random.int(n), n);
  for (let e = 0; e < extra; e++) join(random.int(nodes), random.int(nodes));
  return builder.build();
}

describe('sharding problems of the planner', () => {
  it('have the cost that variable elimination proves least, where reductions solve them', () => {
    const random = new Random(7);
    for (let k = 0; k < 60; k++) {
      const problem = randomProblem(random, 2 + random.int(30), 2);
      const found = solveProblem(problem)!;
      expect(found.searched).to.equal(0);
      expect(shardCost(problem, found.choice)).to.be.closeTo(solveByElimination(problem).cost, 1e-9);
    }
  });

  it('come within a hundredth of the least cost where something is left to search, and mostly meet it', () => {
    const random = new Random(8);
    let met = 0;
    let searched = 0;
    for (let k = 0; k < 40; k++) {
      const problem = randomProblem(random, 36, 32);
      const found = solveProblem(problem)!;
      if (found.searched === 0) continue;
      searched++;
      const least = solveByElimination(problem).cost;
      const cost = shardCost(problem, found.choice);
      expect(cost).to.be.below(least * 1.01);
      if (cost < least + 1e-9) met++;
    }
    expect(searched).to.be.at.least(10);
    expect(met / searched).to.be.above(0.9);
  });

  it('have the same answer every time', () => {
    const problem = randomProblem(new Random(9), 40, 60);
    const [a, b] = [solveProblem(problem)!, solveProblem(problem)!];
    expect(Array.from(a.choice)).to.deep.equal(Array.from(b.choice));
  });

  it('have no answer where all is forbidden', () => {
    const builder = new ShardProblemBuilder();
    builder.addNode([Infinity, Infinity]);
    builder.addNode([1]);
    builder.addEdge(0, 1, Float64Array.from([0, 0]));
    expect(solveProblem(builder.build())).to.equal(null);
  });
});
