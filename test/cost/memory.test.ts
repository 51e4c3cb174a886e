import { expect } from 'chai';
import { listDevices, loadDevice } from '../../src/cluster/index.js';
import {
  fragmentationBytes,
  gatherBufferBytes,
  lossMemory,
  usableMemoryBytes,
} from '../../src/cost/memory.js';
import { MIXED_ADAM } from '../../src/parallel/index.js';

describe('memory', () => {
  it('of gathered parameters exists only where they are sharded', () => {
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 0)).to.equal(0);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 1)).to.equal(0);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 2)).to.equal(2e6);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 3)).to.equal(6e6);
  });

  it('of a large vocabulary’s loss is gigabytes: 8,192 tokens of Llama-3 on one device', () => {
    const loss = lossMemory(8192 * 128256);
    expect(loss.savedBytes).to.equal(8192 * 128256 * 4);
    expect((loss.savedBytes + loss.transientBytes) / 2 ** 30).to.be.closeTo(9.79, 0.01);
  });

  it('leaves the model what the runtime does not take', () => {
    for (const name of listDevices()) {
      const device = loadDevice(name);
      expect(usableMemoryBytes(device), name).to.be.within(0.9 * device.memoryBytes, device.memoryBytes);
    }
    expect(fragmentationBytes(100, { fragmentationShare: 0.05 })).to.equal(5);
  });
});
