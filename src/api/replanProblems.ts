/** Problems of a running job on what is left of its cluster, by the number of devices used. */
import { conditioned } from '../cluster/condition.js';
import type { Condition, ConditionedCluster, CountedSpec } from '../cluster/condition.js';
import type { ProblemsByCount } from '../portfolio/replan.js';
import type { PlanProblem } from '../simulate/types.js';
import type { Problem } from './problem.js';

export interface ConditionedProblems {
  readonly available: number;
  readonly problems: ProblemsByCount;
  /** The problem on so many devices with everything it was made from. */
  readonly whole: (devices: number) => Problem;
  /** The cluster when so many devices are used, and which device each rank is. */
  readonly on: (devices: number) => ConditionedCluster;
}

/**
 * @param base the problem that the running plan was made for: layers and their splits are taken over, priced anew
 * @throws PartitionError usage as `conditioned`
 */
export function problemsUnder(base: Problem, spec: CountedSpec, condition: Condition): ConditionedProblems {
  const all = conditioned(spec, condition);
  const available = all.cluster.deviceCount;
  const clusters = new Map<number, ConditionedCluster>([[available, all]]);
  const made = new Map<number, Problem>();
  const on = (devices: number): ConditionedCluster => {
    let cluster = clusters.get(devices);
    if (cluster === undefined) clusters.set(devices, (cluster = conditioned(spec, condition, devices)));
    return cluster;
  };
  const whole = (devices: number): Problem => {
    let known = made.get(devices);
    if (known === undefined) {
      const { cluster } = on(devices);
      const { stack, tpChoices } = base.problem;
      const book = base.book.repriced(cluster, stack);
      // The model's own; fewer devices allow fewer of them.
      const problem = {
        ...base.problem,
        cluster,
        devices,
        costs: book,
        tpChoices: tpChoices.filter((tp) => tp <= devices),
      };
      known = { ...base, cluster, book, problem, warnings: [...base.model.warnings, ...cluster.notes] };
      made.set(devices, known);
    }
    return known;
  };
  const problems = (devices: number): PlanProblem => whole(devices).problem;
  return { available, problems, whole, on };
}
