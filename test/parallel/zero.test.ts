import { expect } from 'chai';
import {
  bytesPerParameter,
  FP32_ADAM,
  MIXED_ADAM,
  MIXED_ADAM_FP32_GRAD,
  shardedBytesPerParameter,
  ZERO_STAGES,
} from '../../src/parallel/index.js';

describe('ZeRO', () => {
  it('starts from the 16 to 18 bytes of a parameter under Adam', () => {
    expect(bytesPerParameter(MIXED_ADAM)).to.equal(16);
    expect(bytesPerParameter(MIXED_ADAM_FP32_GRAD)).to.equal(18);
    expect(bytesPerParameter(FP32_ADAM)).to.equal(16);
  });

  it('reproduces the 18 bytes of a parameter of Korthikanti et al.: 22B at tp 8 in 45.56 GiB', () => {
    const bytes = shardedBytesPerParameter(MIXED_ADAM_FP32_GRAD, 0, 1) * (21.74e9 / 8);
    expect(bytes / 2 ** 30).to.be.closeTo(45.56, 0.05);
  });

  it('reproduces the ZeRO paper’s table: 7.5e9 parameters on 64 devices', () => {
    // Rajbhandari et al. 2020, figure 1: 120, 31.4, 16.6 and 1.9 GB.
    const gb = ZERO_STAGES.map((stage) => (shardedBytesPerParameter(MIXED_ADAM, stage, 64) * 7.5e9) / 1e9);
    expect(gb[0]).to.be.closeTo(120, 0.05);
    expect(gb[1]).to.be.closeTo(31.4, 0.05);
    expect(gb[2]).to.be.closeTo(16.6, 0.05);
    expect(gb[3]).to.be.closeTo(1.9, 0.05);
  });

  it('never holds more at a higher stage or over more shards', () => {
    for (const shards of [1, 2, 8, 512])
      for (const stage of ZERO_STAGES) {
        const held = shardedBytesPerParameter(MIXED_ADAM_FP32_GRAD, stage, shards);
        if (stage > 0)
          expect(held).to.be.at.most(
            shardedBytesPerParameter(MIXED_ADAM_FP32_GRAD, (stage - 1) as 0 | 1 | 2, shards),
          );
        expect(shardedBytesPerParameter(MIXED_ADAM_FP32_GRAD, stage, shards * 2)).to.be.at.most(held);
      }
  });
});
