/** Random legal plans of real models: what both fidelities, the bounds and the physics are tried on. */
import { fileURLToPath } from 'node:url';
import { analyzeModel, openModel, problemOf } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import type { Cluster } from '../../src/cluster/index.js';
import { loadCluster } from '../../src/cluster/index.js';
import { microbatchesOf } from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { Cutter, PlanSpace, randomPlan } from '../../src/search/index.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import type { StrategyBook } from '../../src/strategy/index.js';
import { Random } from '../../src/util/random.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

export interface RandomModel {
  readonly name: string;
  readonly devices: number;
  readonly cluster: string;
  readonly model: () => AnalyzedModel;
}

/** Of the graphs that ship. */
const file = (name: string, seq: number) => (): AnalyzedModel =>
  openModel(fileURLToPath(new URL(`../../graphs/${name}.onnx`, import.meta.url)), { seq });
/** Of the zoo. */
const zoo = (name: string, seq: number) => (): AnalyzedModel =>
  analyzeModel(buildZoo(zooConfig(name), { seq }), name, { seq });

/** Dense, tied, encoder, encoder-decoder, grouped queries, experts; four networks. */
export const RANDOM_MODELS: readonly RandomModel[] = [
  { name: 'gpt2-small', devices: 32, cluster: 'v100-16gb', model: file('gpt2-small', 1024) },
  { name: 'bert-large', devices: 64, cluster: 'a100-80gb', model: file('bert-large', 512) },
  { name: 't5-base', devices: 64, cluster: 'tpu-v5p', model: file('t5-base', 512) },
  { name: 'llama3-70b', devices: 256, cluster: 'h100-sxm', model: zoo('llama3-70b', 8192) },
  { name: 'mixtral-8x7b', devices: 128, cluster: 'h100-sxm', model: zoo('mixtral-8x7b', 4096) },
  { name: 'megatron-175b', devices: 512, cluster: 'a100-80gb', model: zoo('megatron-175b', 2048) },
];

export type RandomModelProblem = Omit<PlanProblem, 'costs'> & { readonly costs: StrategyBook };

/** The model's problem, with little hidden and host time on top, so that every term of a step counts. */
export function randomModelProblem({ model, devices, cluster }: RandomModel): RandomModelProblem {
  const { problem, book } = problemOf(model(), loadCluster(cluster, devices), { devices, batch: 1024 });
  const stack = {
    ...problem.stack,
    microbatchOverheadSec: 2e-4,
    stepOverheadSec: 5e-3,
    gradientsUnderBackward: 0.5,
    gathersUnderForward: 0.5,
  };
  return { ...problem, stack, costs: book.repriced(problem.cluster, stack) };
}

/** The problem on other hardware, its operators split as they are. */
export function onCluster(problem: RandomModelProblem, cluster: Cluster): RandomModelProblem {
  return { ...problem, cluster, costs: problem.costs.repriced(cluster, problem.stack) };
}

/** Microbatches of a step beyond which a plan is not played out: both fidelities repeat themselves long before. */
const MOST_MICROBATCHES = 256;

/** Draws plans of the space; every second one with cuts moved at random. */
export class RandomPlans {
  private readonly space: PlanSpace;
  private readonly cutter: Cutter;
  private readonly random: Random;

  constructor(
    private readonly problem: PlanProblem,
    seed: number,
  ) {
    this.space = new PlanSpace(problem);
    this.cutter = new Cutter(problem);
    this.random = new Random(seed);
  }

  next(): Candidate {
    for (;;) {
      const plan = randomPlan(this.space, this.cutter, this.random);
      if (microbatchesOf(plan, this.problem.globalBatch) > MOST_MICROBATCHES) continue;
      if (this.random.next() < 0.5) this.moveCuts(plan.stageStart);
      return plan;
    }
  }

  private moveCuts(stageStart: Int32Array): void {
    for (let v = 1; v < stageStart.length - 1; v++) {
      const room = stageStart[v + 1] - stageStart[v - 1] - 1;
      if (this.random.next() < 0.5) stageStart[v] = stageStart[v - 1] + 1 + this.random.int(room);
    }
  }
}
