import { expect } from 'chai';
import { architectureOf } from '../../src/validation/architecture.js';
import { launcherCuts } from '../../src/validation/cuts.js';
import { hardwarePreset } from '../../src/validation/hardware.js';
import { settingOf } from '../../src/validation/setting.js';
import { rowOf } from './support.js';

const LLAMA = {
  model_name: 'LLAMA3_70B',
  layers: 80,
  hidden: 8192,
  ffn: 28672,
  heads: 64,
  kv_heads: 8,
  vocab: 128256,
  params_b: 70.55,
};
const MOE = {
  model_name: 'Grok1-314B',
  architecture: 'moe',
  layers: 64,
  hidden: 6144,
  ffn: 32768,
  heads: 48,
  kv_heads: 8,
  vocab: 131072,
  experts: 8,
  topk: 2,
  params_b: 314,
};

describe('architectures of measured runs', () => {
  it('are GPT-like where the feed-forward is four times the width and every head has its keys', () => {
    expect(architectureOf(rowOf({ model_name: 'Ours' }))).to.include({
      family: 'gpt',
      gatedFfn: false,
      tiedEmbeddings: true,
    });
  });

  it('are Llama-like otherwise', () => {
    const a = architectureOf(rowOf(LLAMA));
    expect(a).to.include({ family: 'llama', gatedFfn: true, headDim: 128, kvHeads: 8, activation: 'silu' });
  });

  it('take gates and the width of heads from the published parameter count', () => {
    const sizes = {
      model_name: 'X',
      ffn: 57344,
      layers: 64,
      hidden: 8192,
      heads: 128,
      kv_heads: 128,
      vocab: 32000,
    };
    expect(architectureOf(rowOf({ ...sizes, params_b: 125.078 }))).to.include({
      headDim: 128,
      gatedFfn: true,
    });
    const wide = {
      model_name: 'X',
      layers: 32,
      hidden: 12288,
      ffn: 49151,
      heads: 32,
      kv_heads: 32,
      vocab: 32000,
    };
    expect(architectureOf(rowOf({ ...wide, params_b: 52 }))).to.include({ headDim: 256, gatedFfn: false });
  });

  it('follow the rules for names: squared ReLU, experts, latent attention', () => {
    const nemotron = {
      model_name: 'Nemotron4-15B',
      layers: 32,
      hidden: 6144,
      ffn: 24576,
      heads: 48,
      kv_heads: 8,
      params_b: 15.6,
    };
    expect(architectureOf(rowOf(nemotron))).to.include({
      family: 'llama',
      gatedFfn: false,
      activation: 'relu',
    });
    const grok = architectureOf(rowOf(MOE));
    expect(grok.moe).to.include({ experts: 8, topk: 2, expertFfn: 32768 });
    const deepseek = architectureOf(
      rowOf({
        ...MOE,
        model_name: 'DeepSeekV3',
        layers: 61,
        hidden: 7168,
        ffn: 2048,
        heads: 128,
        kv_heads: 128,
        experts: 256,
        topk: 8,
        params_b: 671,
      }),
    );
    expect(deepseek.mla).to.not.equal(null);
    expect(deepseek.moe).to.include({ expertFfn: 2048, sharedExperts: 1, denseLayers: 3 });
    expect(deepseek.ffn).to.equal(18432);
  });

  it('come whole from the zoo when a row has a name and no sizes', () => {
    const none = { layers: '', hidden: '', ffn: '', heads: '', kv_heads: '', vocab: '' };
    expect(architectureOf(rowOf({ ...none, model_name: 'LLaMA3.1 8B' }))).to.include({
      layers: 32,
      hidden: 4096,
    });
    expect(() => architectureOf(rowOf({ ...none, model_name: 'Mystery' }))).to.throw(
      'layers: empty, and the zoo has no model called Mystery',
    );
  });

  for (const [change, reason] of [
    [{ heads: '' }, 'heads: empty'],
    [{ vocab: '' }, 'vocab: empty'],
    [{ model_name: 'X', heads: 7, kv_heads: 7, params_b: '' }, /heads: expected a divisor of hidden 3072/],
    [{ ...LLAMA, kv_heads: 7 }, /kvHeads/],
    [{ ...MOE, topk: '' }, 'topk: empty'],
    [{ ...MOE, topk: 9 }, /topk: expected at most the number of experts 8/],
  ] as const)
    it(`are refused with the field's name: ${JSON.stringify(change).slice(0, 40)}`, () => {
      expect(() => architectureOf(rowOf(change))).to.throw(reason);
    });
});

describe('settings of measured runs', () => {
  it('know hardware by many spellings', () => {
    for (const [name, preset] of [
      ['A100', 'a100-80gb'],
      ['a100-40gb', 'a100-40gb'],
      ['H100-80GB-SXM', 'h100-sxm'],
      ['H100 80GB SXM5', 'h100-sxm'],
      ['TPU v5p', 'tpu-v5p'],
      ['A100-SXM4-40GB', 'a100-40gb'],
      ['NVIDIA H100 SXM5', 'h100-sxm'],
      ['GB300 NVL72', 'gb300-nvl72'],
      ['A100 40GB SXM', 'a100-40gb'],
      ['GB200', 'gb200-nvl72'],
    ])
      expect(hardwarePreset(name), name).to.equal(preset);
    for (const name of ['Abacus', 'A1000', 'RTX A6000', 'H1000-80GB', ''])
      expect(hardwarePreset(name), name).to.equal(undefined);
    expect(() => settingOf(rowOf({ hardware: 'Abacus' }))).to.throw(
      'hardware: no cluster preset is called Abacus',
    );
  });

  it('take smaller hosts and slices from the row', () => {
    const four = settingOf(rowOf({ gpus_per_node: 4 }));
    expect(four.cluster.levels[0].size).to.equal(4);
    expect(settingOf(rowOf({ gpus_per_node: 72 })).cluster.levels[0].size).to.equal(8);
    const tpu = {
      hardware: 'TPUv5p',
      gpus: 128,
      tp: 4,
      dp: 32,
      gpus_per_node: 64,
      zero_stage: 3,
      precision: 'bf16',
    };
    const sliced = settingOf(rowOf({ ...tpu, micro_batch: 1, global_batch: 32 }));
    expect(sliced.cluster.levels[0]).to.include({ kind: 'torus', size: 64 });
    expect(sliced).to.include({ dpReplicate: 2, dpShard: 16, stack: 'maxtext' });
  });

  it('shard over data parallelism when a ZeRO stage is given', () => {
    expect(settingOf(rowOf({ zero_stage: 0 }))).to.include({ dpReplicate: 32, dpShard: 1 });
    expect(settingOf(rowOf({ zero_stage: '' }))).to.include({ dpReplicate: 32, zeroStage: 0 });
    expect(settingOf(rowOf({ zero_stage: 1 }))).to.include({ dpReplicate: 1, dpShard: 32 });
  });

  it('fill in batches alike for all', () => {
    expect(settingOf(rowOf({ micro_batch: '' }))).to.include({ microbatch: 4, globalBatch: 512 });
    expect(settingOf(rowOf({ micro_batch: '', pp: 2, dp: 16 }))).to.include({ microbatch: 1 });
    expect(settingOf(rowOf({ global_batch: '', micro_batch: 2 }))).to.include({ globalBatch: 64 });
    expect(settingOf(rowOf({ global_batch: '', micro_batch: 2, pp: 2, dp: 16 }))).to.include({
      globalBatch: 256,
    });
    expect(() => settingOf(rowOf({ global_batch: 100 }))).to.throw(
      'global_batch: 100 is not divisible by dp = 32',
    );
    expect(() => settingOf(rowOf({ micro_batch: 3 }))).to.throw(
      'micro_batch: 3 does not divide the 16 sequences',
    );
  });

  it('split experts as the rule or the note says', () => {
    const run = { ...MOE, hardware: 'H100-80GB-SXM', tp: 4, dp: 16, precision: 'bf16', micro_batch: 1 };
    expect(settingOf(rowOf({ ...run, ep: 8 }))).to.include({ etp: 4 });
    expect(settingOf(rowOf({ ...run, ep: 8, note: 'NeMo; ETP=1; x' }))).to.include({ etp: 1 });
    expect(() => settingOf(rowOf({ ...run, ep: 3 }))).to.throw('ep: ep * etp = 12 does not divide');
    expect(() => settingOf(rowOf({ ep: 2 }))).to.throw('ep: 2, but the model has no experts');
  });

  it('read number formats by many names', () => {
    const precision = (name: string): string => settingOf(rowOf({ precision: name })).precision;
    expect(['FP16', 'fp8-tensorwise', 'mxfp8', 'nvfp4', 'bf16'].map(precision)).to.deep.equal([
      'fp16',
      'fp8',
      'fp8',
      'fp4',
      'bf16',
    ]);
    expect(() => precision('fp7')).to.throw('precision: unknown number format fp7');
  });

  it('find the software in the words of the source', () => {
    const stack = (source: string, more = {}): string => settingOf(rowOf({ source, ...more })).stack;
    expect(stack('VIA-Research/vTrain data')).to.equal('megatron-deepspeed');
    expect(stack('pytorch/torchtitan benchmarks/x.md')).to.equal('torchtitan');
    expect(stack('nobody knows')).to.equal('megatron');
    expect(stack('nobody knows', { zero_stage: 3 })).to.equal('fsdp');
  });
});

describe('cuts of launchers', () => {
  it('share layers evenly, embedding and head beside the first and last', () => {
    expect([...launcherCuts(10, 4)]).to.deep.equal([0, 3, 5, 7, 10]);
    expect([...launcherCuts(10, 1)]).to.deep.equal([0, 10]);
  });

  it('count embedding and head as layers where only that divides', () => {
    expect([...launcherCuts(128, 8)]).to.deep.equal([0, 16, 32, 48, 64, 80, 96, 112, 128]);
  });

  it('differ by at most one where nothing divides, the middle stages larger', () => {
    expect([...launcherCuts(11, 4)]).to.deep.equal([0, 3, 6, 9, 11]);
    expect([...launcherCuts(13, 4)]).to.deep.equal([0, 3, 7, 10, 13]);
    for (let stages = 1; stages <= 17; stages++) {
      const cuts = launcherCuts(17, stages);
      const sizes = Array.from({ length: stages }, (_, v) => cuts[v + 1] - cuts[v]);
      expect(Math.min(...sizes)).to.be.at.least(1);
      expect(cuts[stages]).to.equal(17);
    }
  });

  it('need a segment for every stage', () => {
    expect(() => launcherCuts(4, 2 ** 40)).to.throw('1099511627776 stages are more than the 4 layers');
    expect(() => launcherCuts(4, 5)).to.throw('pp * vpp = 5 stages are more than the 4 layers');
  });
});
