/** Migration manifests: applied to the shards of one plan they give exactly the shards of the other. */
import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { elementsOf, intersection } from '../../src/plan/holdings.js';
import type { Box, TensorLayout } from '../../src/plan/holdings.js';
import { isSharded, migrationOf } from '../../src/plan/migration.js';
import type { MigrationSide } from '../../src/plan/migration.js';
import { Random } from '../../src/util/random.js';
import { applied, held, order } from '../support/migration.js';

describe('migration between plans', () => {
  it('gives every rank exactly what it holds, for random plans, lost devices and all ZeRO stages', () => {
    const random = new Random(3);
    for (let trial = 0; trial < 60; trial++) {
      const side = (devices: number): MigrationSide => {
        const tp = random.pick([1, 2, 4]);
        const pp = random.pick([1, 2]);
        const dp = Math.max(1, Math.floor(devices / (tp * pp)));
        const dpShard = random.pick([1, dp]);
        const blocks = random.pick([1, 3]);
        const o = order({
          tp,
          pp,
          dpShard,
          dpReplicate: dp / dpShard,
          axisOrder: random.pick(['tp-cp-dp-pp', 'tp-cp-pp-dp'] as const),
        });
        const ranks = tp * pp * dp;
        return {
          order: o,
          zeroStage: random.int(4),
          layouts: [
            {
              tensor: 'w',
              shape: [12, 5],
              dims: [tp > 1 ? ['tp'] : [], []],
              blocks: [tp > 1 ? blocks : 1, 1],
              copies: [1, 1],
              pipelineRanks: [random.int(pp)],
            },
          ],
          deviceOfRank: random.shuffle(Array.from({ length: ranks }, (_, i) => i)),
        };
      };
      const whole = side(8);
      const before = {
        ...whole,
        deviceOfRank: whole.deviceOfRank.map((d) => (random.next() < 0.2 ? -1 : d)),
      };
      const after = side(random.pick([4, 8]));
      for (const state of ['parameter', 'optimizer'] as const) {
        const old = held(before, before.layouts[0], isSharded(state, before.zeroStage), (i) => i);
        before.deviceOfRank.forEach((d, rank) => d < 0 && old[rank].clear());
        const result = applied(before, after, state, before.layouts[0], old, (i) => i);
        const wanted = held(after, after.layouts[0], isSharded(state, after.zeroStage), (i) => i);
        result.forEach((map, rank) => {
          expect([...map.keys()].sort((a, b) => a - b)).to.deep.equal(
            [...wanted[rank].keys()].sort((a, b) => a - b),
          );
          for (const [i, v] of map) expect(v).to.equal(i);
        });
      }
    }
  });

  it('does so for context and expert parallelism, copies, tied tensors, growth and shrink; who failed sends nothing', () => {
    const random = new Random(17);
    let checkpoints = 0;
    for (let trial = 0; trial < 80; trial++) {
      const side = (devices: number): MigrationSide => {
        const tp = random.pick([1, 2]);
        const cp = random.pick([1, 2]);
        const pp = random.pick([1, 2]);
        const dp = devices / (tp * cp * pp);
        const dpShard = random.pick([1, dp]);
        const stage = dp * cp * tp;
        const ep = random.pick([1, 2, 4].filter((e) => stage % e === 0));
        const copies = random.pick([1, tp]);
        const last = pp - 1;
        const at = random.int(pp);
        return {
          order: order({
            tp,
            cp,
            pp,
            dpShard,
            dpReplicate: dp / dpShard,
            ep,
            axisOrder: random.pick(['tp-cp-dp-pp', 'tp-cp-pp-dp'] as const),
          }),
          zeroStage: random.int(4),
          layouts: [
            {
              tensor: 'dense',
              shape: [6, 8],
              dims: [[], ['tp']],
              blocks: [1, 1],
              copies: [1, copies],
              pipelineRanks: [at],
            },
            {
              tensor: 'expert',
              shape: [4, 6],
              dims: [['ep'], []],
              blocks: [1, 1],
              copies: [1, 1],
              pipelineRanks: [at],
            },
            {
              tensor: 'tied',
              shape: [7, 2],
              dims: [['tp'], []],
              blocks: [1, 1],
              copies: [1, 1],
              pipelineRanks: last > 0 ? [0, last] : [0],
            },
            { tensor: 'scale', shape: [], dims: [], blocks: [], copies: [], pipelineRanks: [at] },
          ],
          deviceOfRank: random.shuffle(Array.from({ length: devices }, (_, i) => i)),
        };
      };
      const whole = side(random.pick([8, 16]));
      const lost = random.pick([0, 0.1, 0.5]);
      const before = {
        ...whole,
        deviceOfRank: whole.deviceOfRank.map((d) => (random.next() < lost ? -1 : d)),
      };
      const after = side(random.pick([8, 16, 32]));
      const { groups, load } = migrationOf(
        before,
        after,
        { parameter: 2, optimizer: 12 },
        loadCluster('h100-sxm', 64).levels,
      );
      for (const { moves } of groups)
        for (const { from } of moves) if (from !== null) expect(before.deviceOfRank[from]).to.be.at.least(0);
      const nobody = groups.some(({ moves }) => moves.some(({ from }) => from === null));
      expect(load.checkpointBytes > 0).to.equal(nobody);
      checkpoints += nobody ? 1 : 0;
      for (const layout of before.layouts)
        for (const state of ['parameter', 'optimizer'] as const) {
          const old = held(before, layout, isSharded(state, before.zeroStage), (i) => i);
          before.deviceOfRank.forEach((d, rank) => d < 0 && old[rank].clear());
          const target = after.layouts.find((l) => l.tensor === layout.tensor)!;
          const result = applied(before, after, state, layout, old, (i) => i);
          const wanted = held(after, target, isSharded(state, after.zeroStage), (i) => i);
          result.forEach((map, rank) => {
            expect([...map.keys()].sort((a, b) => a - b)).to.deep.equal(
              [...wanted[rank].keys()].sort((a, b) => a - b),
            );
            for (const [i, v] of map) expect(v).to.equal(i);
          });
        }
    }
    expect(checkpoints).to.be.within(10, 70);
  });

  it('moves nothing between equal plans, and only what is missing otherwise', () => {
    const layout: TensorLayout = {
      tensor: 'w',
      shape: [8, 8],
      dims: [['tp'], []],
      blocks: [1, 1],
      copies: [1, 1],
      pipelineRanks: [0],
    };
    const plan: MigrationSide = {
      order: order({ tp: 2, dpReplicate: 2 }),
      zeroStage: 0,
      layouts: [layout],
      deviceOfRank: [0, 1, 2, 3],
    };
    const { levels } = loadCluster('h100-sxm', 16);
    const none = migrationOf(plan, plan, { parameter: 2, optimizer: 12 }, levels);
    expect(none.groups).to.deep.equal([]);
    expect(none.load).to.include({ movedBytes: 0, checkpointBytes: 0 });
    // Device 3 is replaced by device 9 on another host: half of the tensor crosses the rail, from device 1.
    const after = { ...plan, deviceOfRank: [0, 1, 2, 9] };
    const one = migrationOf(
      { ...plan, deviceOfRank: [0, 1, 2, -1] },
      after,
      { parameter: 2, optimizer: 12 },
      levels,
    );
    expect(one.load.movedBytes).to.equal(32 * 14);
    expect(one.load.levelBytes).to.deep.equal([0, 32 * 14]);
    expect(one.groups.flatMap((g) => g.moves.map((m) => [m.from, m.to]))).to.deep.equal([
      [1, 3],
      [1, 3],
    ]);
    // With every holder of the second half gone it comes from the checkpoint.
    const lost = migrationOf(
      { ...plan, deviceOfRank: [0, -1, 2, -1] },
      after,
      { parameter: 2, optimizer: 12 },
      levels,
    );
    expect(lost.load.checkpointBytes).to.equal(2 * 32 * 14);
  });

  it('boxes intersect run by run', () => {
    const a: Box = [
      [
        [0, 2],
        [4, 6],
      ],
      [[0, 4]],
    ];
    const b: Box = [[[1, 5]], [[2, 8]]];
    expect(intersection(a, b)).to.deep.equal([
      [
        [1, 2],
        [4, 5],
      ],
      [[2, 4]],
    ]);
    expect(elementsOf(intersection(a, b)!)).to.equal(4);
    expect(intersection([[[0, 1]]], [[[1, 2]]])).to.equal(null);
  });
});
