import { expect } from 'chai';
import { Descent } from '../../src/shard/descend.js';
import { BlockSolver } from '../../src/shard/block.js';
import { coreCost } from '../../src/shard/core.js';
import type { ShardCore } from '../../src/shard/core.js';
import { searchExactly } from '../../src/shard/exact.js';
import { leastUsage } from '../../src/shard/leastUsage.js';
import { MessagePasser } from '../../src/shard/messages.js';
import { NEIGHBOURHOODS, NeighbourhoodSampler } from '../../src/shard/neighbourhood.js';
import { RowSlack } from '../../src/shard/rowSlack.js';
import { ShardState } from '../../src/shard/state.js';
import { Exchange, UniformChoice, reduceInstance } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';
import { randomInstance } from '../support/shardInstances.js';
import { readProblem } from './support.js';

const SHAPE = { nodes: 40, edges: 60, mostStrategies: 5, following: 0, forbidden: 0.01, tightness: 0.2 };

function randomCore(seed: number, shape = SHAPE): ShardCore {
  const random = new Random(seed);
  for (;;) {
    const { core } = reduceInstance(readProblem(randomInstance(random, shape)));
    if (core !== null && core.count > 4) return core;
  }
}

function anyChoice(core: ShardCore, random: Random): Int32Array {
  return Int32Array.from({ length: core.count }, (_, i) => random.int(core.start[i + 1] - core.start[i]));
}

describe('the pieces of the sharding solver', function () {
  this.timeout(60_000);

  it('slack of runs of rows equals slack row by row', () => {
    const random = new Random(1);
    const plain = Array.from({ length: 300 }, () => random.int(100));
    const slack = new RowSlack(Float64Array.from(plain));
    for (let k = 0; k < 400; k++) {
      const begin = random.int(300);
      const end = begin + random.int(301 - begin);
      const amount = random.int(40) - 22;
      slack.add(begin, end, amount);
      for (let r = begin; r < end; r++) plain[r] += amount;
      const from = random.int(300);
      const to = from + 1 + random.int(300 - from);
      expect(slack.leastOf(from, to)).to.equal(Math.min(...plain.slice(from, to)));
      expect(slack.at(from)).to.equal(plain[from]);
      expect(slack.isOverfull()).to.equal(plain.some((x) => x < 0));
      expect(slack.excess()).to.equal(plain.reduce((sum, x) => sum + Math.max(0, -x), 0));
      const rows = new Int32Array(300);
      const count = slack.overfull(rows);
      expect(Array.from(rows.subarray(0, count))).to.deep.equal(
        [...plain.keys()].filter((r) => plain[r] < 0),
      );
    }
  });

  it('margins and costs that moves update equal those counted anew', () => {
    const random = new Random(2);
    const core = randomCore(2);
    const state = new ShardState(core, anyChoice(core, random));
    for (let k = 0; k < 500; k++) {
      const i = random.int(core.count);
      const to = random.int(core.start[i + 1] - core.start[i]);
      const could = state.fits(i, to);
      const wasOverfull = state.slack.isOverfull();
      state.move(i, to);
      if (could && !wasOverfull) expect(state.slack.isOverfull()).to.equal(false);
    }
    const again = new ShardState(core, state.choice);
    expect(state.cost).to.equal(coreCost(core, state.choice));
    expect(Array.from(state.margin)).to.deep.equal(Array.from(again.margin));
    expect(state.slack.leastOf(0, core.rowCount)).to.equal(again.slack.leastOf(0, core.rowCount));
  });

  it('a block is minimised exactly, whatever does not fit into tables staying as it is', () => {
    const random = new Random(3);
    for (const limit of [1e9, 200, 30]) {
      for (let seed = 0; seed < 12; seed++) {
        const whole = randomCore(seed, { ...SHAPE, nodes: 12, edges: 22, mostStrategies: 3 });
        const core = {
          ...whole,
          rowCount: 0,
          capacity: new Float64Array(0),
          segmentStart: new Int32Array(whole.count + 1),
        };
        const choice = anyChoice(core, random);
        const block = new BlockSolver(core);
        const all = Array.from({ length: core.count }, (_, i) => i);
        block.plan(all, limit, (n) => random.int(n));
        if (limit === 1e9) expect(block.order).to.have.length(core.count);
        // All that a free variable costs beside those that stay.
        const unary = Float64Array.from(core.cost);
        for (const v of block.order)
          for (let e = core.edgeStart[v]; e < core.edgeStart[v + 1]; e++) {
            const u = core.edgeTo[e];
            const size = core.start[v + 1] - core.start[v];
            if (!block.isFree(u))
              for (let s = 0; s < size; s++)
                unary[core.start[v] + s] += core.table[core.edgeTable[e] + choice[u] * size + s];
          }
        block.solve(unary);
        const found = Int32Array.from(choice);
        block.order.forEach((v, p) => (found[v] = block.found[p]));
        // Nothing else may be better: every free variable's choices, the rest as it was.
        const pinned = { ...core, cost: Float64Array.from(core.cost) };
        for (let v = 0; v < core.count; v++)
          if (!block.isFree(v))
            for (let s = 0; s < core.start[v + 1] - core.start[v]; s++)
              if (s !== choice[v]) pinned.cost[core.start[v] + s] = core.forbidden;
        const best = searchExactly(pinned);
        if (best === null || best.cost === Infinity) continue;
        expect(coreCost(core, found), `limit ${limit}, seed ${seed}`).to.equal(best.cost);
      }
    }
  });

  it('messages are exact on trees', () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const nodes = 30;
      const costs = Array.from({ length: nodes }, () => Array.from({ length: 3 }, () => random.int(40)));
      const joined = Array.from({ length: nodes - 1 }, (_, i) => [i + 1, random.int(i + 1)]);
      const instance = readProblem({
        problem: {
          nodes: {
            intervals: costs.map(() => [0, 5]),
            costs,
            // Memory keeps the reductions from eating the tree up; there is room for all.
            usages: costs.map(() => [3, 2, 1]),
          },
          edges: { nodes: joined, costs: joined.map(() => Array.from({ length: 9 }, () => random.int(60))) },
          usage_limit: 3 * nodes - 1,
        },
      });
      const { core } = reduceInstance(instance);
      if (core === null) throw new Error('nothing left');
      const messages = new MessagePasser(core);
      let bound = 0;
      for (let pass = 0; pass < 20; pass++) {
        messages.forward();
        bound = messages.backward();
      }
      const choice = new Int32Array(core.count);
      messages.decode(choice);
      expect(bound).to.be.closeTo(coreCost(core, choice), 1e-6 * bound);
    }
  });

  it('neighbourhoods hold different variables, no more than asked for, those of a row when one is given', () => {
    const random = new Random(5);
    const core = randomCore(5, { ...SHAPE, nodes: 400, edges: 700 });
    const state = new ShardState(core, leastUsage(core));
    const sampler = new NeighbourhoodSampler(state, random);
    for (let k = 0; k < 400; k++) {
      const neighbourhood = NEIGHBOURHOODS[k % NEIGHBOURHOODS.length];
      const variables = sampler.draw(neighbourhood, k % 3 === 0 ? random.int(core.rowCount) : -1);
      expect(new Set(variables).size).to.equal(variables.length);
      expect(variables.length).to.be.within(1, Math.min(core.count, neighbourhood.size));
    }
  });

  it('the descent keeps the best feasible solution, and what it says it costs is what it costs', () => {
    const core = randomCore(6, { ...SHAPE, nodes: 300, edges: 500 });
    const random = new Random(6);
    const descent = new Descent(
      core,
      leastUsage(core),
      random,
      new UniformChoice(NEIGHBOURHOODS.length, random),
    );
    let last = Infinity;
    for (let k = 0; k < 400; k++) {
      descent.step(k / 400);
      expect(descent.bestCost).to.be.at.most(last);
      last = descent.bestCost;
    }
    expect(last).to.be.lessThan(core.forbidden);
    expect(coreCost(core, descent.best)).to.equal(last);
    expect(new ShardState(core, descent.best).slack.isOverfull()).to.equal(false);
  });

  it('threads keep the best of what they offer each other', () => {
    const core = randomCore(7);
    const exchange = Exchange.for(core);
    const other = new Exchange(exchange.buffers);
    const choice = leastUsage(core);
    expect(exchange.bestCost).to.equal(Infinity);
    expect(exchange.offer(10, choice)).to.equal(true);
    expect(other.offer(11, new Int32Array(core.count))).to.equal(false);
    const taken = new Int32Array(core.count);
    expect(other.take(taken)).to.equal(10);
    expect(taken).to.deep.equal(choice);
    exchange.tellPrices(new Float64Array(core.rowCount).fill(2), choice);
    other.awaitPrices();
    const price = new Float64Array(core.rowCount);
    other.takePrices(price, taken);
    expect(price[0]).to.equal(2);
    exchange.stop();
    expect(other.stopped).to.equal(true);
  });
});
