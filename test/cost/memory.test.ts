import { expect } from 'chai';
import fc from 'fast-check';
import { listDevices, loadDevice } from '../../src/cluster/index.js';
import {
  fragmentationBytes,
  gatherBufferBytes,
  lossMemory,
  paddedVocabulary,
  stateMemory,
  stateMemoryTotal,
  usableMemoryBytes,
} from '../../src/cost/memory.js';
import { MIXED_ADAM, MIXED_ADAM_FP32_GRAD, ZERO_STAGES } from '../../src/parallel/index.js';

describe('memory', () => {
  it('of the state reproduces Korthikanti’s 18 bytes of a parameter: 22B at tp 8 in 45.56 GiB', () => {
    // 21.74e9 parameters over 8 devices; hardware.json `korthikanti_memory_gib`, calculon's reading of figure 1.
    const state = stateMemory(21.74e9 / 8, MIXED_ADAM_FP32_GRAD, 0, 1);
    expect(stateMemoryTotal(state) / 2 ** 30).to.be.closeTo(45.56, 0.05);
  });

  it('of the state shrinks with the stage and is exact in bytes', () => {
    let before = Infinity;
    for (const stage of ZERO_STAGES) {
      const state = stateMemory(1001, MIXED_ADAM, stage, 8);
      expect(stateMemoryTotal(state)).to.be.below(before);
      before = stateMemoryTotal(state);
    }
    expect(stateMemory(1001, MIXED_ADAM, 1, 8)).to.deep.equal({
      paramBytes: 2002,
      gradBytes: 2002,
      optimizerBytes: 126 * 12,
    });
    expect(stateMemoryTotal(stateMemory(2 ** 48, MIXED_ADAM, 0, 1))).to.equal(2 ** 52);
  });

  it('of gathered parameters exists only where they are sharded', () => {
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 0)).to.equal(0);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 1)).to.equal(0);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 2)).to.equal(2e6);
    expect(gatherBufferBytes(1e6, MIXED_ADAM, 3)).to.equal(6e6);
  });

  it('pads the vocabulary to equal shards', () => {
    expect(paddedVocabulary(50257, 1)).to.equal(50304);
    expect(paddedVocabulary(50257, 8)).to.equal(51200);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300000 }), fc.integer({ min: 1, max: 64 }), (vocabulary, tp) => {
        const padded = paddedVocabulary(vocabulary, tp);
        expect(padded % (tp * 128)).to.equal(0);
        expect(padded - vocabulary).to.be.within(0, tp * 128 - 1);
      }),
    );
  });

  it('of a large vocabulary’s loss is gigabytes: 8,192 tokens of Llama-3 on one device', () => {
    const loss = lossMemory(8192, 128256);
    expect(loss.savedBytes).to.equal(8192 * 128256 * 4);
    expect((loss.savedBytes + loss.transientBytes) / 2 ** 30).to.be.closeTo(9.79, 0.01);
  });

  it('leaves the model what the runtime does not take', () => {
    for (const name of listDevices()) {
      const device = loadDevice(name);
      expect(usableMemoryBytes(device), name).to.be.within(0.9 * device.memoryBytes, device.memoryBytes);
    }
    expect(fragmentationBytes(100)).to.equal(5);
  });
});
