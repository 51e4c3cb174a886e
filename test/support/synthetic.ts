/**
 * A made-up model for tests and benches: an embedding, equal layers, and a head, with class costs from simple formulas
 * instead of operators. Its times fall with tp, its collectives grow with it, recomputation trades bytes for seconds,
 * so that every decision of a candidate has an effect.
 */
import { loadCluster } from '../../src/cluster/index.js';
import { loadStack } from '../../src/cost/stack.js';
import type { Cluster } from '../../src/cluster/index.js';
import { KERNEL_KINDS, TP_KINDS } from '../../src/cost/types.js';
import type { ClassCosts, CostProvider, Phase, ShardKey } from '../../src/cost/types.js';
import type { Block, Segmentation } from '../../src/graph/types.js';
import type { FactorRule } from '../../src/ops/types.js';
import { balancedCuts, checkCandidate, microbatchesOf } from '../../src/plan/candidate.js';
import type { Candidate, ScheduleKind } from '../../src/plan/types.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import type { Random } from '../../src/util/random.js';

export interface SyntheticOptions {
  readonly layers?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
  readonly sequenceLength?: number;
  readonly globalBatch?: number;
  readonly devices?: number;
  readonly cluster?: string | Cluster;
  readonly phase?: Phase;
  /** 1 = dense. With experts every layer's feed-forward block is one of them. */
  readonly experts?: number;
  /** Layers i and i + period alike; layers of one period differ by up to `spread`: an uneven chain. */
  readonly spread?: number;
  /** Whether the embedding and the head share their table. */
  readonly tied?: boolean;
  /** Shardings to choose from where tp is above 1; default 1. */
  readonly shardings?: number;
}

export function syntheticProblem(options: SyntheticOptions = {}): PlanProblem {
  const layers = options.layers ?? 32;
  const hidden = options.hidden ?? 4096;
  const vocabulary = options.vocabulary ?? 32000;
  const sequenceLength = options.sequenceLength ?? 4096;
  const devices = options.devices ?? 64;
  const experts = options.experts ?? 1;
  const phase = options.phase ?? 'train';
  const cluster =
    typeof options.cluster === 'object'
      ? options.cluster
      : loadCluster(options.cluster ?? 'h100-sxm', devices);
  const kinds = layerKinds(options.spread ?? 0);
  const segmentation = chain(layers, kinds.length, vocabulary * hidden, options.tied ?? false);
  const shardings = options.shardings ?? 1;
  const sizes = { kinds, hidden, vocabulary, sequenceLength, experts, phase, cluster, shardings };
  const costs = syntheticCosts(sizes);
  const layerParameters = 12 * hidden * hidden;
  const expertParameters = experts > 1 ? layers * 8 * hidden * hidden * experts : 0;
  const dense = layers * layerParameters - (experts > 1 ? layers * 8 * hidden * hidden : 0);
  const forward = sequenceLength * 2 * (layers * layerParameters + vocabulary * hidden);
  return {
    segmentation,
    cluster,
    devices,
    phase,
    precision: 'bf16',
    stack: loadStack(),
    globalBatch: options.globalBatch ?? 512,
    sequenceLength,
    objective: { time: 1, energy: 0, cost: 0 },
    costs,
    forwardFlopPerSequence: forward,
    backwardFlopPerSequence: 2 * forward,
    parameters: dense + expertParameters + (options.tied ? 1 : 2) * vocabulary * hidden,
    expertParameters,
    maxCp: 8,
    experts,
    tpChoices: [1, 2, 4, 8],
    contextHeads: 32,
  };
}

/** The problem with nothing outside its layers: an embedding and a head that cost nothing. */
export function equalStages(problem: PlanProblem): PlanProblem {
  const { segmentClass } = problem.segmentation;
  const ends = [segmentClass[0], segmentClass[segmentClass.length - 1]];
  const tables = new Map<ClassCosts, ClassCosts>();
  const without = (costs: ClassCosts): ClassCosts => {
    const strip = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(strip);
      if (!(value instanceof Float64Array) || value === costs.cutBytes) return value;
      return value.map((x, k) => (ends.includes(k) ? 0 : x));
    };
    const entries = Object.entries(costs).map(([name, value]) => [name, strip(value)]);
    return Object.fromEntries(entries) as ClassCosts;
  };
  return {
    ...problem,
    costs: {
      costs(key) {
        const costs = problem.costs.costs(key);
        let table = tables.get(costs);
        if (table === undefined) tables.set(costs, (table = without(costs)));
        return table;
      },
    },
  };
}

/** Relative size of the layers of one period. */
function layerKinds(spread: number): number[] {
  return spread === 0 ? [1] : [1, 1 + spread, 1 - spread / 2];
}

/** Segment classes: 0 the embedding, 1 the head, 2.. the layer kinds in turn. */
function chain(layers: number, kinds: number, tableElements: number, tied: boolean): Segmentation {
  const segmentCount = layers + 2;
  const classCount = 2 + kinds;
  const segmentClass = Int32Array.from({ length: segmentCount }, (_, s) =>
    s === 0 ? 0 : s === segmentCount - 1 ? 1 : 2 + ((s - 1) % kinds),
  );
  const classSegment = new Int32Array(classCount).fill(-1);
  const classSize = new Int32Array(classCount);
  segmentClass.forEach((k, s) => {
    if (classSegment[k] < 0) classSegment[k] = s;
    classSize[k]++;
  });
  return {
    blocks: tied ? [sharedTable(tableElements)] : [],
    segmentCount,
    segmentClass,
    blockStart: new Int32Array(segmentCount + 1),
    classCount,
    classSegment,
    classSize,
    cutElements: new Float64Array(segmentCount + 1),
    sharedParameter: Int32Array.from(tied ? [0] : []),
    sharedStart: Int32Array.from(tied ? [0, 2] : [0]),
    sharedSegment: Int32Array.from(tied ? [0, segmentCount - 1] : []),
    layers: Math.ceil(layers / kinds),
  };
}

/** The block that looks words up: its only input is the shared table, tensor 0. */
function sharedTable(elements: number): Block {
  const factors: FactorRule = { factors: [{ size: elements, kind: 'lookup' }], inputs: [[[0]]], outputs: [] };
  return {
    kind: 'lookup',
    nodes: new Int32Array(0),
    inputs: Int32Array.of(0),
    outputs: new Int32Array(0),
    factors,
    factorAxis: new Uint8Array(1),
    flop: 0,
    gradInputFlop: 0,
    gradWeightFlop: 0,
    touchedElements: 0,
    saved: new Int32Array(0),
    extraSavedBytes: 0,
    causal: false,
  };
}

interface Sizes {
  readonly kinds: readonly number[];
  readonly hidden: number;
  readonly vocabulary: number;
  readonly sequenceLength: number;
  readonly experts: number;
  readonly phase: Phase;
  readonly cluster: Cluster;
  readonly shardings: number;
}

function syntheticCosts(sizes: Sizes): CostProvider {
  const tables = new Map<string, ClassCosts>();
  const { shardings } = sizes;
  return {
    // As many as asked for, the usual one in their middle.
    ...(shardings > 1
      ? {
          leannesses: ({ tp }) =>
            tp === 1 ? [0] : Array.from({ length: shardings }, (_, i) => i - Math.floor((shardings - 1) / 2)),
        }
      : {}),
    costs(key: ShardKey): ClassCosts {
      const { tp, cp, ep, etp, microbatch, deviceGroup, contextExchange, leanness = 0 } = key;
      const id = [tp, cp, ep, etp, microbatch, deviceGroup, contextExchange, leanness].join();
      const known = tables.get(id);
      if (known !== undefined) return known;
      const table = buildTable(sizes, key);
      tables.set(id, table);
      return table;
    },
  };
}

function buildTable(sizes: Sizes, key: ShardKey): ClassCosts {
  const { hidden, vocabulary, experts, kinds } = sizes;
  const device = sizes.cluster.groups[key.deviceGroup].device;
  const rate = 0.7 * device.achievableFlopPerSec.bf16;
  const tokens = (key.microbatch * sizes.sequenceLength) / key.cp;
  const boundaryBytes = 2 * tokens * hidden;
  const layerParameters = 12 * hidden * hidden;
  // Per class: embedding, head, layer kinds. Multipliers of a layer's quantities.
  const weight = [0.02, vocabulary / (12 * hidden), ...kinds];
  const isLayer = [0, 0, ...kinds.map(() => 1)];
  const expertShare = experts > 1 ? 8 / 12 : 0;
  const column = (f: (k: number) => number): Float64Array => Float64Array.from(weight, (_, k) => f(k));
  const forward = column((k) => (2 * tokens * layerParameters * weight[k]) / key.tp);
  // A leaner sharding has less to do on each rank and more to exchange, and keeps less.
  const { leanness = 0 } = key;
  const forwardSec = column((k) => ((1 - 0.02 * leanness) * forward[k]) / rate + 5e-6);
  const tp = column((k) =>
    isLayer[k] && key.tp > 1 ? (1.5 ** leanness * 2 * boundaryBytes * (key.tp - 1)) / key.tp / 3e11 : 0,
  );
  const exchanges = key.contextExchange === 'ring' ? key.cp - 1 : 4 / key.cp;
  const cp = column((k) => (isLayer[k] && key.cp > 1 ? (boundaryBytes * exchanges) / 2e11 : 0));
  const ep = column((k) => (isLayer[k] && key.ep > 1 ? (2 * boundaryBytes) / 4e10 : 0));
  const savedAll = column(
    (k) => (0.6 ** leanness * boundaryBytes * (isLayer[k] ? 17 * weight[k] : 1)) / key.tp,
  );
  const tableParameters = (vocabulary * hidden) / key.tp;
  const none = column(() => 0);
  const train = sizes.phase === 'train';
  return {
    key,
    tpLeavesDomain: false,
    forwardSec,
    backwardInputSec: column((k) => forwardSec[k]),
    backwardWeightSec: column((k) => forwardSec[k]),
    kernelSec: KERNEL_KINDS.map((kind) =>
      kind === 'gemm' ? column((k) => (train ? 3 : 1) * forwardSec[k]) : none,
    ),
    matrixSec: column((k) => (train ? 2.1 : 0.7) * forwardSec[k]),
    tpForwardSec: tp,
    tpBackwardSec: tp,
    tpKindSec: TP_KINDS.map((kind) => (kind === 'allReduce' ? column((k) => (train ? 2 : 1) * tp[k]) : none)),
    cpForwardSec: cp,
    cpBackwardSec: cp,
    epForwardSec: ep,
    epBackwardSec: ep,
    recomputeSec: [
      none,
      column((k) => (isLayer[k] ? 0.1 * forwardSec[k] : 0)),
      column((k) => (isLayer[k] ? forwardSec[k] + tp[k] : 0)),
    ],
    savedBytes: [
      savedAll,
      column((k) => (isLayer[k] ? 0.6 : 1) * savedAll[k]),
      column((k) => (isLayer[k] ? boundaryBytes / key.tp : savedAll[k])),
    ],
    transientBytes: [0, 1, 2].map((policy) =>
      column((k) =>
        k === 1
          ? (8 * tokens * vocabulary) / key.tp
          : policy === 2
            ? savedAll[k]
            : (4 * boundaryBytes) / key.tp,
      ),
    ),
    denseParameters: column((k) =>
      isLayer[k] ? (layerParameters * weight[k] * (1 - expertShare)) / key.tp : tableParameters,
    ),
    expertParameters: column((k) =>
      isLayer[k] ? (layerParameters * weight[k] * expertShare * experts) / (key.ep * key.etp) : 0,
    ),
    cacheBytes: column((k) => (sizes.phase === 'inference' && isLayer[k] ? (2 * boundaryBytes) / key.tp : 0)),
    forwardFlop: forward,
    backwardFlop: column((k) => 2 * forward[k]),
    memoryTrafficBytes: column((k) => 3 * savedAll[k]),
    networkBytes: column((k) => (tp[k] + cp[k] + ep[k]) * 2e11),
    cutBytes: new Float64Array(100000).fill(boundaryBytes / key.tp),
  };
}

/** A legal candidate with the given decisions; devices not named go to dpShard, cuts are balanced by forward time. */
export function syntheticCandidate(problem: PlanProblem, given: Partial<Candidate> = {}): Candidate {
  const tp = given.tp ?? 1;
  const pp = given.pp ?? 1;
  const cp = given.cp ?? 1;
  const vpp = given.vpp ?? 1;
  const dpReplicate = given.dpReplicate ?? 1;
  const dpShard = given.dpShard ?? problem.devices / (tp * pp * cp * dpReplicate);
  const key = {
    tp,
    cp,
    ep: given.ep ?? 1,
    etp: given.etp ?? 1,
    microbatch: given.microbatch ?? 1,
    deviceGroup: 0,
    contextExchange: given.contextExchange ?? ('ring' as const),
  };
  const { segmentClass, classCount } = problem.segmentation;
  const costs = problem.costs.costs(key);
  const candidate: Candidate = {
    dpReplicate,
    dpShard,
    tp,
    pp,
    vpp,
    cp,
    ep: key.ep,
    etp: key.etp,
    zeroStage: given.zeroStage ?? 1,
    schedule: given.schedule ?? (vpp > 1 ? 'interleaved' : '1f1b'),
    microbatch: key.microbatch,
    axisOrder: given.axisOrder ?? 'tp-cp-dp-pp',
    contextExchange: key.contextExchange,
    ...(given.leanness === undefined ? {} : { leanness: given.leanness }),
    recompute: given.recompute ?? new Uint8Array(classCount),
    stageStart:
      given.stageStart ??
      balancedCuts(
        Array.from(segmentClass, (k) => costs.forwardSec[k]),
        pp * vpp,
      ),
  };
  const fault = checkCandidate(problem, candidate);
  if (fault !== null) throw new Error(`internal: synthetic candidate: ${fault}`);
  return candidate;
}

/** A random legal candidate: degrees, ZeRO, schedule, recompute vector and cuts (balanced, then jittered). */
export function randomCandidate(problem: PlanProblem, random: Random): Candidate {
  const { segmentCount, classCount } = problem.segmentation;
  for (let attempt = 0; attempt < 10000; attempt++) {
    const power = (limit: number): number => 2 ** random.int(Math.floor(Math.log2(limit)) + 1);
    const tp = random.pick(problem.tpChoices);
    const cp = random.next() < 0.7 ? 1 : power(problem.maxCp);
    const pp = random.next() < 0.1 ? 1 : power(Math.min(32, segmentCount));
    const vpp = problem.phase === 'train' && pp > 1 && random.next() < 0.4 ? 2 + random.int(3) : 1;
    const dp = problem.devices / (tp * cp * pp);
    if (dp < 1 || !Number.isInteger(dp) || pp * vpp > segmentCount) continue;
    const dpReplicate = random.next() < 0.7 ? 1 : power(dp);
    const choices = problem.costs.leannesses?.({ tp, cp, ep: 1, etp: 1 }) ?? [0];
    const ep = problem.experts > 1 ? power(Math.min(problem.experts, dp * cp * tp)) : 1;
    const candidate = {
      dpReplicate,
      dpShard: dp / dpReplicate,
      tp,
      pp,
      vpp,
      cp,
      ep,
      etp: 1,
      zeroStage: random.int(4) as 0 | 1 | 2 | 3,
      schedule: vpp > 1 ? ('interleaved' as const) : randomSchedule(pp, problem.phase, random),
      microbatch: power(8),
      axisOrder: random.next() < 0.5 ? ('tp-cp-dp-pp' as const) : ('tp-cp-pp-dp' as const),
      contextExchange: cp > 1 && random.next() < 0.5 ? ('all-to-all' as const) : ('ring' as const),
      ...(choices.length > 1 ? { leanness: random.pick(choices) } : {}),
      recompute: Uint8Array.from({ length: classCount }, () => random.int(3)),
      stageStart: jitteredCuts(segmentCount, pp * vpp, random),
    };
    if (
      Number.isInteger(microbatchesOf(candidate, problem.globalBatch)) &&
      checkCandidate(problem, candidate) === null
    )
      return candidate;
  }
  throw new Error('internal: no legal candidate found in 10000 tries');
}

/** A synthetic problem whose costs follow its devices, so that it can be priced at other clocks. */
export function cappableProblem(options: SyntheticOptions): PlanProblem {
  const problem = syntheticProblem(options);
  const { costs } = problem;
  return {
    ...problem,
    costs: {
      costs: (key) => costs.costs(key),
      repriced: (cluster) => syntheticProblem({ ...options, cluster }).costs,
    },
  };
}

function randomSchedule(pp: number, phase: Phase, random: Random): ScheduleKind {
  const x = random.next();
  if (x < 0.15) return 'gpipe';
  return x < 0.4 && pp > 1 && phase === 'train' ? 'zb-h1' : '1f1b';
}

function jitteredCuts(segmentCount: number, stages: number, random: Random): Int32Array {
  const start = balancedCuts(new Float64Array(segmentCount).fill(1), stages);
  for (let v = 1; v < stages; v++) {
    const moved = start[v] + random.int(3) - 1;
    if (moved > start[v - 1] && moved < start[v + 1]) start[v] = moved;
  }
  return start;
}
