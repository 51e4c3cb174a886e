import { expect } from 'chai';
import { DType } from '../../src/model/dtype.js';
import { PartitionError } from '../../src/util/errors.js';
import {
  applyOverrides,
  buildZoo,
  completeConfig,
  parameterCount,
  zooConfig,
  zooNames,
  type ArchSketch,
  type ZooOptions,
} from '../../src/zoo/index.js';

/** The PartitionError that `run` throws. */
function faultOf(run: () => unknown): PartitionError {
  try {
    run();
  } catch (e) {
    if (e instanceof PartitionError) return e;
    throw e;
  }
  throw new Error('expected an error');
}

describe('zoo names', () => {
  it('cover the published families, each with its source', () => {
    const names = zooNames();
    expect(names).to.include.members([
      'gpt2-small',
      'gpt3-175b',
      'megatron-1t',
      'llama3-405b',
      'mixtral-8x22b',
    ]);
    expect(names).to.include.members(['deepseek-v3', 'qwen3-235b-a22b', 'bert-large', 't5-11b', 'vit-h14']);
    for (const name of names) expect(zooConfig(name).source, name).to.have.length.above(10);
  });

  it('are found whatever their spelling, and by their aliases', () => {
    for (const spelling of ['Llama-3.1-405B', 'llama3_405b', 'LLAMA 3 405B']) {
      expect(zooConfig(spelling).name).to.equal('llama3-405b');
    }
    expect(zooConfig('gpt2').name).to.equal('gpt2-small');
  });

  it('list near names when unknown', () => {
    const fault = faultOf(() => zooConfig('lama2-7b'));
    expect(fault.code).to.equal('usage');
    expect(fault.line()).to.include('lama2-7b').and.include('llama2-7b');
    expect(faultOf(() => zooConfig('x'.repeat(100000))).line()).to.have.length.below(1200);
  });
});

describe('zoo sizes by flag', () => {
  it('follow the rules that the config follows', () => {
    const gpt = applyOverrides(zooConfig('gpt2'), { hidden: 1024, heads: 8, layers: 2 });
    expect(gpt).to.include({ hidden: 1024, heads: 8, kvHeads: 8, headDim: 128, ffn: 4096, layers: 2 });
    const qwen = applyOverrides(zooConfig('qwen3-8b'), { hidden: 2048 });
    expect(qwen).to.include({ hidden: 2048, headDim: 128, ffn: 12288, kvHeads: 8 });
    const latent = applyOverrides(zooConfig('deepseek-v3'), { heads: 16 });
    expect(latent).to.include({ heads: 16, kvHeads: 16, headDim: 192 });
    const t5 = applyOverrides(zooConfig('t5-base'), { layers: 3 });
    expect(t5.seqToSeq!.decoderLayers).to.equal(3);
    expect(
      applyOverrides(zooConfig('t5-base'), { layers: 3, decoderLayers: 1 }).seqToSeq!.decoderLayers,
    ).to.equal(1);
    const moe = applyOverrides(zooConfig('moe'), { experts: 64, topk: 6, ffn: 1408, sharedExperts: 2 });
    expect(applyOverrides(moe, { ffn: 2048 }).moe!.expertFfn).to.equal(2048);
    expect(applyOverrides(zooConfig('qwen3-30b-a3b'), { ffn: 512 }).moe!.expertFfn).to.equal(512);
    expect(applyOverrides(zooConfig('deepseek-v3'), { ffn: 512 }).moe!.expertFfn).to.equal(2048);
    expect(moe.moe).to.include({ experts: 64, topk: 6, expertFfn: 1408, sharedExperts: 2 });
  });

  it('forget the published count, which no longer holds', () => {
    expect(applyOverrides(zooConfig('llama2-7b'), { layers: 2 }).published).to.equal(null);
    expect(applyOverrides(zooConfig('llama2-7b'), {}).published).to.not.equal(null);
  });

  it('build generic families of arbitrary numbers', () => {
    const { total } = parameterCount(
      applyOverrides(zooConfig('gpt'), {
        layers: 10,
        hidden: 768,
        heads: 12,
        vocab: 1000,
        maxPositions: 100,
      }),
    );
    expect(total).to.equal(10 * (12 * 768 * 768 + 13 * 768) + 1100 * 768 + 2 * 768);
  });

  const refused: readonly (readonly [string, string, ZooOptions, string])[] = [
    ['a negative size', 'llama', { layers: -1 }, 'layers'],
    ['a fractional size', 'llama', { hidden: 10.5 }, 'hidden'],
    ['a size that is not a number', 'llama', { ffn: NaN }, 'ffn'],
    ['heads that do not divide the width', 'gpt', { hidden: 768, heads: 7 }, 'heads'],
    ['key heads that do not divide the heads', 'llama', { kvHeads: 5 }, 'kvHeads'],
    ['fewer experts than each token visits', 'moe', { experts: 4, topk: 8 }, 'topk'],
    ['experts that do not fill their groups', 'deepseek-v3', { experts: 100 }, 'groups'],
    ['more dense layers than layers', 'deepseek-v3', { layers: 2 }, 'denseLayers'],
    ['an odd rotary width', 'llama', { headDim: 33 }, 'headDim'],
    ['experts in a dense model', 'llama', { experts: 8 }, 'experts'],
    ['a decoder depth without a decoder', 'bert-large', { decoderLayers: 2 }, 'decoderLayers'],
    ['a vocabulary of an image model', 'vit-b16', { vocab: 1000 }, 'vocab'],
    ['an image that patches do not tile', 'vit-b16', { imageSize: 225 }, 'imageSize'],
    ['a sequence of an image model', 'vit-b16', { seq: 197 }, 'seq'],
    ['a sequence beyond the learned positions', 'gpt2', { seq: 2048 }, 'seq'],
    ['an empty batch', 'llama', { batch: 0 }, 'batch'],
    ['integer weights', 'llama', { dtype: DType.INT8 }, 'dtype'],
    ['absurd depth', 'llama', { layers: 1e9 }, 'layers'],
    ['weights beyond what a double counts', 'llama', { hidden: 2 ** 30, heads: 32 }, 'llama'],
  ];
  for (const [what, name, options, field] of refused) {
    it(`refuse ${what}`, () => {
      const fault = faultOf(() => buildZoo(zooConfig(name), options));
      expect(fault.code).to.equal('usage');
      expect(fault.where).to.match(new RegExp(`${field}$`));
      expect(fault.message).to.match(/expected|family|image model/);
    });
  }

  it('let a longer position table admit a longer sequence', () => {
    expect(() => buildZoo(zooConfig('gpt2'), { seq: 2048, maxPositions: 2048, layers: 1 })).to.not.throw();
  });

  it('refuse a family that does not exist and a mixture without experts', () => {
    const sketch = { name: 'x', layers: 1, hidden: 64, heads: 4 };
    expect(faultOf(() => completeConfig({ ...sketch, family: 'rnn' as 'gpt' })).where).to.match(/family$/);
    expect(faultOf(() => completeConfig({ ...sketch, family: 'moe' })).where).to.match(/experts$/);
    expect(
      faultOf(() => completeConfig({ ...sketch, family: 'deepseek', moe: { experts: 2, topk: 1 } })).where,
    ).to.match(/mla$/);
  });

  it('refuse sizes of one family that do not fit together', () => {
    const base = { name: 'x', layers: 2, hidden: 64, heads: 4 };
    const mla = { qLoraRank: 0, kvLoraRank: 16, nopeHeadDim: 16, ropeHeadDim: 8, valueHeadDim: 12 };
    const moe = { experts: 8, topk: 2 };
    const wrong: readonly (readonly [ArchSketch, string])[] = [
      [{ ...base, family: 'deepseek', moe, mla: { ...mla, ropeHeadDim: 7 } }, 'ropeHeadDim'],
      [{ ...base, family: 'deepseek', moe, mla: { ...mla, qLoraRank: -1 } }, 'qLoraRank'],
      [{ ...base, family: 'moe', moe: { ...moe, groups: 2, topkGroups: 3 } }, 'topkGroups'],
      [{ ...base, family: 'moe', moe: { ...moe, topk: 5, groups: 2 } }, 'topk'],
      [{ ...base, family: 't5', seqToSeq: { relativeBuckets: 6 } }, 'relativeBuckets'],
      [{ ...base, family: 't5', seqToSeq: { relativeMaxDistance: 16 } }, 'relativeMaxDistance'],
      [{ ...base, family: 't5', seqToSeq: { decoderLayers: 5000 } }, 'decoderLayers'],
      [{ ...base, family: 'llama', ropeTheta: 0 }, 'ropeTheta'],
      [{ ...base, family: 'llama', normEpsilon: -1 }, 'normEpsilon'],
    ];
    for (const [sketch, field] of wrong) {
      expect(faultOf(() => completeConfig(sketch)).where).to.match(new RegExp(`: ${field}$`));
    }
  });
});
