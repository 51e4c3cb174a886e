/** Plans to write files of: random legal ones of several models and clusters, with everything that targets are given. */
import { fileURLToPath } from 'node:url';
import { analyzeModel, problemOf } from '../../src/api/problem.js';
import type { Problem } from '../../src/api/problem.js';
import { chakraOf } from '../../src/api/simulate.js';
import { loadCluster } from '../../src/cluster/index.js';
import type { EmitInput, EmittedFile } from '../../src/emit/index.js';
import { readModel } from '../../src/model/index.js';
import type { ModelProto } from '../../src/model/types.js';
import { shardKeyOf } from '../../src/plan/candidate.js';
import { buildPlan } from '../../src/plan/index.js';
import type { Candidate, Plan } from '../../src/plan/types.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { describeStrategy, roleName, tensorLayouts } from '../../src/strategy/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { RandomPlans } from '../support/randomPlans.js';

export interface EmitCase {
  readonly name: string;
  readonly devices: number;
  readonly cluster: string;
  readonly seq: number;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly proto: () => ModelProto;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const file = (name: string) => (): ModelProto => readModel(`${root}graphs/${name}.onnx`);
const zoo = (name: string, seq: number, layers?: number) => (): ModelProto =>
  buildZoo({ ...zooConfig(name), ...(layers === undefined ? {} : { layers }) }, { seq });

/** Tied and not, encoders, grouped queries, experts, latent attention, a model without attention; GPUs, TPUs, two kinds at once. */
export const EMIT_CASES: readonly EmitCase[] = [
  { name: 'gpt2-small', devices: 32, cluster: 'a100-80gb', seq: 1024, proto: file('gpt2-small') },
  { name: 'bert-large', devices: 64, cluster: 'h100-sxm', seq: 512, proto: file('bert-large') },
  { name: 't5-base', devices: 16, cluster: 'tpu-v5p', seq: 512, proto: file('t5-base') },
  { name: 'resnet50', devices: 8, cluster: 'h100-sxm', seq: 0, proto: file('resnet50') },
  { name: 'llama3-8b', devices: 128, cluster: 'h200', seq: 4096, proto: zoo('llama3-8b', 4096) },
  { name: 'mixtral-8x7b', devices: 64, cluster: 'mi300x', seq: 2048, proto: zoo('mixtral-8x7b', 2048) },
  {
    name: 'deepseek-v3',
    devices: 256,
    cluster: 'gb200-nvl72',
    seq: 2048,
    proto: zoo('deepseek-v3', 2048, 8),
  },
  {
    name: 'llama3-8b on two kinds of hosts',
    devices: 96,
    cluster: `${root}graphs/clusters/mixed-a100-h100.yaml`,
    seq: 2048,
    proto: zoo('llama3-8b', 2048, 12),
  },
];

/** A model on its cluster, from which plans are drawn. */
export class EmitSource {
  readonly problem: Problem;
  private readonly proto: ModelProto;
  private readonly plans: RandomPlans;

  constructor(
    readonly test: EmitCase,
    seed: number,
  ) {
    this.proto = test.proto();
    const seq = test.seq > 0 && test.bind === undefined ? test.seq : undefined;
    const model = analyzeModel(this.proto, test.name, { seq, bind: test.bind });
    const { devices } = test;
    this.problem = problemOf(model, loadCluster(test.cluster, devices), { devices, batch: 768 });
    this.plans = new RandomPlans(this.problem.problem, seed);
  }

  next(): EmitInput {
    return this.of(this.plans.next());
  }

  /** Everything that targets are given of a candidate. */
  of(candidate: Candidate, change: Partial<Plan> = {}): EmitInput {
    const { problem, model, book, cluster } = this.problem;
    const { graph, segmentation } = model;
    const { dpReplicate, dpShard } = candidate;
    const key = shardKeyOf(candidate, 0);
    const strategies = book.strategies(key);
    const estimate = createSimulator(problem).estimate(candidate, createEstimate());
    const plan = buildPlan(candidate, estimate, graph, problem, {
      modelName: `${this.test.name.split(' ')[0]}.onnx`,
      objective: 'time',
      classStrategies: strategies.map(describeStrategy),
      sequenceParallel: strategies.some((s) => s.boundary === 'sequence'),
      shardings: tensorLayouts(graph, segmentation, strategies, key, dpReplicate * dpShard).map(
        ({ tensor, dims, blocks, copies }) => ({
          tensor: graph.tensorName[tensor],
          role: roleName(graph, tensor),
          shape: Array.from(graph.shapeDim.subarray(graph.shapeStart[tensor], graph.shapeStart[tensor + 1])),
          dims,
          ...(blocks.some((b) => b > 1) ? { blocks } : {}),
          ...(copies.some((c) => c > 1) ? { copies } : {}),
        }),
      ),
      flopConvention: 'causal',
      lowerBoundSec: 0,
      optimalInSpace: false,
      space: 'test',
      foundBy: { method: 'test', member: 'test', seed: 0, evaluations: 1 },
      warnings: [],
    });
    return {
      plan: { ...plan, ...change },
      model: { proto: this.proto, graph, segmentation },
      cluster,
      traces: () => chakraOf(this.problem, candidate),
    };
  }
}

/** Text of a file of the list. */
export function textOf(files: readonly EmittedFile[], name: RegExp): string {
  const found = files.find((f) => name.test(f.name));
  if (found === undefined || typeof found.content !== 'string')
    throw new Error(`no text file ${name.source} among ${files.map((f) => f.name).join(', ')}`);
  return found.content;
}
