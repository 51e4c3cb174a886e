/** Adds up parameters, gradients and optimizer state tensor by tensor and compares with what a plan predicts. */
import type { Cluster } from '../cluster/types.js';
import type { Graph } from '../graph/types.js';
import { TensorRole } from '../graph/types.js';
import type { Plan } from './types.js';

/** Relative difference allowed between the predicted and the added-up parameter bytes of a rank. */
const TOLERANCE = 0.01;

/**
 * @param stageOfNode virtual stage per node
 * @param problems what is found is appended
 */
export function validateMemory(
  plan: Plan,
  graph: Graph,
  cluster: Cluster,
  stageOfNode: Int32Array,
  problems: string[],
): void {
  const { pp } = plan.degrees;
  const capacity = Math.max(...cluster.groups.map((group) => group.device.memoryBytes));
  if (plan.prediction.memoryCapacityBytes > capacity)
    problems.push(
      `memory capacity ${plan.prediction.memoryCapacityBytes}, the largest device has ${capacity} bytes`,
    );
  const held = parametersPerRank(plan, graph, stageOfNode);
  const bytes = bytesPerParameter(plan);
  const dense = plan.degrees.dpShard * plan.degrees.cp;
  const expert = expertShardCount(plan);
  for (let r = 0; r < pp; r++) {
    const memory = plan.prediction.memoryPerRank[r];
    if (memory === undefined) continue;
    // Whether a parameter shards like an expert shows in its axes only where experts are spread at all.
    const sharing = (enabled: boolean): [number, number] => {
      if (!enabled) return [held.dense[r] + held.expert[r], held.dense[r] + held.expert[r]];
      const shares = [dense, expert];
      const all = shares.map((n) => held.dense[r] / n + held.expert[r] / expert);
      return plan.degrees.ep * plan.degrees.etp > 1 || expert === dense
        ? [all[0], all[0]]
        : [Math.min(...all), Math.max(...all)];
    };
    const [least, most] = sharing(plan.zeroStage >= 3);
    const found = memory.parameterBytes;
    if (
      found < least * bytes.parameter * (1 - TOLERANCE) - 1 ||
      found > most * bytes.parameter * (1 + TOLERANCE) + 1
    )
      problems.push(
        `rank ${r} holds ${Math.round(least * bytes.parameter)} bytes of parameters, the plan predicts ${Math.round(found)}`,
      );
    const state =
      least * bytes.parameter +
      sharing(plan.zeroStage >= 2)[0] * bytes.gradient +
      sharing(plan.zeroStage >= 1)[0] * bytes.optimizer;
    if (state > plan.prediction.memoryCapacityBytes)
      problems.push(
        `parameters, gradients and optimizer state of rank ${r} take ${Math.round(state)} bytes, a device has ${plan.prediction.memoryCapacityBytes}`,
      );
  }
}

/**
 * Elements of every parameter's shard on each pipeline rank. A parameter that a rank uses is held there once, however
 * many ops and names use it.
 */
function parametersPerRank(
  plan: Plan,
  graph: Graph,
  stageOfNode: Int32Array,
): { dense: Float64Array; expert: Float64Array } {
  const { pp } = plan.degrees;
  const dense = new Float64Array(pp);
  const expert = new Float64Array(pp);
  const sharding = new Map(plan.shardings.map((s) => [s.tensor, s]));
  /** Elements already counted per memory and rank. */
  const counted = new Map<number, number>();
  for (let t = 0; t < graph.tensorCount; t++) {
    if (graph.tensorRole[t] !== (TensorRole.PARAMETER as number)) continue;
    const s = sharding.get(graph.tensorName[t]);
    let elements = 1;
    let isExpert = false;
    for (let d = graph.shapeStart[t]; d < graph.shapeStart[t + 1]; d++) {
      let parts = 1;
      for (const name of s?.dims[d - graph.shapeStart[t]] ?? []) {
        parts *= plan.degrees[name];
        if (name === 'ep' || name === 'etp') isExpert = true;
      }
      parts /= s?.copies?.[d - graph.shapeStart[t]] ?? 1;
      elements *= Math.ceil(graph.shapeDim[d] / parts);
    }
    const held = isExpert ? expert : dense;
    const ranks = new Set<number>();
    for (let u = graph.useStart[t]; u < graph.useStart[t + 1]; u++)
      ranks.add(stageOfNode[graph.useNode[u]] % pp);
    for (const r of ranks) {
      const place = graph.storage[t] * pp + r;
      const before = counted.get(place) ?? 0;
      if (elements <= before) continue;
      held[r] += elements - before;
      counted.set(place, elements);
    }
  }
  return { dense, expert };
}

/**
 * Bytes per parameter. Adam in 16 bits: 2 for the parameter, 4 for its gradient (2 under ZeRO-3), 12 for master copy
 * and moments; in 32 bits 4, 4 and 8. Inference: the parameter alone, 1 byte in fp8.
 */
function bytesPerParameter(plan: Plan): { parameter: number; gradient: number; optimizer: number } {
  const wide = plan.precision === 'fp32' || plan.precision === 'tf32';
  if (plan.phase === 'inference')
    return {
      parameter: wide ? 4 : plan.precision === 'fp8' || plan.precision === 'fp4' ? 1 : 2,
      gradient: 0,
      optimizer: 0,
    };
  if (wide) return { parameter: 4, gradient: 4, optimizer: 8 };
  return { parameter: 2, gradient: plan.zeroStage === 3 ? 2 : 4, optimizer: 12 };
}

/** Ranks over which an expert's state shards: its copies inside one dpReplicate copy of the model. */
function expertShardCount(plan: Plan): number {
  const d = plan.degrees;
  const copies = (d.dp * d.cp * d.tp) / (d.ep * d.etp);
  let common = 1;
  for (let n = 1; n <= Math.min(copies, d.dpReplicate); n++)
    if (copies % n === 0 && d.dpReplicate % n === 0) common = n;
  return copies / common;
}
