/** The decisions behind a plan file. */
import type { Graph, Segmentation } from '../graph/types.js';
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import { PartitionError } from '../util/errors.js';
import { checkCandidate } from './candidate.js';
import type { CandidateLimits } from './candidate.js';
import type { AxisOrder, Candidate, Plan } from './types.js';

/**
 * @param where the plan's file, for messages
 * @throws PartitionError input when the plan was made for another graph
 */
export function candidateOf(plan: Plan, graph: Graph, segmentation: Segmentation, where: string): Candidate {
  if (plan.model.digest !== graph.digest) {
    throw new PartitionError(
      'input',
      `the plan is for ${plan.model.name} with digest ${plan.model.digest.slice(0, 12)}, the model has ${graph.digest.slice(0, 12)}`,
      where,
      'give the model, --seq and --bind that the plan was made with',
    );
  }
  if (plan.classes.length !== segmentation.classCount) {
    throw new PartitionError(
      'input',
      `classes: expected ${segmentation.classCount} entries, found ${plan.classes.length}`,
      where,
    );
  }
  const byStage = [...plan.stages].sort((a, b) => a.virtualStage - b.virtualStage);
  const recompute = new Uint8Array(segmentation.classCount);
  for (const c of plan.classes) recompute[c.id] = RECOMPUTE_POLICIES.indexOf(c.recompute);
  const { dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp } = plan.degrees;
  const candidate: Candidate = {
    dpReplicate,
    dpShard,
    tp,
    pp,
    vpp,
    cp,
    ep,
    etp,
    zeroStage: plan.zeroStage,
    schedule: plan.schedule,
    microbatch: plan.microbatch,
    axisOrder: axisOrderOf(plan),
    contextExchange: plan.contextExchange ?? 'ring',
    ...(plan.leanness === undefined ? {} : { leanness: plan.leanness }),
    recompute,
    stageStart: Int32Array.from([...byStage.map((s) => s.firstSegment), segmentation.segmentCount]),
  };
  // Whether the degrees suit the model shows when it is priced; here the plan must agree with itself.
  const limits: CandidateLimits = {
    devices: plan.cluster.devices,
    phase: plan.phase,
    globalBatch: plan.globalBatch,
    maxCp: cp,
    experts: ep * etp > 1 ? Math.max(2, ep) : 1,
    tpChoices: [tp, etp],
    contextHeads: tp * cp,
    segmentation,
  };
  const fault = checkCandidate(limits, candidate);
  if (fault !== null) throw new PartitionError('input', fault, where, 'the plan contradicts itself');
  return candidate;
}

/** The pipeline axis is outermost or inside data parallelism. */
function axisOrderOf(plan: Plan): AxisOrder {
  const names = plan.mesh.axes.map((a) => a.name);
  return names.indexOf('pp') < names.indexOf('dpShard') ? 'tp-cp-pp-dp' : 'tp-cp-dp-pp';
}
