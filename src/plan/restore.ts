/** The decisions of a plan, to price it again. */
import { RECOMPUTE_POLICIES } from '../parallel/recompute.js';
import { PartitionError } from '../util/errors.js';
import { checkCandidate } from './candidate.js';
import type { CandidateLimits } from './candidate.js';
import type { AxisOrder, Candidate, Plan } from './types.js';

/**
 * The candidate that a plan was built from.
 *
 * @param limits the problem it is to be priced in
 * @param where the plan's file, for messages
 * @throws PartitionError `input` when the plan is not one of this problem: another model, batch or device count
 */
export function candidateOfPlan(plan: Plan, limits: CandidateLimits, where: string): Candidate {
  const { segmentCount, classCount } = limits.segmentation;
  const recompute = new Uint8Array(classCount);
  for (const c of plan.classes) {
    if (c.id >= classCount)
      throw new PartitionError(
        'input',
        `field classes: expected ids below ${classCount}, found ${c.id}`,
        where,
      );
    recompute[c.id] = RECOMPUTE_POLICIES.indexOf(c.recompute);
  }
  const { dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp } = plan.degrees;
  const stageStart = Int32Array.from([...plan.stages.map((s) => s.firstSegment), segmentCount]);
  const candidate: Candidate = {
    ...{ dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp },
    zeroStage: plan.zeroStage,
    schedule: plan.schedule,
    microbatch: plan.microbatch,
    axisOrder: axisOrderOf(plan, where),
    recompute,
    stageStart,
  };
  const fault = checkCandidate(limits, candidate);
  if (fault !== null)
    throw new PartitionError(
      'input',
      fault,
      where,
      'the plan must be for this model, batch and device count',
    );
  return candidate;
}

function axisOrderOf(plan: Plan, where: string): AxisOrder {
  const order = plan.mesh.axes.filter((a) => a.size > 1).sort((a, b) => a.stride - b.stride);
  const names = order.map((a) => a.name);
  const outer = names.indexOf('pp');
  const inside = names
    .slice(0, outer < 0 ? 0 : outer)
    .some((name) => name === 'dpShard' || name === 'dpReplicate');
  const outside = names.slice(outer + 1).some((name) => name === 'dpShard' || name === 'dpReplicate');
  if (outer >= 0 && inside && outside)
    throw new PartitionError('input', `field mesh.axes: pp stands between the data-parallel axes`, where);
  return outer >= 0 && outside ? 'tp-cp-pp-dp' : 'tp-cp-dp-pp';
}
