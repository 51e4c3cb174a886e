/**
 * Which stage each node of a model runs on. Stages are runs of the execution order, so values only flow forward. What a
 * plan does not name (constants, shape arithmetic, dead nodes) runs where it is first needed.
 */
import type { Plan } from '../../plan/types.js';
import { tensorBytes } from '../../model/index.js';
import { workOf } from '../../ops/defaults.js';
import { PartitionError } from '../../util/errors.js';
import { instanceOf, SymbolSizes } from './facts.js';
import type { SplitFacts } from './facts.js';

/** Stages as the plan has them, virtual ones counted on their own. */
export function stagesOfPlan(facts: SplitFacts, plan: Plan, where: string): Int32Array {
  const stageByName = new Map<string, number>();
  for (const stage of plan.stages)
    for (const name of stage.ops) if (!stageByName.has(name)) stageByName.set(name, stage.virtualStage);
  const named = new Int32Array(facts.nodes.length).fill(-1);
  const calls = callStages(plan);
  let found = 0;
  facts.nodes.forEach((node, n) => {
    const own = node.proto.name ?? '';
    const stage =
      node.inferred === null
        ? calls(own === '' ? (node.proto.opType ?? '') : own)
        : stageByName.get(own === '' ? `#${String(node.index)}` : own);
    if (stage === undefined) return;
    named[n] = stage;
    found++;
  });
  if (found === 0 && plan.stages.some((stage) => stage.ops.length > 0))
    throw new PartitionError(
      'usage',
      'the plan names no node of this model',
      where,
      'give the model that the plan was made from',
    );
  return settle(facts, named);
}

/** The earliest stage of the operators inside a call of a local function, named `call/operator`. */
function callStages(plan: Plan): (call: string) => number | undefined {
  return (call) => {
    for (const stage of plan.stages)
      if (stage.ops.some((name) => name.startsWith(`${call}/`))) return stage.virtualStage;
    return undefined;
  };
}

/** Forward: nothing runs before what it reads. Backward: what is not named runs with its first reader. */
function settle(facts: SplitFacts, named: Int32Array): Int32Array {
  const { nodes, producer } = facts;
  const stageOf = new Int32Array(nodes.length);
  nodes.forEach((node, n) => {
    let stage = Math.max(named[n], 0);
    for (const name of node.reads) {
      const from = producer.get(name);
      if (from !== undefined && stageOf[from] > stage) stage = stageOf[from];
    }
    stageOf[n] = stage;
  });
  const firstReader = new Int32Array(nodes.length).fill(-1);
  for (let n = nodes.length - 1; n >= 0; n--) {
    if (named[n] < 0 && firstReader[n] > stageOf[n]) stageOf[n] = firstReader[n];
    for (const name of nodes[n].reads) {
      const from = producer.get(name);
      if (from !== undefined && (firstReader[from] < 0 || stageOf[n] < firstReader[from]))
        firstReader[from] = stageOf[n];
    }
  }
  return stageOf;
}

/** How far from an even share of the work a cut may lie to carry fewer bytes. */
const SLACK = 0.15;
/** A byte of weights counts as this much work: decoding reads each weight once per token. */
const FLOP_PER_BYTE = 4;

/**
 * Stages of about equal work, cut where the fewest bytes cross.
 *
 * @throws PartitionError infeasible when the model has fewer nodes than stages
 */
export function balancedStages(facts: SplitFacts, stages: number, where: string): Int32Array {
  const { nodes } = facts;
  const free = settle(facts, new Int32Array(nodes.length).fill(-1));
  if (stages === 1) return free;
  const sizes = new SymbolSizes();
  const work = new Float64Array(nodes.length);
  const weighed = new Set<string>();
  const anchored: number[] = [];
  nodes.forEach((node, n) => {
    if (facts.varies[n] === 1) anchored.push(n);
    if (node.inferred !== null) {
      const flop = workOf(node.inferred.rule, instanceOf(facts, node.inferred, sizes)).flop;
      if (Number.isFinite(flop)) work[n] += flop;
    }
    for (const name of node.reads) {
      const tensor = facts.initializers.get(name);
      if (tensor === undefined || weighed.has(name)) continue;
      weighed.add(name);
      work[n] += FLOP_PER_BYTE * tensorBytes(tensor);
    }
  });
  if (anchored.length < stages)
    throw new PartitionError(
      'infeasible',
      `${String(stages)} stages need as many operators, the model has ${String(anchored.length)}`,
      where,
      'fewer --stages',
    );
  const crossing = crossingBytes(facts, sizes);
  const total = work.reduce((a, b) => a + b, 0);
  const named = new Int32Array(nodes.length).fill(-1);
  let done = 0;
  let at = 0;
  for (let stage = 0; stage < stages; stage++) {
    const left = stages - stage - 1;
    let end = anchored.length;
    if (left > 0) {
      const goal = (total * (stage + 1)) / stages;
      const slack = (SLACK * total) / stages;
      let best = Infinity;
      let sum = done;
      for (let k = at; k < anchored.length - left; k++) {
        const from = k === at ? (at === 0 ? 0 : anchored[at - 1] + 1) : anchored[k - 1] + 1;
        for (let n = from; n <= anchored[k]; n++) sum += work[n];
        const off = Math.abs(sum - goal);
        // Inside the slack only bytes count; outside of it distance does, far above any bytes.
        const price = off <= slack ? crossing[anchored[k]] : 1e18 * (1 + off / total);
        if (price >= best) continue;
        best = price;
        end = k + 1;
      }
    }
    for (let n = at === 0 ? 0 : anchored[at - 1] + 1; n <= anchored[end - 1]; n++) done += work[n];
    for (let k = at; k < end; k++) named[anchored[k]] = stage;
    at = end;
  }
  return settle(facts, named);
}

/** Bytes (and a little per tensor) alive after each node; infinite where something that is no tensor is. */
function crossingBytes(facts: SplitFacts, sizes: SymbolSizes): Float64Array {
  const { nodes, producer } = facts;
  const last = new Int32Array(nodes.length).fill(-1);
  nodes.forEach((node, n) => {
    for (const name of node.reads) {
      const from = producer.get(name);
      if (from !== undefined) last[from] = n;
    }
  });
  const change = new Float64Array(nodes.length + 1);
  nodes.forEach((node, n) => {
    if (last[n] <= n) return;
    let bytes = 0;
    for (const name of node.writes) {
      const type = facts.type(name);
      if (type?.kind !== 'tensor') bytes += 1e15;
      else bytes += 1000 + 4 * (sizes.shape(type.shape) ?? [1e6]).reduce((a, b) => a * b, 1);
    }
    change[n] += bytes;
    change[last[n]] -= bytes;
  });
  const alive = new Float64Array(nodes.length);
  let sum = 0;
  for (let n = 0; n < nodes.length; n++) alive[n] = sum += change[n];
  return alive;
}
