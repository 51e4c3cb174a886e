/**
 * The plain judge of plans. It shares no code with solvers, simulator or strategies and takes no short cut: it counts
 * ops, walks every edge, enumerates every rank and adds up every parameter's shard.
 */
import type { Cluster } from '../cluster/types.js';
import type { Graph, Segmentation } from '../graph/types.js';
import { TensorRole } from '../graph/types.js';
import { validateMemory } from './validateMemory.js';
import type { Plan } from './types.js';

/** Problems listed per kind of fault before the rest is only counted. */
const LISTED = 5;
/** Relative difference that sums of rounded numbers may show. */
const ROUNDING = 1e-6;

/**
 * Everything wrong with a plan for this model and cluster, one sentence each; empty when it is sound.
 *
 * @param segmentation the planning chain, when at hand: stages are then also checked against its segments
 */
export function validatePlan(
  plan: Plan,
  graph: Graph,
  cluster: Cluster,
  segmentation?: Segmentation,
): string[] {
  const problems: string[] = [];
  if (plan.model.digest !== graph.digest)
    problems.push('the plan was made for another model (digest differs)');
  checkDegrees(plan, cluster, problems);
  checkMesh(plan, problems);
  checkBatch(plan, problems);
  const stageOfNode = checkStages(plan, graph, problems);
  if (stageOfNode !== null) checkOrder(graph, stageOfNode, problems);
  if (segmentation !== undefined) checkSegments(plan, segmentation, problems);
  const sound = checkShardings(plan, graph, problems);
  checkPrediction(plan, problems);
  checkFrequency(plan, problems);
  if (stageOfNode !== null && sound) validateMemory(plan, graph, cluster, stageOfNode, problems);
  return problems;
}

function checkDegrees(plan: Plan, cluster: Cluster, problems: string[]): void {
  const d = plan.degrees;
  const product = d.dpReplicate * d.dpShard * d.cp * d.tp * d.pp;
  if (d.dp !== d.dpReplicate * d.dpShard)
    problems.push(`dp = ${d.dp} is not dpReplicate * dpShard = ${d.dpReplicate * d.dpShard}`);
  if (product !== plan.cluster.devices)
    problems.push(`the degrees multiply to ${product}, the plan speaks of ${plan.cluster.devices} devices`);
  if (plan.cluster.devices > cluster.deviceCount)
    problems.push(`${plan.cluster.devices} devices planned, the cluster has ${cluster.deviceCount}`);
  const stage = d.dp * d.cp * d.tp;
  if (stage % (d.ep * d.etp) !== 0)
    problems.push(`ep * etp = ${d.ep * d.etp} does not divide the ${stage} ranks of a stage`);
}

/** Clocks are there for every microbatch of every task, once, and save energy. */
function checkFrequency({ frequency, degrees, microbatches }: Plan, problems: string[]): void {
  if (frequency === undefined) return;
  const seen = new Set<string>();
  for (const { virtualStage, work, runs } of frequency.tasks) {
    const what = `clocks of ${work} of stage ${virtualStage}`;
    if (seen.has(what)) problems.push(`${what} are given twice`);
    seen.add(what);
    if (virtualStage >= degrees.pp * degrees.vpp) problems.push(`${what}: there is no such stage`);
    const count = runs.reduce((sum, run) => sum + run.microbatches, 0);
    if (count !== microbatches)
      problems.push(`${what} are for ${count} microbatches, the plan has ${microbatches}`);
    if (runs.some((run) => run.clockShare <= 0)) problems.push(`${what} stop it`);
  }
  for (let v = 0; v < degrees.pp * degrees.vpp; v++)
    if (!seen.has(`clocks of forward of stage ${v}`)) problems.push(`no clocks for forward of stage ${v}`);
  if (frequency.energyJoulesPerStep > frequency.fullEnergyJoulesPerStep * (1 + ROUNDING))
    problems.push('the clocks take more energy than full clocks');
  if (frequency.stepTimeSec < frequency.fullStepTimeSec * (1 - ROUNDING))
    problems.push('the clocks are faster than full clocks');
}

/** Axes are the degrees, and coordinates reach every rank exactly once. */
function checkMesh(plan: Plan, problems: string[]): void {
  const d = plan.degrees;
  const stage = d.dp * d.cp * d.tp;
  const { axes, expertAxes, rankToDevice } = plan.mesh;
  const sizes: Record<string, number> = {
    tp: d.tp,
    cp: d.cp,
    dpShard: d.dpShard,
    dpReplicate: d.dpReplicate,
    pp: d.pp,
  };
  checkAxes('mesh', axes, sizes, plan.cluster.devices, problems);
  checkAxes(
    'expert mesh',
    expertAxes,
    { etp: d.etp, ep: d.ep, edp: stage / (d.ep * d.etp) },
    stage,
    problems,
  );
  if (rankToDevice === null) return;
  const seen = new Set(rankToDevice);
  if (rankToDevice.length !== plan.cluster.devices || seen.size !== rankToDevice.length)
    problems.push('rankToDevice does not give every rank a device of its own');
}

function checkAxes(
  what: string,
  axes: readonly { readonly name: string; readonly size: number; readonly stride: number }[],
  sizes: Readonly<Record<string, number>>,
  ranks: number,
  problems: string[],
): void {
  const expected = Object.keys(sizes).sort().join(', ');
  const found = axes
    .map((a) => a.name)
    .sort()
    .join(', ');
  if (found !== expected) {
    problems.push(`the ${what} has axes ${found}, expected ${expected}`);
    return;
  }
  for (const axis of axes)
    if (axis.size !== sizes[axis.name])
      problems.push(`${what} axis ${axis.name} has size ${axis.size}, expected ${sizes[axis.name]}`);
  const count = axes.reduce((product, axis) => product * axis.size, 1);
  if (count !== ranks) {
    problems.push(`the ${what} holds ${count} ranks, expected ${ranks}`);
    return;
  }
  const reached = new Uint8Array(ranks);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let rank = 0;
    for (const axis of axes) {
      rank += (rest % axis.size) * axis.stride;
      rest = Math.floor(rest / axis.size);
    }
    if (rank >= ranks || reached[rank] !== 0) {
      problems.push(`the strides of the ${what} do not reach every rank exactly once (rank ${rank})`);
      return;
    }
    reached[rank] = 1;
  }
}

function checkBatch(plan: Plan, problems: string[]): void {
  const { degrees: d, microbatch, microbatches, globalBatch } = plan;
  if (d.dp * microbatch * microbatches !== globalBatch)
    problems.push(
      `dp * microbatch * microbatches = ${d.dp * microbatch * microbatches}, the global batch is ${globalBatch}`,
    );
  if (plan.schedule === 'interleaved') {
    if (d.vpp < 2 || d.pp < 2) problems.push(`interleaving with pp = ${d.pp} and vpp = ${d.vpp}`);
    if (microbatches % d.pp !== 0)
      problems.push(`interleaving with ${microbatches} microbatches, which pp = ${d.pp} does not divide`);
  } else if (d.vpp !== 1) problems.push(`vpp = ${d.vpp} under schedule ${plan.schedule}`);
  if (plan.schedule === 'zb-h1' && d.pp < 2) problems.push(`zero-bubble schedule with pp = ${d.pp}`);
  if (plan.phase === 'inference' && (plan.schedule === 'zb-h1' || plan.schedule === 'interleaved'))
    problems.push(`schedule ${plan.schedule} in inference, which runs no backward pass`);
  if (plan.contextExchange === 'all-to-all' && d.cp === 1)
    problems.push('an all-to-all context exchange with cp = 1');
}

/** Virtual stage per node; null when some op is in no stage, in two, or unknown. */
function checkStages(plan: Plan, graph: Graph, problems: string[]): Int32Array | null {
  const { degrees: d, stages } = plan;
  if (stages.length !== d.pp * d.vpp)
    problems.push(`${stages.length} virtual stages, expected pp * vpp = ${d.pp * d.vpp}`);
  const nodeOf = nodesByName(graph);
  const stageOf = new Int32Array(graph.nodeCount).fill(-1);
  const faults = new Faults(problems);
  stages.forEach((stage, v) => {
    if (stage.virtualStage !== v)
      problems.push(`stage ${v} calls itself virtual stage ${stage.virtualStage}`);
    if (stage.pipelineRank !== v % d.pp)
      problems.push(`virtual stage ${v} runs on pipeline rank ${stage.pipelineRank}, expected ${v % d.pp}`);
    const from = v === 0 ? 0 : stages[v - 1].lastSegment;
    if (stage.firstSegment !== from || stage.lastSegment < stage.firstSegment)
      problems.push(
        `virtual stage ${v} holds segments ${stage.firstSegment} to ${stage.lastSegment}, expected ${from} on`,
      );
    for (const op of stage.ops) {
      const node = nodeOf.get(op);
      if (node === undefined) faults.add(`op ${op} of stage ${v} is not in the model`);
      else if (stageOf[node] >= 0) faults.add(`op ${op} is in stages ${stageOf[node]} and ${v}`);
      else stageOf[node] = v;
    }
  });
  for (let n = 0; n < graph.nodeCount; n++)
    if (stageOf[n] < 0) faults.add(`op ${graph.nodeName[n] || `#${n}`} is in no stage`);
  return faults.finish() ? null : stageOf;
}

/** A name used once is the node's; any node can also be called `#<id>`. */
function nodesByName(graph: Graph): Map<string, number> {
  const nodeOf = new Map<string, number>();
  const repeated = new Set<string>();
  graph.nodeName.forEach((name, id) => {
    if (nodeOf.has(name)) repeated.add(name);
    nodeOf.set(name, id);
  });
  for (const name of repeated) nodeOf.delete(name);
  for (let id = 0; id < graph.nodeCount; id++) if (!nodeOf.has(`#${id}`)) nodeOf.set(`#${id}`, id);
  return nodeOf;
}

/** Every tensor is made no later than it is used. */
function checkOrder(graph: Graph, stageOf: Int32Array, problems: string[]): void {
  const faults = new Faults(problems);
  for (let n = 0; n < graph.nodeCount; n++)
    for (let i = graph.inputStart[n]; i < graph.inputStart[n + 1]; i++) {
      const tensor = graph.inputTensor[i];
      const producer = tensor < 0 ? -1 : graph.producer[tensor];
      if (producer >= 0 && stageOf[producer] > stageOf[n])
        faults.add(
          `stage ${stageOf[n]} reads ${graph.tensorName[tensor]}, which only stage ${stageOf[producer]} makes`,
        );
    }
  faults.finish();
}

function checkSegments(plan: Plan, segmentation: Segmentation, problems: string[]): void {
  const last = plan.stages[plan.stages.length - 1]?.lastSegment;
  if (last !== segmentation.segmentCount)
    problems.push(`stages end at segment ${last}, the model has ${segmentation.segmentCount}`);
  const counts = new Map<number, number>();
  for (const id of segmentation.segmentClass) counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const c of plan.classes)
    if ((counts.get(c.id) ?? 0) !== c.segments)
      problems.push(`class ${c.id} has ${counts.get(c.id) ?? 0} segments, the plan says ${c.segments}`);
  if (plan.classes.length !== counts.size)
    problems.push(`${plan.classes.length} classes planned, the model has ${counts.size}`);
}

/** True when every sharding is legal. */
function checkShardings(plan: Plan, graph: Graph, problems: string[]): boolean {
  const tensorOf = new Map<string, number>();
  graph.tensorName.forEach((name, id) => tensorOf.set(name, id));
  const faults = new Faults(problems);
  const seen = new Set<string>();
  for (const s of plan.shardings) {
    const id = tensorOf.get(s.tensor);
    if (id === undefined) {
      faults.add(`sharded tensor ${s.tensor} is not in the model`);
      continue;
    }
    if (seen.has(s.tensor)) faults.add(`tensor ${s.tensor} is sharded twice`);
    seen.add(s.tensor);
    const shape = Array.from(graph.shapeDim.subarray(graph.shapeStart[id], graph.shapeStart[id + 1]));
    if (shape.join() !== s.shape.join())
      faults.add(`tensor ${s.tensor} has shape [${shape.join(', ')}], the plan says [${s.shape.join(', ')}]`);
    if (s.role === 'parameter' && graph.tensorRole[id] !== (TensorRole.PARAMETER as number))
      faults.add(`tensor ${s.tensor} is no parameter`);
    checkDims(plan, s, faults);
  }
  return !faults.finish();
}

function checkDims(plan: Plan, s: Plan['shardings'][number], faults: Faults): void {
  if (s.dims.length !== s.shape.length) {
    faults.add(`tensor ${s.tensor} has ${s.shape.length} dimensions, ${s.dims.length} are sharded`);
    return;
  }
  /** Ways in which each axis splits the whole tensor: no more than it has ranks. */
  const ways = new Map<string, number>();
  s.dims.forEach((axes, d) => {
    const copies = s.copies?.[d] ?? 1;
    let parts = 1;
    let ranks = 1;
    for (const name of axes) {
      const degree = plan.degrees[name];
      const split = (ways.get(name) ?? 1) * (axes.length === 1 ? degree / copies : degree);
      ways.set(name, split);
      if (split > degree) faults.add(`axis ${name} splits ${s.tensor} ${split} ways, it has ${degree} ranks`);
      ranks *= degree;
      if (s.role === 'parameter' && (name === 'dp' || name === 'cp'))
        faults.add(`parameter ${s.tensor} is split over ${name}, over which parameters are the same`);
      // Batch dimensions are written at the model's reference batch; the global batch is checked for dp elsewhere.
      if (name !== 'dp') parts *= plan.degrees[name];
    }
    if (ranks % copies !== 0)
      faults.add(`dimension ${d} of ${s.tensor} has ${copies} copies over ${ranks} ranks`);
    parts /= copies;
    const blocks = s.blocks?.[d] ?? 1;
    if (s.shape[d] % blocks !== 0)
      faults.add(`dimension ${d} of ${s.tensor} has ${s.shape[d]} elements, not ${blocks} equal blocks`);
    const unit = s.shape[d] / blocks;
    if (unit % parts === 0) return;
    const announced = plan.warnings.some((w) => w.includes(`of ${unit} split ${parts} ways is padded`));
    if (!announced)
      faults.add(
        `dimension ${d} of ${s.tensor} has ${unit} elements, split ${parts} ways and no padding is announced`,
      );
    else if (parts > unit)
      faults.add(`dimension ${d} of ${s.tensor} has ${unit} elements, fewer than its ${parts} parts`);
  });
}

function checkPrediction(plan: Plan, problems: string[]): void {
  const p = plan.prediction;
  const step = p.stepTimeSec;
  if (!(step > 0)) problems.push(`the predicted step takes ${step} s`);
  const parts = (Object.values(p.breakdown) as number[]).reduce((sum, x) => sum + x, 0);
  if (differs(parts, step))
    problems.push(`the parts of the step add up to ${parts} s, the step takes ${step} s`);
  if (plan.lowerBoundSec > plan.planBoundSec * (1 + ROUNDING))
    problems.push(`lowerBoundSec ${plan.lowerBoundSec} is above planBoundSec ${plan.planBoundSec}`);
  if (plan.planBoundSec > step * (1 + ROUNDING))
    problems.push(`planBoundSec ${plan.planBoundSec} is above the predicted step of ${step} s`);
  const tokens = (plan.globalBatch * plan.sequenceLength) / step;
  if (differs(p.tokensPerSec, tokens))
    problems.push(`${p.tokensPerSec} tokens/s predicted, the step time gives ${tokens}`);
  if (p.hfu < p.mfu * (1 - ROUNDING)) problems.push(`hfu ${p.hfu} is below mfu ${p.mfu}`);
  if (p.memoryPerRank.length !== plan.degrees.pp)
    problems.push(`memory of ${p.memoryPerRank.length} ranks, expected pp = ${plan.degrees.pp}`);
  p.memoryPerRank.forEach((m, r) => {
    const { totalBytes } = m;
    const sum = (Object.values(m) as number[]).reduce((a, b) => a + b, 0) - totalBytes;
    if (differs(sum, totalBytes))
      problems.push(`memory of rank ${r} adds up to ${sum} bytes, the total says ${totalBytes}`);
  });
  if (!p.memoryPerRank.some((m) => !differs(m.totalBytes, p.peakMemoryBytes)))
    problems.push(`peak memory ${p.peakMemoryBytes} is the total of no rank`);
  if (p.peakMemoryBytes > p.memoryCapacityBytes)
    problems.push(`peak memory ${p.peakMemoryBytes} bytes exceeds the capacity ${p.memoryCapacityBytes}`);
}

function differs(a: number, b: number): boolean {
  return Math.abs(a - b) > ROUNDING * Math.max(Math.abs(a), Math.abs(b));
}

/** Collects faults of one kind: lists the first few and counts the rest. */
class Faults {
  private count = 0;

  constructor(private readonly problems: string[]) {}

  add(problem: string): void {
    if (this.count++ < LISTED) this.problems.push(problem);
  }

  /** True when there were any. */
  finish(): boolean {
    if (this.count > LISTED) this.problems.push(`... and ${this.count - LISTED} more of this kind`);
    return this.count > 0;
  }
}
