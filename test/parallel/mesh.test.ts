import { expect } from 'chai';
import { meshOf } from '../../src/parallel/index.js';

describe('the device mesh', () => {
  const degrees = { dpReplicate: 2, dpShard: 4, tp: 8, pp: 3, vpp: 1, cp: 2, ep: 1, etp: 1 };
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

  it('reaches every rank by exactly one set of coordinates, in any order of the axes', () => {
    for (const order of [mesh, meshOf(degrees, ['pp', 'dpReplicate', 'tp', 'dpShard', 'cp'])]) {
      let ranks = [0];
      for (const { size, stride } of order.axes)
        ranks = ranks.flatMap((rank) => Array.from({ length: size }, (_, i) => rank + i * stride));
      expect(ranks.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 384 }, (_, i) => i));
    }
  });
});
