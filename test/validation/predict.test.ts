import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import { analyze } from '../../src/graph/index.js';
import { DType } from '../../src/model/index.js';
import { StrategyBook } from '../../src/strategy/index.js';
import { flopPerSequence } from '../../src/validation/flops.js';
import { Predictor, metricOf, stepTimeOf } from '../../src/validation/predict.js';
import { METRICS } from '../../src/validation/row.js';
import { flopConvention } from '../../src/validation/rules.js';
import { stretch } from '../../src/validation/stretch.js';
import { buildZoo, completeConfig, zooConfig } from '../../src/zoo/index.js';
import { rowOf, rowsOf } from './support.js';

describe('predictions of measured runs', function () {
  this.timeout(20_000);

  it('are finite, positive and in the unit of the metric', () => {
    const predictor = new Predictor();
    const prepared = METRICS.map((metric) =>
      predictor.prepare(rowOf({ metric, value: metric === 'mfu' ? 0.4 : 100 })),
    );
    const [step, tokens, tflops, mfu] = predictor.predictAll(prepared);
    expect(step.value).to.equal(step.stepTimeSec);
    expect(step.value).to.be.within(0.1, 100);
    const tokensPerStep = 512 * 2048;
    expect(tokens.value).to.be.closeTo(tokensPerStep / step.stepTimeSec / 64, 1e-6);
    expect(tflops.value).to.be.within(10, 312);
    expect(mfu.value).to.be.closeTo(tflops.value / 312, 1e-9);
  });

  it('turn metrics into step times and back', () => {
    const predictor = new Predictor();
    for (const metric of METRICS) {
      const prepared = predictor.prepare(rowOf({ metric, value: metric === 'mfu' ? 0.4 : 100 }));
      const { value } = prepared.row;
      expect(metricOf(prepared, stepTimeOf(prepared, value), 512)).to.be.closeTo(value, 1e-9 * value);
    }
  });

  it('are the same whether a model is built whole or from a few of its equal layers', () => {
    const cluster = loadCluster('h100-sxm', 16);
    const options = { phase: 'train', precision: 'bf16', stack: loadStack('megatron') } as const;
    const key = {
      tp: 4,
      cp: 1,
      ep: 1,
      etp: 1,
      microbatch: 2,
      deviceGroup: 0,
      contextExchange: 'ring',
    } as const;
    for (const config of [
      zooConfig('gpt2-small'),
      completeConfig({ ...zooConfig('llama3-8b'), layers: 12, moe: undefined, mla: undefined } as never),
      completeConfig({
        name: 'm',
        family: 'moe',
        layers: 9,
        hidden: 1024,
        heads: 8,
        kvHeads: 4,
        ffn: 2048,
        vocab: 32000,
        moe: { experts: 8, topk: 2 },
      }),
    ]) {
      const read = (layers: number) =>
        analyze(buildZoo({ ...config, layers }, { dtype: DType.BFLOAT16, attentionMask: false }), {
          where: 'm',
          seq: 1024,
          phase: 'train',
        });
      const whole = read(config.layers);
      const few = read(4);
      const longer = stretch(few.segmentation, config.layers - 4);
      expect(longer.segmentCount).to.equal(whole.segmentation.segmentCount);
      expect([...longer.segmentClass]).to.deep.equal([...whole.segmentation.segmentClass]);
      expect([...longer.cutElements]).to.deep.equal([...whole.segmentation.cutElements]);
      expect([...longer.blockStart]).to.deep.equal([...whole.segmentation.blockStart]);
      expect([...longer.sharedSegment]).to.deep.equal([...whole.segmentation.sharedSegment]);
      expect(longer.layers).to.equal(whole.segmentation.layers);
      const book = new StrategyBook(whole.graph, whole.segmentation, cluster, options);
      const stretched = new StrategyBook(few.graph, few.segmentation, cluster, options).on(
        cluster,
        options,
        longer,
      );
      expect(stretched.workPerSequence()).to.deep.equal(book.workPerSequence());
      const a = book.costs(key);
      const b = stretched.costs(key);
      for (const column of [
        'forwardSec',
        'backwardInputSec',
        'tpForwardSec',
        'denseParameters',
        'cutBytes',
      ] as const)
        expect([...b[column]], column).to.deep.equal([...a[column]]);
    }
  });

  it('follow other figures without solving again', () => {
    const predictor = new Predictor();
    const prepared = predictor.prepare(rowOf());
    const before = predictor.predict(prepared);
    const slower = predictor.predict(prepared, {
      stack: (name) => ({ ...loadStack(name), matrixEfficiency: 0.5, stepOverheadSec: 1 }),
    });
    expect(slower.stepTimeSec).to.be.above(before.stepTimeSec + 1);
    expect(predictor.predict(prepared).stepTimeSec).to.equal(before.stepTimeSec);
    const halved = predictor.predict(prepared, {
      cluster: (cluster) => ({
        ...cluster,
        groups: cluster.groups.map((g) => ({
          ...g,
          device: { ...g.device, memoryBytesPerSec: g.device.memoryBytesPerSec / 2 },
        })),
      }),
    });
    expect(halved.stepTimeSec).to.be.above(before.stepTimeSec);
  });

  it('name what makes a row impossible, and go on with the others', () => {
    const { rows, faults } = rowsOf(
      {},
      { tp: 7, gpus: 56, dp: 8, global_batch: 512, micro_batch: 8 },
      { hardware: 'Abacus' },
      { pp: 2, dp: 16, vpp: 40 },
      { pp: 4, dp: 8, vpp: 3, micro_batch: 32 },
      { layers: 5000 },
      {},
    );
    expect(faults).to.deep.equal([]);
    const { prepared, faults: impossible } = new Predictor().prepareAll(rows);
    expect(prepared.map((p) => p.row.id)).to.deep.equal(['lab-1', 'lab-7']);
    expect(impossible.map((f) => f.reason)).to.deep.equal([
      'tp: 7 does not split the weights of this model',
      'hardware: no cluster preset is called Abacus; partition clusters lists them',
      'pp: pp * vpp = 80 stages are more than the 32 layers, embedding and head included',
      'plan: interleaved needs microbatches divisible by pp = 4, found 2',
      'layers: expected at most 4096, found 5000',
    ]);
    expect(impossible.map((f) => f.line)).to.deep.equal([3, 4, 5, 6, 7]);
  });
});

describe('FLOPs as sources count them', () => {
  const gpt = completeConfig({
    name: 'g',
    family: 'gpt',
    layers: 96,
    hidden: 12288,
    heads: 96,
    vocab: 51200,
  });
  const formula = (s: number): number =>
    96 * s * 96 * 12288 ** 2 * (1 + s / (6 * 12288) + 51200 / (16 * 96 * 12288));

  it('with everything repeated are the formula of Narayanan et al. 2021', () => {
    const flop = flopPerSequence(gpt, 2048, { attention: 'full', recompute: true }, true);
    expect(flop / formula(2048)).to.be.closeTo(1, 1e-12);
  });

  it('leave recomputation out where the convention does, and halve attention under a causal one', () => {
    const full = flopPerSequence(gpt, 2048, { attention: 'full', recompute: false }, true);
    const causal = flopPerSequence(gpt, 2048, { attention: 'causal', recompute: false }, true);
    // 12 s^2 h of each layer, a half of it.
    expect(full - causal).to.be.closeTo(96 * 6 * 2048 ** 2 * 12288, full * 1e-12);
    expect(full).to.be.below(formula(2048) * 0.76);
  });

  it('count of experts those that a token visits', () => {
    const moe = { experts: 64, topk: 2, expertFfn: 512 };
    const one = completeConfig({
      name: 'm',
      family: 'moe',
      layers: 1,
      hidden: 1024,
      heads: 8,
      vocab: 1000,
      moe,
    });
    const flop = flopPerSequence(one, 128, { attention: 'full', recompute: false }, false);
    const perToken = 4 * 1024 ** 2 + 1024 * 64 + 2 * 3 * 1024 * 512 + 1024 * 1000;
    expect(flop).to.equal(6 * 128 * perToken + 3 * 4 * 128 * 128 * 1024);
  });

  it('are told by the words of the source', () => {
    expect(flopConvention('NVIDIA-NeMo/Megatron-Bridge docs')).to.deep.equal({
      attention: 'causal',
      recompute: false,
    });
    expect(flopConvention('SC21 Table 2, ZeRO-3')).to.deep.equal({ attention: 'full', recompute: true });
    expect(flopConvention('a blog')).to.deep.equal({ attention: 'full', recompute: false });
  });
});
