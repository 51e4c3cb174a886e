/** Problems of a running job on what is left of its cluster, by the number of devices used. */
import { conditioned } from '../cluster/condition.js';
import type { Condition, ConditionedCluster, CountedSpec } from '../cluster/condition.js';
import type { ProblemsByCount } from '../portfolio/replan.js';
import type { PlanProblem } from '../simulate/types.js';
import type { Problem } from './problem.js';

export interface ConditionedProblems {
  readonly available: number;
  readonly problems: ProblemsByCount;
  /** The cluster when so many devices are used, and which device each rank is. */
  readonly on: (devices: number) => ConditionedCluster;
}

/**
 * @param base the problem that the running plan was made for: layers and their splits are taken over, priced anew
 * @throws PartitionError usage as `conditioned`
 */
export function problemsUnder(base: Problem, spec: CountedSpec, condition: Condition): ConditionedProblems {
  const whole = conditioned(spec, condition);
  const available = whole.cluster.deviceCount;
  const clusters = new Map<number, ConditionedCluster>([[available, whole]]);
  const made = new Map<number, PlanProblem>();
  const on = (devices: number): ConditionedCluster => {
    let cluster = clusters.get(devices);
    if (cluster === undefined) clusters.set(devices, (cluster = conditioned(spec, condition, devices)));
    return cluster;
  };
  const problems = (devices: number): PlanProblem => {
    let problem = made.get(devices);
    if (problem === undefined) {
      const { cluster } = on(devices);
      const { stack, tpChoices } = base.problem;
      problem = {
        ...base.problem,
        cluster,
        devices,
        costs: base.book.repriced(cluster, stack),
        // The model's own; fewer devices allow fewer of them.
        tpChoices: tpChoices.filter((tp) => tp <= devices),
      };
      made.set(devices, problem);
    }
    return problem;
  };
  return { available, problems, on };
}
