import { expect } from 'chai';
import { depthFirstOrder, depths, sinkSingleReaders, toCsr } from '../../src/graph/order.js';
import { Random } from '../../src/util/random.js';

/** Random DAG on n nodes: predecessors have smaller numbers before relabelling. */
function randomDag(n: number, random: Random, label: readonly number[]): { rows: number[]; items: number[] } {
  const rows: number[] = [];
  const items: number[] = [];
  for (let i = 1; i < n; i++) {
    for (let k = random.int(3); k >= 0; k--) {
      rows.push(label[i]);
      items.push(label[random.int(i)]);
    }
  }
  return { rows, items };
}

const identity = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('graph/order', () => {
  it('puts every node after its predecessors, whatever the numbering', () => {
    const random = new Random(1);
    for (let round = 0; round < 30; round++) {
      const n = 2 + random.int(40);
      const label = random.shuffle(identity(n));
      const { rows, items } = randomDag(n, random, label);
      const before = toCsr(n, rows, items);
      for (const order of [
        depthFirstOrder(before, identity(n)),
        sinkSingleReaders(depthFirstOrder(before, identity(n)), before),
      ]) {
        expect([...order].sort((a, b) => a - b)).to.deep.equal(identity(n));
        const at = new Int32Array(n);
        order.forEach((i, k) => (at[i] = k));
        rows.forEach((r, e) => expect(at[items[e]]).to.be.lessThan(at[r]));
      }
    }
  });

  it('gives the same order under relabelling', () => {
    const shape = new Random(7);
    const n = 60;
    const { rows, items } = randomDag(n, shape, identity(n));
    const plain = depthFirstOrder(toCsr(n, rows, items), [n - 1]);
    const label = new Random(8).shuffle(identity(n));
    const renamed = depthFirstOrder(
      toCsr(
        n,
        rows.map((r) => label[r]),
        items.map((i) => label[i]),
      ),
      [label[n - 1]],
    );
    expect([...renamed]).to.deep.equal([...plain].map((i) => label[i]));
  });

  it('does the deepest predecessor first, so that a trunk is not interleaved with side branches', () => {
    // 0 -> 1 -> 2 -> 4 and 3 -> 4: the trunk first, then the side branch.
    const before = toCsr(5, [1, 2, 4, 4], [0, 1, 3, 2]);
    expect([...depthFirstOrder(before, [4])]).to.deep.equal([0, 1, 2, 3, 4]);
  });

  it('moves a node with one reader next to it', () => {
    // 1 and 2 read 0; 2 is read by 3 and 4, 1 and 3 by 4 only: 1 moves behind 2.
    const before = toCsr(5, [1, 2, 3, 4, 4, 4], [0, 0, 2, 2, 1, 3]);
    expect([...sinkSingleReaders(Int32Array.from([0, 1, 2, 3, 4]), before)]).to.deep.equal([0, 2, 1, 3, 4]);
  });

  it('finds longest paths, and tells of a cycle', () => {
    expect([...depths(toCsr(4, [1, 2, 3, 3], [0, 1, 0, 2]))!]).to.deep.equal([0, 1, 2, 3]);
    expect(depths(toCsr(2, [0, 1], [1, 0]))).to.equal(null);
  });

  it('survives a chain of 200,000 nodes', () => {
    const n = 200_000;
    const rows = Array.from({ length: n - 1 }, (_, i) => i + 1);
    const order = depthFirstOrder(
      toCsr(
        n,
        rows,
        rows.map((r) => r - 1),
      ),
      [n - 1],
    );
    expect(order.length).to.equal(n);
    expect(order[n - 1]).to.equal(n - 1);
  });
});
