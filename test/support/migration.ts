/** Shards by rank, and a migration applied to them, element by element. */
import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { boxAt, placeOf } from '../../src/plan/holdings.js';
import type { Box, RankOrder, TensorLayout } from '../../src/plan/holdings.js';
import { isSharded, migrationOf } from '../../src/plan/migration.js';
import type { MigrationSide } from '../../src/plan/migration.js';

export const order = (d: Partial<RankOrder>): RankOrder => ({
  dpReplicate: 1,
  dpShard: 1,
  tp: 1,
  pp: 1,
  cp: 1,
  ep: 1,
  etp: 1,
  vpp: 1,
  axisOrder: 'tp-cp-dp-pp',
  ...d,
});

/** Indices of a box in the flat tensor, row-major. */
export function indices(shape: readonly number[], box: Box): number[] {
  let flat = [0];
  shape.forEach((size, d) => {
    const along: number[] = [];
    for (const [a, b] of box[d]) for (let i = a; i < b; i++) along.push(i);
    flat = flat.flatMap((base) => along.map((i) => base * size + i));
  });
  return flat;
}

/** What each rank of a side holds of a tensor: values by flat index. */
export type Held = Map<number, unknown>[];

export function held(
  side: MigrationSide,
  layout: TensorLayout,
  sharded: boolean,
  value: (i: number) => unknown,
): Held {
  return side.deviceOfRank.map((_, rank) => {
    const { pipelineRank, place } = placeOf(side.order, rank);
    if (!layout.pipelineRanks.includes(pipelineRank)) return new Map<number, unknown>();
    const box = boxAt(side.order, layout, place, sharded);
    return new Map(indices(layout.shape, box).map((i) => [i, value(i)]));
  });
}

/** Applies the moves: devices that stay keep what they have, all else must be sent. */
export function applied(
  before: MigrationSide,
  after: MigrationSide,
  state: 'parameter' | 'optimizer',
  layout: TensorLayout,
  old: Held,
  checkpoint: (i: number) => unknown,
): Held {
  const { groups } = migrationOf(
    before,
    after,
    { parameter: 2, optimizer: 12 },
    loadCluster('h100-sxm', 64).levels,
  );
  const wanted = held(
    after,
    after.layouts.find((l) => l.tensor === layout.tensor)!,
    isSharded(state, after.zeroStage),
    () => null,
  );
  const result: Held = after.deviceOfRank.map((device, rank) => {
    const same = before.deviceOfRank.indexOf(device);
    const kept = same < 0 ? new Map<number, unknown>() : old[same];
    return new Map([...kept].filter(([i]) => wanted[rank].has(i)));
  });
  for (const group of groups) {
    if (group.state !== state || !group.tensors.includes(layout.tensor)) continue;
    for (const { from, to, box } of group.moves)
      for (const i of indices(group.shape, box)) {
        if (from !== null) expect(old[from].has(i), `rank ${from} has element ${i}`).to.equal(true);
        expect(result[to].has(i), `element ${i} is sent to rank ${to} once`).to.equal(false);
        result[to].set(i, from === null ? checkpoint(i) : old[from].get(i));
      }
  }
  return result;
}
