/**
 * A chain of matrix products small enough to check by hand, its planning problem and a plan of it:
 *
 *     x0 -> [op 0, w0] -> x1 -> [op 1, w1] -> x2 -> ...      every weight 64 x 64, one segment an op, one class
 */
import { createHash } from 'node:crypto';
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import { KERNEL_KINDS, TP_KINDS } from '../../src/cost/types.js';
import type { ClassCosts, ShardKey } from '../../src/cost/types.js';
import { TensorRole } from '../../src/graph/types.js';
import type { Block, Graph, Segmentation } from '../../src/graph/types.js';
import { buildPlan } from '../../src/plan/index.js';
import type { Candidate, Plan } from '../../src/plan/index.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { syntheticCandidate } from './synthetic.js';

export const WIDTH = 64;

/** Tensors: x_i has id i, w_i has id ops + 1 + i. */
export function tinyGraph(ops: number): Graph {
  const tensorCount = 2 * ops + 1;
  const shapeStart = Int32Array.from({ length: tensorCount + 1 }, (_, t) => 2 * t);
  const isWeight = (t: number): boolean => t > ops;
  const shapeDim = Float64Array.from({ length: 2 * tensorCount }, (_, i) =>
    isWeight(i >> 1) || i % 2 === 1 ? WIDTH : 8,
  );
  const column = (f: (i: number) => number, length = tensorCount): Int32Array =>
    Int32Array.from({ length }, (_, i) => f(i));
  const flop = new Float64Array(ops).fill(2 * 8 * WIDTH * WIDTH);
  return {
    name: 'tiny',
    digest: createHash('sha256').update(`tiny ${ops}`).digest('hex'),
    nodeCount: ops,
    nodeName: Array.from({ length: ops }, (_, n) => `op ${n}`),
    nodeOp: new Array<string>(ops).fill('MatMul'),
    nodeKernel: new Array<'gemm'>(ops).fill('gemm'),
    nodeFlop: flop,
    nodeTouchedElements: new Float64Array(ops),
    nodeFactors: [],
    inputStart: column((n) => 2 * n, ops + 1),
    inputTensor: column((i) => (i % 2 === 0 ? i >> 1 : ops + 1 + (i >> 1)), 2 * ops),
    outputStart: column((n) => n, ops + 1),
    outputTensor: column((n) => n + 1, ops),
    nodeGradInputFlop: flop,
    nodeGradWeightFlop: flop,
    savedStart: new Int32Array(ops + 1),
    savedTensor: new Int32Array(0),
    nodeExtraSavedBytes: new Float64Array(ops),
    tensorCount,
    tensorName: Array.from({ length: tensorCount }, (_, t) => (isWeight(t) ? `w${t - ops - 1}` : `x${t}`)),
    tensorDtype: new Uint8Array(tensorCount).fill(1),
    tensorRole: Uint8Array.from({ length: tensorCount }, (_, t) =>
      isWeight(t) ? TensorRole.PARAMETER : t === 0 ? TensorRole.INPUT : TensorRole.ACTIVATION,
    ),
    shapeStart,
    shapeDim,
    tensorElements: Float64Array.from({ length: tensorCount }, (_, t) =>
      isWeight(t) ? WIDTH * WIDTH : 8 * WIDTH,
    ),
    tensorBytes: new Float64Array(tensorCount),
    producer: column((t) => (isWeight(t) ? -1 : t - 1)),
    useStart: column((t) => (t <= ops ? t : t - 1), tensorCount + 1),
    useNode: column((u) => (u < ops ? u : u - ops), 2 * ops),
    storage: column((t) => t),
    tensorNeedsGrad: new Uint8Array(tensorCount).fill(1),
    tensorTriangular: new Uint8Array(tensorCount),
    nodeCausal: new Uint8Array(ops),
    lossNode: -1,
    phase: 'train',
    hasCache: false,
    isTrainingGraph: false,
    graphInputs: Int32Array.of(0),
    graphOutputs: Int32Array.of(ops),
    referenceBatch: 1,
    factorAxisStart: new Int32Array(ops + 1),
    factorAxis: new Uint8Array(0),
    sequenceLength: 8,
    warnings: [],
    unknownOps: [],
  };
}

export function tinySegmentation(ops: number): Segmentation {
  const block = (n: number): Block => ({
    kind: 'gemm',
    nodes: Int32Array.of(n),
    inputs: Int32Array.of(n, ops + 1 + n),
    outputs: Int32Array.of(n + 1),
    factors: { factors: [], inputs: [null, null], outputs: [null] },
    factorAxis: new Uint8Array(0),
    flop: 1,
    gradInputFlop: 1,
    gradWeightFlop: 1,
    touchedElements: 1,
    saved: new Int32Array(0),
    extraSavedBytes: 0,
    causal: false,
  });
  return {
    blocks: Array.from({ length: ops }, (_, n) => block(n)),
    segmentCount: ops,
    segmentClass: new Int32Array(ops),
    blockStart: Int32Array.from({ length: ops + 1 }, (_, s) => s),
    classCount: 1,
    classSegment: Int32Array.of(0),
    classSize: Int32Array.of(ops),
    cutElements: new Float64Array(ops + 1),
    sharedParameter: new Int32Array(0),
    sharedStart: Int32Array.of(0),
    sharedSegment: new Int32Array(0),
    layers: ops,
  };
}

export function tinyProblem(ops = 12, devices = 8): PlanProblem {
  const one = (x: number): Float64Array => Float64Array.of(x);
  const costs = (key: ShardKey): ClassCosts => ({
    key,
    tpLeavesDomain: false,
    forwardSec: one(1e-3 / key.tp),
    backwardInputSec: one(1e-3 / key.tp),
    backwardWeightSec: one(1e-3 / key.tp),
    kernelSec: KERNEL_KINDS.map((kind) => one(kind === 'gemm' ? 3e-3 / key.tp : 0)),
    matrixSec: one(2e-3 / key.tp),
    tpForwardSec: one(key.tp > 1 ? 1e-4 : 0),
    tpBackwardSec: one(key.tp > 1 ? 1e-4 : 0),
    tpKindSec: TP_KINDS.map((kind) => one(kind === 'allReduce' && key.tp > 1 ? 2e-4 : 0)),
    cpForwardSec: one(0),
    cpBackwardSec: one(0),
    epForwardSec: one(0),
    epBackwardSec: one(0),
    recomputeSec: [one(0), one(2e-4), one(1e-3)],
    savedBytes: [one(4096), one(2048), one(1024)],
    transientBytes: [one(100), one(100), one(200)],
    denseParameters: one((WIDTH * WIDTH) / key.tp),
    expertParameters: one(0),
    cacheBytes: one(0),
    forwardFlop: one((2 * 8 * WIDTH * WIDTH) / key.tp),
    backwardFlop: one((4 * 8 * WIDTH * WIDTH) / key.tp),
    memoryTrafficBytes: one(1000),
    networkBytes: one(0),
    cutBytes: new Float64Array(ops + 1).fill(1024),
  });
  return {
    segmentation: tinySegmentation(ops),
    cluster: loadCluster('h100-sxm', devices),
    devices,
    phase: 'train',
    precision: 'bf16',
    stack: loadStack(),
    globalBatch: 32,
    sequenceLength: 8,
    objective: { time: 1, energy: 0, cost: 0 },
    costs: { costs },
    forwardFlopPerSequence: ops * 2 * 8 * WIDTH * WIDTH,
    backwardFlopPerSequence: ops * 4 * 8 * WIDTH * WIDTH,
    parameters: ops * WIDTH * WIDTH,
    expertParameters: 0,
    maxCp: 1,
    experts: 1,
    tpChoices: [1, 2, 4],
    contextHeads: 1,
  };
}

/** A sound plan: weights split by columns over tp, everything else as the candidate says. */
export function tinyPlan(
  given: Partial<Candidate> = { tp: 2, pp: 2 },
  ops = 12,
): { plan: Plan; graph: Graph; problem: PlanProblem; candidate: Candidate } {
  const graph = tinyGraph(ops);
  const problem = tinyProblem(ops);
  const candidate = syntheticCandidate(problem, given);
  const estimate = createSimulator(problem).estimate(candidate, createEstimate());
  const plan = buildPlan(candidate, estimate, graph, problem, {
    modelName: 'tiny.onnx',
    objective: 'time',
    classStrategies: ['columns'],
    shardings: Array.from({ length: ops }, (_, n) => ({
      tensor: `w${n}`,
      role: 'parameter' as const,
      shape: [WIDTH, WIDTH],
      dims: [[], candidate.tp > 1 ? ['tp' as const] : []],
    })),
    flopConvention: 'full',
    lowerBoundSec: estimate.planBoundSec / 2,
    optimalInSpace: false,
    space: 'test',
    foundBy: { method: 'test', member: 'test', seed: 0, evaluations: 1 },
    warnings: [],
  });
  return { plan, graph, problem, candidate };
}
