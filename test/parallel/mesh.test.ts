import { expect } from 'chai';
import {
  axisOf,
  axisOrders,
  combinedSpan,
  coordinateOf,
  DEFAULT_AXIS_ORDER,
  degreesOf,
  expertSpans,
  groupRanks,
  groupSpan,
  meshOf,
} from '../../src/parallel/index.js';
import type { AxisName } from '../../src/parallel/index.js';
import { PartitionError } from '../../src/util/errors.js';

describe('the device mesh', () => {
  const degrees = degreesOf({ dpReplicate: 2, dpShard: 4, tp: 8, pp: 3, cp: 2 });
  const mesh = meshOf(degrees);

  it('lays axes out innermost first with growing strides', () => {
    expect(mesh.deviceCount).to.equal(384);
    expect(mesh.axes.map((a) => [a.name, a.size, a.stride])).to.deep.equal([
      ['tp', 8, 1],
      ['cp', 2, 8],
      ['dpShard', 4, 16],
      ['dpReplicate', 2, 64],
      ['pp', 3, 128],
    ]);
  });

  it('partitions all ranks into groups along every axis', () => {
    for (const axis of mesh.axes) {
      const seen = new Set<number>();
      for (let rank = 0; rank < mesh.deviceCount; rank++) {
        const ranks = groupRanks(axis, rank);
        expect(ranks).to.include(rank);
        expect(ranks[coordinateOf(axis, rank)]).to.equal(rank);
        if (coordinateOf(axis, rank) === 0) for (const r of ranks) seen.add(r);
      }
      expect(seen.size).to.equal(mesh.deviceCount);
    }
  });

  it('gives neighbouring axes together the exact span of their ranks', () => {
    expect(combinedSpan(mesh, ['dpShard', 'dpReplicate'])).to.deep.equal({ size: 8, stride: 16 });
    expect(combinedSpan(mesh, ['cp', 'dpShard', 'dpReplicate'])).to.deep.equal({ size: 16, stride: 8 });
    expect(combinedSpan(mesh, [])).to.deep.equal({ size: 1, stride: 1 });
  });

  it('spreads a span with a hole over as wide a range as its ranks', () => {
    const outer = meshOf(degrees, ['tp', 'dpShard', 'pp', 'cp', 'dpReplicate']);
    const span = combinedSpan(outer, ['dpShard', 'cp']);
    expect(span.size).to.equal(8);
    const ranks = new Set<number>();
    for (let s = 0; s < 4; s++)
      for (let c = 0; c < 2; c++)
        ranks.add(s * axisOf(outer, 'dpShard').stride + c * axisOf(outer, 'cp').stride);
    expect(span.stride * span.size).to.be.at.least(Math.max(...ranks));
  });

  it('nests expert tensor parallelism, experts and their replicas in a stage', () => {
    const moe = degreesOf({ dpShard: 8, tp: 2, pp: 2, ep: 4, etp: 2 });
    const spans = expertSpans(meshOf(moe), moe);
    expect(spans).to.deep.equal({
      etp: { size: 2, stride: 1 },
      ep: { size: 4, stride: 2 },
      expertDp: { size: 2, stride: 8 },
    });
  });

  it('refuses an order that misses or repeats an axis', () => {
    expect(() => meshOf(degrees, ['tp', 'tp', 'cp', 'pp', 'dpShard'] as AxisName[])).to.throw(
      PartitionError,
      /axis|each of/,
    );
    expect(() => meshOf(degrees, [])).to.throw(PartitionError, /found nothing/);
  });

  it('lists every order once, the default among them', () => {
    const all = axisOrders(true);
    expect(all).to.have.length(120);
    expect(new Set(all.map((o) => o.join())).size).to.equal(120);
    expect(axisOrders().map((o) => o.join())).to.include(DEFAULT_AXIS_ORDER.join());
    expect(axisOrders().length).to.be.below(120);
  });

  it('has spans of stride one for the innermost axis', () => {
    expect(groupSpan(axisOf(mesh, 'tp'))).to.deep.equal({ size: 8, stride: 1 });
  });
});
