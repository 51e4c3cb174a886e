import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { problemOf, analyzeModel } from '../../src/api/problem.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { exposedSum, explain } from '../../src/simulate/explain.js';
import type { Explanation } from '../../src/simulate/explain.js';
import { TIME_TERMS } from '../../src/simulate/terms.js';
import { Random } from '../../src/util/random.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

function expectAddsUp({ estimate, ranks, mean, energy }: Explanation): void {
  const step = estimate.stepTimeSec;
  expect(exposedSum(mean)).to.be.closeTo(step, 1e-9 * step);
  for (const { time, memory } of ranks) {
    expect(exposedSum(time)).to.be.closeTo(step, 1e-9 * step);
    for (const { key } of TIME_TERMS) {
      expect(time[key].exposedSec, key).to.be.at.least(0);
      expect(time[key].hiddenSec, key).to.be.at.least(-1e-12 * step);
    }
    const { totalBytes, ...parts } = memory;
    const bytes = Object.values(parts).reduce((a: number, b: number) => a + b, 0);
    expect(bytes).to.be.closeTo(totalBytes, 1e-9 * totalBytes);
  }
  const { totalJoule, ...joules } = energy;
  expect(totalJoule).to.equal(estimate.energyJoulesPerStep);
  const sum = Object.values(joules).reduce((a: number, b: number) => a + b, 0);
  expect(sum).to.be.closeTo(totalJoule, 1e-9 * totalJoule);
  for (const joule of Object.values(joules)) expect(joule).to.be.at.least(0);
}

/** The critical rank, in the coarser terms of a price. */
function expectMatchesBreakdown({ estimate, ranks, criticalRank }: Explanation): void {
  const { time } = ranks[criticalRank];
  const sum = (...keys: (keyof typeof time)[]): number =>
    keys.reduce((s, key) => s + time[key].exposedSec, 0);
  const b = estimate.breakdown;
  const close = (found: number, expected: number, what: string): void => {
    expect(found, what).to.be.closeTo(expected, 1e-9 * estimate.stepTimeSec);
  };
  const compute = [
    'gemm',
    'groupedGemm',
    'attention',
    'conv',
    'pointwise',
    'lookup',
    'loss',
    'other',
    'launch',
  ];
  close(sum(...(compute as (keyof typeof time)[])), b.computeSec, 'compute');
  close(sum('recompute'), b.recomputeSec, 'recompute');
  close(sum('tpAllReduce', 'tpAllGather', 'tpReduceScatter', 'tpAllToAll'), b.tensorParallelSec, 'tp');
  close(sum('cpExchange'), b.contextParallelSec, 'cp');
  close(sum('epAllToAll'), b.expertParallelSec, 'ep');
  close(sum('parameterGather', 'gradientReduction', 'tiedSum'), b.dataParallelExposedSec, 'dp');
  close(sum('stageTransfer'), b.pipelineTransferSec, 'transfers');
  close(sum('bubble'), b.bubbleSec, 'bubble');
  close(sum('optimizer'), b.optimizerSec, 'optimizer');
  close(sum('hostOverhead'), b.overheadSec, 'overhead');
}

function zooProblem(name: string, devices: number, seq: number, batch: number): PlanProblem {
  const model = analyzeModel(buildZoo(zooConfig(name)), name, { seq });
  return problemOf(model, loadCluster('h100-sxm', devices), { devices, batch }).problem;
}

describe('explanation', function () {
  this.timeout(60_000);

  it('has parts that add up to the step, to the bytes and to the joules, for random plans', () => {
    for (const options of [
      { experts: 8, spread: 0.2 },
      { tied: true, devices: 256, layers: 48 },
      { phase: 'inference' as const },
    ]) {
      const random = new Random(9);
      const problem = syntheticProblem(options);
      for (let i = 0; i < 60; i++) {
        const explained = explain(problem, randomCandidate(problem, random));
        expectAddsUp(explained);
        expectMatchesBreakdown(explained);
      }
    }
  });

  it('adds up on mixed clusters and where hosts have fans and lossy power supplies', () => {
    const cluster = loadCluster('h100-sxm', 16);
    const group = cluster.groups[0];
    const cool = { ...group, coolingShare: 0.2, powerSupplyEfficiency: 0.9, networkBaseWatt: 5000 };
    const mixed = {
      ...cluster,
      groups: [
        { ...cool, hosts: 1, deviceCount: 8 },
        { ...group, hosts: 1, deviceCount: 8, firstRank: 8, hostWatt: 1234 },
      ],
    };
    const problem = syntheticProblem({ cluster: mixed, devices: 16, globalBatch: 64 });
    const explained = explain(problem, syntheticCandidate(problem, { tp: 8, pp: 2 }));
    expectAddsUp(explained);
    expect(explained.energy.coolingJoule).to.be.above(0);
    expect(explained.energy.supplyJoule).to.be.above(0);
    expect(explained.energy.switchJoule).to.be.closeTo(
      (5000 + 16 * group.networkWattPerDevice) * explained.estimate.stepTimeSec,
      1e-6,
    );
  });

  it('names the kernels and collectives of real graphs, with nothing left over', () => {
    const dense = zooProblem('gpt2', 8, 1024, 64);
    const split = explain(
      dense,
      syntheticCandidate(dense, { tp: 4, dpShard: 2, zeroStage: 1, microbatch: 4 }),
    );
    expectAddsUp(split);
    expectMatchesBreakdown(split);
    const { time } = split.ranks[0];
    for (const key of ['gemm', 'attention', 'pointwise', 'loss', 'optimizer'] as const)
      expect(time[key].exposedSec, key).to.be.above(0);
    expect(time.other.exposedSec).to.be.at.most(1e-9);
    expect(time.groupedGemm.exposedSec + time.epAllToAll.exposedSec).to.equal(0);
    const exchanged =
      time.tpAllGather.exposedSec + time.tpReduceScatter.exposedSec + time.tpAllReduce.exposedSec;
    expect(exchanged).to.be.closeTo(split.estimate.breakdown.tensorParallelSec, 1e-12);

    const experts = zooProblem('mixtral-8x7b', 16, 1024, 32);
    const moe = explain(
      experts,
      syntheticCandidate(experts, { ep: 8, dpShard: 16, zeroStage: 1, microbatch: 1 }),
    );
    expectAddsUp(moe);
    expect(moe.ranks[0].time.groupedGemm.exposedSec).to.be.above(0);
    expect(moe.ranks[0].time.epAllToAll.exposedSec).to.be.above(0);
  });

  it('tells hidden from exposed ZeRO traffic', () => {
    const problem = syntheticProblem();
    const of = (zeroStage: 0 | 1 | 3, under: number): Explanation['mean'] =>
      explain(
        {
          ...problem,
          stack: { ...problem.stack, gradientsUnderBackward: under, gathersUnderForward: under },
        },
        syntheticCandidate(problem, { zeroStage }),
      ).mean;
    const bare = of(3, 0);
    expect(bare.parameterGather.hiddenSec + bare.gradientReduction.hiddenSec).to.equal(0);
    const hidden = of(3, 0.9);
    const whole = (t: Explanation['mean'], key: 'parameterGather' | 'gradientReduction'): number =>
      t[key].exposedSec + t[key].hiddenSec;
    for (const key of ['parameterGather', 'gradientReduction'] as const) {
      expect(whole(hidden, key)).to.be.closeTo(whole(bare, key), 1e-9 * whole(bare, key));
      expect(hidden[key].hiddenSec).to.be.above(0.5 * whole(hidden, key));
    }
    expect(of(0, 0.9).parameterGather.exposedSec).to.equal(0);
  });
});
