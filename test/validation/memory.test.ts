import { expect } from 'chai';
import { loadStack } from '../../src/cost/stack.js';
import type { MemoryBreakdown } from '../../src/plan/types.js';
import { priceRun } from '../support/run.js';
import type { PricedRun, Run } from '../support/run.js';

const GIB = 2 ** 30;

/** The rank that needs most. */
function fullest({ estimate }: PricedRun): MemoryBreakdown {
  return estimate.memory
    .slice(0, estimate.rankCount)
    .reduce((most, m) => (m.totalBytes > most.totalBytes ? m : most));
}

/** Relative distance of a prediction from a measurement. */
const distance = (predicted: number, measured: number): number => Math.abs(predicted / measured - 1);

describe('activations of whole models, against the table of Korthikanti et al. 2022', () => {
  // GiB per GPU as recomputed by Calculon's validation.py (seqsel_fig1); microbatch and interleaving of the paper's table 3.
  const table = [
    { model: 'megatron-22b', devices: 8, pp: 1, vpp: 1, batch: 4, microbatch: 4, none: 59.25, both: 9.56 },
    { model: 'gpt3-175b', devices: 64, pp: 8, vpp: 3, batch: 64, microbatch: 1, none: 66.84, both: 12.35 },
    {
      model: 'megatron-530b',
      devices: 280,
      pp: 35,
      vpp: 3,
      batch: 280,
      microbatch: 1,
      none: 114.02,
      both: 23.08,
    },
    {
      model: 'megatron-1t',
      devices: 512,
      pp: 64,
      vpp: 1,
      batch: 512,
      microbatch: 1,
      none: 131.25,
      both: 26.56,
    },
  ] as const;

  for (const row of table) {
    it(`of ${row.model} are within 4 %, with everything kept and with sequence parallelism and selective recomputation`, () => {
      const run: Run = {
        ...{
          model: row.model,
          sizes: { dropout: 0.1 },
          seq: 2048,
          cluster: 'a100-80gb',
          devices: row.devices,
        },
        ...{ stack: loadStack('megatron-2021'), globalBatch: row.batch, microbatch: row.microbatch },
        ...{ degrees: { tp: 8, pp: row.pp, vpp: row.vpp }, zeroStage: 0, recompute: 'none' },
        sequenceParallel: false,
      };
      const first = (priced: PricedRun): number => priced.estimate.memory[0].activationBytes / GIB;
      expect(distance(first(priceRun(run)), row.none)).to.be.lessThan(0.04);
      const both = priceRun({ ...run, recompute: 'selective', sequenceParallel: true });
      expect(distance(first(both), row.both)).to.be.lessThan(0.04);
    });
  }

  it('of a layer shrink by the published shares under each technique', () => {
    // Percent of tensor parallelism alone: sequence parallelism, selective recomputation, both, full recomputation.
    const shares = [
      { model: 'megatron-22b', microbatch: 4, published: [66.84, 49.42, 16.18, 7.64] },
      { model: 'gpt3-175b', microbatch: 1, published: [62.04, 56.53, 18.49, 8.71] },
      { model: 'megatron-1t', microbatch: 1, published: [58.31, 62.04, 20.27, 9.42] },
    ] as const;
    for (const { model, microbatch, published } of shares) {
      const layerBytes = (sequenceParallel: boolean, policy: number): number => {
        const { problem } = priceRun({
          ...{ model, sizes: { dropout: 0.1, layers: 4 }, seq: 2048, cluster: 'a100-80gb', devices: 8 },
          ...{ stack: loadStack('megatron-2021'), globalBatch: microbatch, microbatch, zeroStage: 0 },
          ...{ degrees: { tp: 8 }, recompute: 'none', sequenceParallel },
        });
        const { classSize } = problem.segmentation;
        const key = { tp: 8, cp: 1, ep: 1, etp: 1, microbatch, deviceGroup: 0 };
        const costs = problem.costs.costs({ ...key, contextExchange: 'ring' });
        return costs.savedBytes[policy][classSize.indexOf(Math.max(...classSize))];
      };
      const none = layerBytes(false, 0);
      const found = [layerBytes(true, 0), layerBytes(false, 1), layerBytes(true, 1), layerBytes(false, 2)];
      found.forEach((bytes, i) =>
        expect((100 * bytes) / none).to.be.closeTo(published[i], 0.02 * published[i] + 0.1),
      );
    }
  });
});

describe('measured peaks of torchtitan', () => {
  // pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md and asyncTP_llama3_h100_2025-06_torchtitan.md: the most that the
  // caching allocator reserved, GiB. The runtime's own memory is not part of it.
  const eager = loadStack('torchtitan-eager');
  const compiled = loadStack('torchtitan');
  const base = { cluster: 'h100-96gb-500w', seq: 8192 } as const;
  const eight = {
    ...base,
    model: 'llama-3-8b',
    microbatch: 2,
    zeroStage: 3,
    recompute: 'selective',
  } as const;
  const large = { ...base, degrees: { tp: 8, pp: 8 }, recompute: 'full', sequenceParallel: true } as const;
  // Under a pipeline FSDP keeps parameters and fp32 gradients whole between microbatches: stage 1 in what it holds. Microbatches
  // are not stated; 8 of 4 sequences explain the two speeds.
  const huge: Run = {
    ...{ ...large, model: 'llama-3-405b', devices: 512, globalBatch: 256, microbatch: 4 },
    zeroStage: 1,
    stack: { ...compiled, gradientBytes: 4 },
  };
  const measured: readonly { name: string; gib: number; within: number; run: Run }[] = [
    {
      name: '8B on 8, eager',
      gib: 82.4,
      within: 0.1,
      run: { ...eight, devices: 8, globalBatch: 16, stack: eager },
    },
    {
      name: '8B on 8',
      gib: 77.0,
      within: 0.1,
      run: { ...eight, devices: 8, globalBatch: 16, stack: compiled },
    },
    {
      ...{ name: '8B on 8 in fp8', gib: 76.8, within: 0.1 },
      run: { ...eight, devices: 8, globalBatch: 16, stack: compiled, precision: 'fp8' },
    },
    {
      name: '8B on 128, eager',
      gib: 67.0,
      within: 0.1,
      run: { ...eight, devices: 128, globalBatch: 256, stack: eager },
    },
    {
      name: '8B on 128',
      gib: 62.0,
      within: 0.1,
      run: { ...eight, devices: 128, globalBatch: 256, stack: compiled },
    },
    {
      ...{ name: '70B on 256', gib: 71.9, within: 0.1 },
      run: {
        ...{ ...large, model: 'llama-3-70b', devices: 256, globalBatch: 512, microbatch: 16, zeroStage: 3 },
        ...{ degrees: { tp: 8 }, stack: compiled, precision: 'fp8' },
      },
    },
    {
      name: '405B on 512, interleaved',
      gib: 72.7,
      within: 0.1,
      run: { ...huge, degrees: { tp: 8, pp: 8, vpp: 2 } },
    },
    // Not explained: 10 GiB more than the interleaved run, which keeps more microbatches in flight.
    { name: '405B on 512, 1F1B', gib: 82.5, within: 0.2, run: huge },
  ];

  for (const { name, gib, within, run } of measured) {
    it(`${name}: ${gib} GiB within ${100 * within} %`, () => {
      const priced = priceRun(run);
      const own = priced.problem.cluster.groups[0].device.reservedBytes;
      expect(distance((fullest(priced).totalBytes - own) / GIB, gib)).to.be.lessThan(within);
    });
  }
});

describe('the memory breakdown of DeepSeek-V3 on 256 devices', () => {
  it('is within 10 %, part by part', () => {
    // Megatron-Core MoE report (arXiv 2603.07685) tables 3 and 4, GB: PP4 x VPP4 x EP64, 16 bits. The source gives no
    // cuts; taken: embedding and 4 layers, fourteen times 4, 1 and the loss.
    const priced = priceRun({
      ...{
        model: 'deepseek-v3',
        seq: 4096,
        cluster: 'b200',
        devices: 256,
        stack: loadStack('megatron-bridge'),
      },
      ...{
        globalBatch: 2048,
        microbatch: 1,
        degrees: { pp: 4, vpp: 4, ep: 64 },
        zeroStage: 1,
        recompute: 'none',
      },
      cuts: ({ segmentation }) =>
        Int32Array.from({ length: 17 }, (_, v) =>
          v === 0 ? 0 : v === 16 ? segmentation.segmentCount : 1 + 4 * v,
        ),
    });
    // The source names no rank, and calls for judgement: its weights only suit a rank without embedding and loss (rank 0 has a
    // third more), of which the first holds most.
    const m = priced.estimate.memory[1];
    expect(distance((m.parameterBytes + m.gradientBytes) / 1e9, 36.4)).to.be.lessThan(0.1);
    expect(distance(m.optimizerBytes / 1e9, 32.1)).to.be.lessThan(0.1);
    expect(distance(m.activationBytes / 1e9, 131)).to.be.lessThan(0.1);
    const state = m.parameterBytes + m.gradientBytes + m.optimizerBytes;
    expect(distance((state + m.activationBytes) / 1e9, 199.5)).to.be.lessThan(0.1);
  });
});
