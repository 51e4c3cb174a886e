/** What must hold of any price, whatever the plan. */
import { expect } from 'chai';
import type { Cluster, Device, Level } from '../../src/cluster/types.js';
import { bubbleSec } from '../../src/parallel/index.js';
import type { Candidate } from '../../src/plan/types.js';
import { lowerBoundSec } from '../../src/search/index.js';
import { createEngine } from '../../src/simulate/engine.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { onCluster, RANDOM_MODELS, randomModelProblem, RandomPlans } from '../support/randomPlans.js';
import type { RandomModelProblem } from '../support/randomPlans.js';
import { equalStages, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

const PLANS = 60;
const ROUNDING = 1 + 1e-9;

/** What a better cluster may have more of. */
const BETTER: Readonly<Record<string, (cluster: Cluster) => Cluster>> = {
  'twice the FLOP/s': (c) =>
    devices(c, (d) => ({
      ...d,
      peakFlopPerSec: times(d.peakFlopPerSec, 2),
      achievableFlopPerSec: times(d.achievableFlopPerSec, 2),
      vectorFlopPerSec: 2 * d.vectorFlopPerSec,
    })),
  'a tenth more FLOP/s': (c) =>
    devices(c, (d) => ({ ...d, achievableFlopPerSec: times(d.achievableFlopPerSec, 1.1) })),
  'twice the memory bandwidth': (c) =>
    devices(c, (d) => ({ ...d, memoryBytesPerSec: 2 * d.memoryBytesPerSec })),
  'twice the memory': (c) => devices(c, (d) => ({ ...d, memoryBytes: 2 * d.memoryBytes })),
  'twice the bandwidth inside hosts': (c) => levels(c, (l, i) => (i === 0 ? faster(l) : l)),
  'twice the bandwidth between hosts': (c) => levels(c, (l, i) => (i > 0 ? faster(l) : l)),
  'half the latency': (c) =>
    levels(c, (l) => ({ ...l, latencySec: l.latencySec / 2, overheadSec: l.overheadSec / 2 })),
};

function devices(cluster: Cluster, change: (device: Device) => Device): Cluster {
  return { ...cluster, groups: cluster.groups.map((g) => ({ ...g, device: change(g.device) })) };
}

function levels(cluster: Cluster, change: (level: Level, index: number) => Level): Cluster {
  return {
    ...cluster,
    levels: cluster.levels.map(change),
    groups: cluster.groups.map((g) => ({ ...g, levels: g.levels.map(change) })),
  };
}

function faster(level: Level): Level {
  return { ...level, bytesPerSecPerDevice: 2 * level.bytesPerSecPerDevice };
}

function times<K extends string>(rates: Readonly<Record<K, number>>, factor: number): Record<K, number> {
  const scaled = Object.entries<number>(rates).map(([name, rate]) => [name, factor * rate]);
  return Object.fromEntries(scaled) as Record<K, number>;
}

describe('physics of a price', () => {
  for (const model of RANDOM_MODELS.filter((m) => ['gpt2-small', 'mixtral-8x7b', 't5-base'].includes(m.name)))
    describe(`${model.name} on ${model.devices} devices of ${model.cluster}`, function () {
      this.timeout(60_000);
      let problem: RandomModelProblem;
      let plans: Candidate[] = [];
      let stepSec: number[] = [];

      before(() => {
        problem = randomModelProblem(model);
        const random = new RandomPlans(problem, 3);
        plans = Array.from({ length: PLANS }, () => random.next());
        const simulator = createSimulator(problem);
        stepSec = plans.map((plan) => simulator.estimate(plan, createEstimate()).stepTimeSec);
      });

      for (const [what, change] of Object.entries(BETTER))
        it(`never slows the same plan down with ${what}`, () => {
          const simulator = createSimulator(onCluster(problem, change(problem.cluster)));
          const estimate = createEstimate();
          plans.forEach((plan, i) => {
            expect(simulator.estimate(plan, estimate).stepTimeSec, describePlan(plan)).to.be.at.most(
              stepSec[i] * ROUNDING,
            );
          });
        });

      it('takes at least every bound, and its time and memory add up', () => {
        const simulator = createSimulator(problem);
        const engine = createEngine(problem);
        const bound = lowerBoundSec(problem);
        const estimate = createEstimate();
        for (const plan of plans) {
          simulator.estimate(plan, estimate);
          const step = estimate.stepTimeSec;
          expect(estimate.planBoundSec).to.be.at.most(step);
          expect(engine.run(plan).stepTimeSec).to.be.at.least(estimate.planBoundSec / ROUNDING);
          if (estimate.fits) expect(bound).to.be.at.most(step * ROUNDING);
          const parts = Object.values(estimate.breakdown as unknown as Record<string, number>);
          for (const part of parts) expect(part).to.be.at.least(0);
          expect(parts.reduce((a, b) => a + b, 0) / step).to.be.closeTo(1, 1e-9);
          for (const { totalBytes, ...held } of estimate.memory.slice(0, estimate.rankCount)) {
            const sum = Object.values(held).reduce((a, b) => a + b, 0);
            expect(sum / totalBytes).to.be.closeTo(1, 1e-12);
          }
        }
      });
    });

  it('leaves one stage with one microbatch no bubble', () => {
    const problem = syntheticProblem({ devices: 8, globalBatch: 8, layers: 4 });
    const price = createSimulator(problem).estimate(syntheticCandidate(problem), createEstimate());
    expect(price.breakdown.bubbleSec).to.be.closeTo(0, 1e-12 * price.stepTimeSec);
    expect(price.breakdown.pipelineTransferSec).to.equal(0);
  });

  it('leaves equal stages the bubble of the formulas, whatever the fidelity', () => {
    const problem = equalStages(
      syntheticProblem({ devices: 64, globalBatch: 256, layers: 96, hidden: 8192 }),
    );
    const stack = { ...problem.stack, tpExposed: 1, microbatchOverheadSec: 0 };
    const free = { ...problem, stack, costs: withoutTransfers(problem.costs) };
    const simulator = createSimulator(free);
    const engine = createEngine(free);
    for (const [schedule, vpp] of [
      ['gpipe', 1],
      ['1f1b', 1],
      ['zb-h1', 1],
      ['interleaved', 2],
      ['interleaved', 4],
    ] as const)
      for (const pp of [2, 4, 8]) {
        const plan = syntheticCandidate(free, { tp: 8, pp, vpp, schedule, zeroStage: 0 });
        const { breakdown, stepTimeSec } = simulator.estimate(plan, createEstimate());
        const microbatches = (256 * 8 * pp) / 64;
        const layer = free.costs.costs({ ...plan, deviceGroup: 0 });
        const stageOf = (sec: number): number => (sec * 96) / pp;
        const bubble = bubbleSec(
          schedule,
          pp,
          vpp,
          stageOf(layer.forwardSec[2] + layer.tpForwardSec[2]),
          stageOf(layer.backwardInputSec[2] + layer.tpBackwardSec[2]),
          stageOf(layer.backwardWeightSec[2]),
        );
        expect(microbatches % pp).to.equal(0);
        const what = `${schedule} pp=${pp} vpp=${vpp}`;
        expect(breakdown.bubbleSec + breakdown.pipelineTransferSec, what).to.be.closeTo(
          bubble,
          1e-9 * stepTimeSec,
        );
        expect(engine.run(plan).stepTimeSec, what).to.be.closeTo(stepTimeSec, 1e-9 * stepTimeSec);
      }
  });
});

function withoutTransfers(costs: PlanProblem['costs']): PlanProblem['costs'] {
  return {
    costs(key) {
      const table = costs.costs(key);
      return { ...table, cutBytes: new Float64Array(table.cutBytes.length) };
    },
  };
}

function describePlan({ recompute: _, stageStart, ...decisions }: Candidate): string {
  return `${JSON.stringify(decisions)} cuts ${stageStart.join(' ')}`;
}
