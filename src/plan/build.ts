/** Writes a plan out of a candidate and its price: names instead of ids, strides instead of orders. */
import { createHash } from 'node:crypto';
import type { Cluster } from '../cluster/types.js';
import { perTrillionTokens } from '../cost/energy.js';
import type { Phase, Precision } from '../cost/types.js';
import type { Graph, Segmentation } from '../graph/types.js';
import type { AxisName } from '../parallel/mesh.js';
import { DEFAULT_AXIS_ORDER, meshOf } from '../parallel/mesh.js';
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import { dataParallel, expertDataParallel, leannessOf, microbatchesOf } from './candidate.js';
import type {
  AxisOrder,
  Candidate,
  MemoryBreakdown,
  Plan,
  PlanDegrees,
  PlanStage,
  TensorSharding,
  TimeBreakdown,
} from './types.js';

/** The price of a candidate, as an `Estimate` gives it. */
export interface PlanPrice {
  readonly stepTimeSec: number;
  readonly breakdown: TimeBreakdown;
  readonly tokensPerSec: number;
  readonly mfu: number;
  readonly hfu: number;
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
  readonly rankCount: number;
  readonly memory: readonly MemoryBreakdown[];
  readonly energyJoulesPerStep: number;
  readonly costPerStep: number;
  readonly planBoundSec: number;
}

/** What was planned for; a `PlanProblem` fits. */
export interface PlanSetting {
  readonly segmentation: Segmentation;
  readonly cluster: Cluster;
  readonly devices: number;
  readonly phase: Phase;
  readonly precision: Precision;
  readonly stack: { readonly name: string };
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly forwardFlopPerSequence: number;
  readonly backwardFlopPerSequence: number;
  readonly parameters: number;
}

export interface PlanOrigin {
  readonly modelName: string;
  readonly objective: string;
  /** Per class: how its operators are split, in words. */
  readonly classStrategies: readonly string[];
  /** Whether activations between tensor-parallel blocks are split along the sequence. */
  readonly sequenceParallel?: boolean;
  readonly shardings: readonly TensorSharding[];
  /** 'causal' when masked attention was counted half. */
  readonly flopConvention: 'causal' | 'full';
  readonly lowerBoundSec: number;
  readonly optimalInSpace: boolean;
  readonly space: string;
  readonly foundBy: {
    readonly method: string;
    readonly member: string;
    readonly seed: number;
    readonly evaluations: number;
  };
  /** Measured numbers that it was priced with, if any. */
  readonly calibration?: { readonly name: string; readonly digest: string } | undefined;
  readonly warnings: readonly string[];
}

export function buildPlan(
  candidate: Candidate,
  price: PlanPrice,
  graph: Graph,
  setting: PlanSetting,
  origin: PlanOrigin,
): Plan {
  const { segmentation, cluster } = setting;
  const train = setting.phase === 'train';
  const flopPerSequence = setting.forwardFlopPerSequence + (train ? setting.backwardFlopPerSequence : 0);
  const priced = cluster.groups.some((group) => group.pricePerDeviceHourUsd > 0);
  const costPerStep = priced ? price.costPerStep : null;
  const degrees = planDegrees(candidate);
  const step = price.stepTimeSec;
  // Rounding aside, a bound above the step is a fault that validation must see.
  const aboveByRounding = origin.lowerBoundSec > step && origin.lowerBoundSec <= step * (1 + 1e-9);
  const lowerBoundSec = aboveByRounding ? step : origin.lowerBoundSec;
  return {
    schemaVersion: 1,
    model: {
      name: origin.modelName,
      digest: graph.digest,
      parameters: setting.parameters,
      layers: segmentation.layers,
    },
    cluster: { name: cluster.name, devices: setting.devices, digest: clusterDigest(cluster) },
    phase: setting.phase,
    precision: setting.precision,
    stack: setting.stack.name,
    ...(origin.calibration === undefined
      ? {}
      : { calibration: { name: origin.calibration.name, digest: origin.calibration.digest } }),
    objective: origin.objective,
    sequenceLength: setting.sequenceLength,
    globalBatch: setting.globalBatch,
    microbatch: candidate.microbatch,
    microbatches: microbatchesOf(candidate, setting.globalBatch),
    degrees,
    mesh: planMesh(candidate),
    zeroStage: candidate.zeroStage,
    schedule: candidate.schedule,
    ...(candidate.cp > 1 ? { contextExchange: candidate.contextExchange } : {}),
    ...(candidate.tp > 1 && origin.sequenceParallel !== undefined
      ? { sequenceParallel: origin.sequenceParallel }
      : {}),
    ...(leannessOf(candidate) !== 0 ? { leanness: leannessOf(candidate) } : {}),
    stages: planStages(candidate, graph, segmentation),
    classes: Array.from({ length: segmentation.classCount }, (_, id) => ({
      id,
      segments: segmentation.classSize[id],
      recompute: RECOMPUTE_POLICIES[candidate.recompute[id]],
      strategy: origin.classStrategies[id] ?? '',
    })),
    shardings: origin.shardings.map((s) => ({
      ...s,
      shape: [...s.shape],
      dims: s.dims.map((axes) => [...axes]),
      ...(s.blocks === undefined ? {} : { blocks: [...s.blocks] }),
      ...(s.copies === undefined ? {} : { copies: [...s.copies] }),
    })),
    prediction: {
      stepTimeSec: step,
      breakdown: { ...price.breakdown },
      tokensPerSec: price.tokensPerSec,
      mfu: price.mfu,
      hfu: price.hfu,
      modelFlopPerStep: flopPerSequence * setting.globalBatch,
      flopConvention: origin.flopConvention,
      memoryPerRank: price.memory.slice(0, price.rankCount).map((m) => ({ ...m })),
      peakMemoryBytes: price.peakMemoryBytes,
      memoryCapacityBytes: price.memoryCapacityBytes,
      energyJoulesPerStep: price.energyJoulesPerStep,
      costPerStep,
      ...(setting.sequenceLength > 1
        ? {
            perTrillionTokens: perTrillionTokens(
              price.energyJoulesPerStep,
              costPerStep,
              setting.globalBatch * setting.sequenceLength,
              cluster.carbonKgPerKwh,
            ),
          }
        : {}),
    },
    lowerBoundSec,
    // A bound for every plan of the space also binds these degrees.
    planBoundSec: Math.max(lowerBoundSec, Math.min(price.planBoundSec, step)),
    optimalInSpace: origin.optimalInSpace,
    space: origin.space,
    foundBy: { ...origin.foundBy },
    warnings: [...origin.warnings, ...paddingNotes(origin.shardings, degrees)],
  };
}

export function planDegrees(c: Candidate): PlanDegrees {
  const { dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp } = c;
  return { dp: dataParallel(c), dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp };
}

const AXES: Readonly<Record<AxisOrder, readonly AxisName[]>> = {
  'tp-cp-dp-pp': DEFAULT_AXIS_ORDER,
  'tp-cp-pp-dp': ['tp', 'cp', 'pp', 'dpShard', 'dpReplicate'],
};

function planMesh(c: Candidate): Plan['mesh'] {
  const axes = meshOf(c, AXES[c.axisOrder]).axes.map((axis) => ({ ...axis }));
  const expertAxes = [
    { name: 'etp' as const, size: c.etp, stride: 1 },
    { name: 'ep' as const, size: c.ep, stride: c.etp },
    { name: 'edp' as const, size: expertDataParallel(c), stride: c.etp * c.ep },
  ];
  return { axes, expertAxes, rankToDevice: null };
}

function planStages(c: Candidate, graph: Graph, segmentation: Segmentation): PlanStage[] {
  const names = opNames(graph);
  const { blocks, blockStart } = segmentation;
  return Array.from({ length: c.pp * c.vpp }, (_, v) => {
    const firstSegment = c.stageStart[v];
    const lastSegment = c.stageStart[v + 1];
    const ops: string[] = [];
    for (let b = blockStart[firstSegment]; b < blockStart[lastSegment]; b++)
      for (const node of blocks[b].nodes) ops.push(names[node]);
    return { virtualStage: v, pipelineRank: v % c.pp, firstSegment, lastSegment, ops };
  });
}

/** Name of every node as plans write it: its own, or `#<node id>` where it has none or shares it with another. */
export function opNames(graph: Graph): string[] {
  const count = new Map<string, number>();
  for (const name of graph.nodeName) count.set(name, (count.get(name) ?? 0) + 1);
  return graph.nodeName.map((name, id) => (name === '' || count.get(name)! > 1 ? `#${id}` : name));
}

/** A dimension that its axes do not divide is padded; said once per size and split, with the first tensor concerned. */
function paddingNotes(shardings: readonly TensorSharding[], degrees: PlanDegrees): string[] {
  const notes = new Map<string, { tensor: string; count: number; text: string }>();
  for (const s of shardings)
    s.dims.forEach((axes, d) => {
      let parts = 1;
      for (const name of axes) if (name !== 'dp') parts *= degrees[name];
      parts /= s.copies?.[d] ?? 1;
      const unit = s.shape[d] / (s.blocks?.[d] ?? 1);
      if (parts === 1 || unit % parts === 0) return;
      const padded = Math.ceil(unit / parts) * parts;
      const text = `a dimension of ${unit} split ${parts} ways is padded to ${padded}`;
      const known = notes.get(text);
      if (known === undefined) notes.set(text, { tensor: s.tensor, count: 1, text });
      else known.count++;
    });
  return [...notes.values()].map(
    (n) => `${n.text} (${n.tensor}${n.count > 1 ? ` and ${n.count - 1} more` : ''})`,
  );
}

/** SHA-256 of everything of a cluster that prices depend on. */
export function clusterDigest(cluster: Cluster): string {
  const { name, groups, deviceCount, levels, pue, carbonKgPerKwh } = cluster;
  const facts = canonical({ name, groups, deviceCount, levels, pue, carbonKgPerKwh });
  return createHash('sha256').update(facts).digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : item,
  );
}
