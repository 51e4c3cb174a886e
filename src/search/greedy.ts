/**
 * The rule of thumb of the launchers' own guides, with a few prices to steer it: as little model parallelism as fits
 * (tensor parallelism inside the host first, then pipeline stages), the rest data-parallel with sharded optimizer,
 * recompute only as needed, then the microbatch doubled while it pays. Stages are balanced by time.
 */
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import type { Candidate } from '../plan/types.js';
import type { PlanProblem } from '../simulate/types.js';
import { Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import type { Decisions, MeshDegrees } from './space.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

export const greedySolver: Solver = {
  name: 'greedy',
  solve(context: SearchContext): SearchResult {
    const evaluator = new Evaluator(context, 'greedy');
    const { problem } = context;
    const space = new PlanSpace(problem);
    const cutter = new Cutter(problem);
    const plan = (d: Decisions): Candidate => ({ ...d, stageStart: cutter.balanced(d) });
    const order = meshesBySize(problem, space.meshes);
    for (const zeroStage of problem.phase === 'train' ? ([1, 3] as const) : ([0] as const))
      for (const mesh of order)
        for (const recompute of recomputesByCost(space)) {
          if (evaluator.exhausted()) return evaluator.result(false);
          const sizes = space.microbatches(mesh);
          const first = decide(mesh, sizes[0], zeroStage, recompute);
          let value = evaluator.evaluate(plan(first));
          if (value === Infinity) continue;
          for (const microbatch of sizes.slice(1)) {
            if (evaluator.exhausted()) break;
            const next = evaluator.evaluate(plan({ ...first, microbatch }));
            if (next >= value) break;
            value = next;
          }
          return evaluator.result(false);
        }
    return evaluator.result(false);
  },
};

/** Smallest model-parallel size first; of equal ones, tensor parallelism within the host, then few stages. */
function meshesBySize(problem: PlanProblem, meshes: readonly MeshDegrees[]): MeshDegrees[] {
  const host = Math.max(...problem.cluster.groups.map((g) => g.devicesPerHost));
  const rank = (m: MeshDegrees): number[] => [
    m.tp > host ? 1 : 0,
    m.tp * m.pp * m.cp,
    m.cp,
    // Experts spread as far as a host's data-parallel ranks allow: their weights are most of a sparse model.
    -Math.min(m.ep * m.etp, host),
    m.ep * m.etp,
    m.pp,
    m.etp,
  ];
  return meshes
    .map((mesh) => ({ mesh, rank: rank(mesh) }))
    .sort((a, b) => {
      const i = a.rank.findIndex((x, k) => x !== b.rank[k]);
      return i < 0 ? 0 : a.rank[i] - b.rank[i];
    })
    .map(({ mesh }) => mesh);
}

/** No recomputation, then selective, then full, of all classes alike. */
function recomputesByCost(space: PlanSpace): Uint8Array[] {
  return [RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL]
    .map((policy) => space.recomputes.find((vector) => vector.every((p) => p === policy)))
    .filter((vector) => vector !== undefined);
}

function decide(
  mesh: MeshDegrees,
  microbatch: number,
  zeroStage: 0 | 1 | 3,
  recompute: Uint8Array,
): Decisions {
  const { pp, tp, cp, ep, etp, dp } = mesh;
  const shards = zeroStage > 0 && dp * cp > 1;
  return {
    ...{ pp, tp, cp, ep, etp, vpp: 1, schedule: '1f1b', axisOrder: 'tp-cp-dp-pp', microbatch, recompute },
    contextExchange: 'ring',
    dpReplicate: shards ? 1 : dp,
    dpShard: shards ? dp : 1,
    zeroStage: shards ? zeroStage : 0,
  };
}
