import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { analyzeModel, openModel, problemOf } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import { planOf } from '../../src/api/plan.js';
import { loadCluster } from '../../src/cluster/index.js';
import type { Cluster } from '../../src/cluster/index.js';
import type { ShardKey } from '../../src/cost/types.js';
import { checkCandidate, equalCandidates, hashCandidate, leannessOf } from '../../src/plan/candidate.js';
import { candidateOf } from '../../src/plan/candidateOf.js';
import { decodePlan, encodePlan, validatePlan } from '../../src/plan/index.js';
import type { Candidate } from '../../src/plan/types.js';
import { solverByName } from '../../src/portfolio/registry.js';
import { PlanSpace } from '../../src/search/index.js';
import { planInstead } from '../../src/search/instead.js';
import type { SearchResult } from '../../src/search/index.js';
import { createEngine, createEstimate, createSimulator } from '../../src/simulate/index.js';
import type { Estimate, PlanProblem } from '../../src/simulate/types.js';
import { PartitionError } from '../../src/util/errors.js';
import { Random } from '../../src/util/random.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { RANDOM_MODELS, RandomPlans, randomModelProblem } from '../support/randomPlans.js';

/** The problem with every mesh in its usual sharding. */
function undecided(problem: PlanProblem): PlanProblem {
  return { ...problem, costs: { costs: (key: ShardKey) => problem.costs.costs(key) } };
}

async function search(problem: PlanProblem, method = 'exhaustive', evaluations = 400): Promise<SearchResult> {
  return solverByName(method).solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations: evaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(1),
  });
}

function priceOf(problem: PlanProblem, plan: Candidate): Estimate {
  return createSimulator(problem).estimate(plan, createEstimate());
}

function zoo(name: string, seq?: number): AnalyzedModel {
  return analyzeModel(buildZoo(zooConfig(name)), name, { seq });
}

/** Every device with so much memory, little of it taken by the runtime. */
function withMemory(cluster: Cluster, memoryBytes: number): Cluster {
  const groups = cluster.groups.map((group) => ({
    ...group,
    device: { ...group.device, memoryBytes, reservedBytes: Math.min(group.device.reservedBytes, 3e8) },
  }));
  return { ...cluster, groups };
}

describe('the sharding of a mesh as a decision', () => {
  it('makes a plan faster where memory is tight: vision transformer, ResNet', async () => {
    const resnet = openModel(fileURLToPath(new URL('../../graphs/resnet50.onnx', import.meta.url)), {});
    for (const [model, share, gain] of [
      [zoo('vit-h14'), 0.95, 0.1],
      [resnet, 0.85, 0.25],
    ] as const) {
      const cluster = loadCluster('a100-80gb', 8);
      const setting = { devices: 8, batch: 2 };
      const room = withMemory(cluster, cluster.groups[0].device.memoryBytes);
      const roomy = problemOf(model, room, setting).problem;
      const { best } = await search(roomy);
      const peakBytes = priceOf(roomy, best!).peakMemoryBytes;
      const { problem } = problemOf(model, withMemory(cluster, share * peakBytes), setting);
      const fixed = await search(undecided(problem));
      const free = await search(problem);
      expect(leannessOf(free.best!)).to.be.above(0);
      expect(free.value).to.be.below((1 - gain) * fixed.value);
    }
  });

  it('makes a plan faster where memory is not: T5 takes a sharding that keeps more', async () => {
    const { problem } = problemOf(zoo('t5-11b', 512), loadCluster('a100-80gb', 8), { devices: 8, batch: 4 });
    const fixed = await search(undecided(problem));
    const free = await search(problem);
    expect(leannessOf(free.best!)).to.be.below(0);
    expect(free.value).to.be.below(0.995 * fixed.value);
  });

  it('is drawn by every method that walks, and all of their plans are of the space', async () => {
    const { problem } = problemOf(zoo('t5-11b', 512), loadCluster('a100-80gb', 8), { devices: 8, batch: 4 });
    const fixed = (await search(undecided(problem))).value;
    for (const method of ['anneal', 'mcmc', 'genetic', 'random']) {
      const simulator = createSimulator(problem);
      const met = new Set<number>();
      const watched = {
        problem,
        evaluations: 0,
        estimate: (c: Candidate, out: Estimate) => {
          expect(checkCandidate(problem, c)).to.equal(null);
          met.add(leannessOf(c));
          return simulator.estimate(c, out);
        },
      };
      const { value } = await solverByName(method).solve({
        problem,
        simulator: watched,
        budget: { maxEvaluations: 300, maxSec: Infinity },
        clock: () => 0,
        random: new Random(2),
      });
      expect(met.size, method).to.be.above(2);
      expect(value, method).to.be.below(4 * fixed);
    }
  });

  it('is priced alike by estimate and engine', () => {
    for (const model of RANDOM_MODELS.filter(({ name }) => ['t5-base', 'bert-large'].includes(name))) {
      const problem = randomModelProblem(model);
      const plans = new RandomPlans(problem, 3);
      const engine = createEngine(problem);
      let compared = 0;
      for (let draws = 0; compared < 25 && draws < 3000; draws++) {
        const plan = plans.next();
        if (leannessOf(plan) === 0) continue;
        compared++;
        const { stepTimeSec, peakMemoryBytes } = priceOf(problem, plan);
        const run = engine.run(plan, false);
        expect(run.stepTimeSec).to.be.closeTo(stepTimeSec, 1e-9 * stepTimeSec);
        expect(peakMemoryBytes).to.be.above(0);
      }
      expect(compared, model.name).to.equal(25);
    }
  });

  it('changes what is kept and how long work takes in opposite directions, at any microbatch', () => {
    const { problem, book } = problemOf(zoo('t5-11b', 512), loadCluster('a100-80gb', 8), {
      devices: 8,
      batch: 64,
    });
    const { segmentClass } = problem.segmentation;
    for (const tp of [2, 4, 8])
      for (const microbatch of [1, 4]) {
        const key = {
          tp,
          cp: 1,
          ep: 1,
          etp: 1,
          microbatch,
          deviceGroup: 0,
          contextExchange: 'ring' as const,
        };
        const saved = book.leannesses(key).map((leanness) => {
          const { savedBytes } = book.costs({ ...key, leanness });
          return segmentClass.reduce((sum, k) => sum + savedBytes[0][k], 0);
        });
        expect(saved.length).to.be.above(1);
        for (let i = 1; i < saved.length; i++) expect(saved[i]).to.be.below(saved[i - 1]);
      }
  });

  it('is written to plan.json and read back; absent is the usual sharding', async () => {
    const model = zoo('t5-11b', 512);
    const whole = problemOf(model, loadCluster('a100-80gb', 8), { devices: 8, batch: 4 });
    const { problem } = whole;
    const { graph, segmentation } = model;
    const best = (await search(problem)).best!;
    const origin = {
      objective: 'time',
      optimalInSpace: false,
      foundBy: { method: 'test', member: 'test', seed: 0, evaluations: 1 },
    };
    const plan = planOf(whole, best, 't5.onnx', origin);
    expect(plan.leanness).to.equal(leannessOf(best));
    expect(validatePlan(plan, graph, whole.cluster, segmentation)).to.deep.equal([]);
    const again = decodePlan(encodePlan(plan), 'plan.json');
    expect(equalCandidates(candidateOf(again, graph, segmentation, 'plan.json'), best)).to.equal(true);
    const usual = planOf(whole, { ...best, leanness: 0 }, 't5.onnx', origin);
    expect(usual).not.to.have.property('leanness');
    expect(encodePlan(usual)).not.to.equal(encodePlan(plan));
    const without: Candidate = { ...best };
    Reflect.deleteProperty(without, 'leanness');
    expect(hashCandidate(without)).to.equal(hashCandidate({ ...best, leanness: 0 }));
    expect(equalCandidates(without, { ...best, leanness: 0 })).to.equal(true);
    expect(equalCandidates(without, best)).to.equal(false);
  });

  it('can be stated by hand, and is refused where the mesh has no such sharding', () => {
    const { problem } = problemOf(zoo('t5-11b', 512), loadCluster('a100-80gb', 8), { devices: 8, batch: 4 });
    const space = new PlanSpace(problem);
    const mesh = space.meshes.find(({ tp, pp }) => tp === 8 && pp === 1)!;
    const [decisions] = space.decisions(mesh, 1);
    const segments = problem.segmentation.segmentCount;
    const base: Candidate = { ...decisions, leanness: 0, stageStart: Int32Array.of(0, segments) };
    const leanest = space.leannesses(mesh).at(-1)!;
    const lean = planInstead(problem, base, { leanness: leanest }, '--instead');
    expect(leannessOf(lean)).to.equal(leanest);
    expect(priceOf(problem, lean).peakMemoryBytes).to.be.below(priceOf(problem, base).peakMemoryBytes);
    // Where nothing is split there is nothing to choose.
    expect(leannessOf(planInstead(problem, lean, { tp: 1, pp: 8 }, '--instead'))).to.equal(0);
    expect(() => planInstead(problem, base, { leanness: leanest + 1 }, '--instead')).to.throw(
      PartitionError,
      /leanness = \d+ is none of the shardings at these degrees \(/,
    );
  });
});
