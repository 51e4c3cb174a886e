/**
 * What the launchers' own guides recommend, rule by rule, as an engineer would follow them: no search beyond trying the
 * rules in order until something fits. Sources: NVIDIA Megatron-Core "Parallelism Strategies Guide" and "MoE" guide,
 * NeMo performance guide, Narayanan et al. 2021 ("Takeaways" 1-3), Korthikanti et al. 2022, PyTorch FSDP tutorial.
 *
 *  1. As little model parallelism as memory demands; all other devices are data-parallel.
 *  2. Small models (up to 15 billion parameters): no model parallelism; a sharded optimizer (ZeRO-1), then FSDP (ZeRO-3).
 *  3. Tensor parallelism first, never beyond the fast domain (NVLink); then pipeline stages across hosts.
 *  4. Context parallelism from 8K tokens on: at most 8K tokens of a sequence per device.
 *  5. Experts: expert parallelism rather than tensor parallelism inside experts (etp = 1), within the fast domain.
 *  6. The distributed optimizer (ZeRO-1) always; gradients and parameters stay whole under a pipeline.
 *  7. Selective recomputation before more parallelism, full recomputation last.
 *  8. Interleaved stages as soon as there is a pipeline, as deep as layers allow (at most 4 chunks), else 1F1B.
 *  9. Microbatch 1, doubled to 2 (to 4 without a pipeline) while it fits and pays.
 */
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import type { PlanProblem } from '../simulate/types.js';
import { Cutter } from './cutRules.js';
import { Evaluator } from './evaluator.js';
import type { Decisions, MeshDegrees, ScheduleChoice } from './space.js';
import { PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';

const SMALL_PARAMETERS = 15e9;
const TOKENS_PER_CONTEXT_RANK = 8192;
const MOST_CHUNKS = 4;
const MOST_MICROBATCH_PIPELINED = 2;
const MOST_MICROBATCH = 4;

/** A mesh with the kind of sharding and recomputation that a rule goes with. */
interface Advice {
  readonly mesh: MeshDegrees;
  readonly zeroStage: 0 | 1 | 3;
  readonly policy: number;
}

export const expertSolver: Solver = {
  name: 'expert',
  solve(context: SearchContext): SearchResult {
    const evaluator = new Evaluator(context, 'expert');
    const space = new PlanSpace(context.problem);
    const cutter = new Cutter(context.problem);
    const price = (d: Decisions): number => evaluator.evaluate({ ...d, stageStart: cutter.balanced(d) });
    for (const advice of adviceInOrder(context.problem, space)) {
      const sizes = space.microbatches(advice.mesh);
      for (const choice of schedulesByRule(space, advice.mesh, sizes[0])) {
        if (evaluator.exhausted()) return evaluator.result(false);
        const first = follow(space, advice, sizes[0], choice);
        let value = price(first);
        if (value === Infinity) continue;
        // Rule 9.
        const most = advice.mesh.pp > 1 ? MOST_MICROBATCH_PIPELINED : MOST_MICROBATCH;
        for (const microbatch of sizes.slice(1)) {
          if (microbatch > most || evaluator.exhausted()) break;
          const runs = space
            .schedules(advice.mesh, microbatch)
            .some((s) => s.schedule === choice.schedule && s.vpp === choice.vpp);
          const next = runs ? price({ ...first, microbatch }) : Infinity;
          if (next >= value) break;
          value = next;
        }
        return evaluator.result(false);
      }
    }
    return evaluator.result(false);
  },
};

/** Everything the rules would try, in their order. */
function* adviceInOrder(problem: PlanProblem, space: PlanSpace): Generator<Advice> {
  const train = problem.phase === 'train';
  const byRule = meshesByRule(problem, space.meshes);
  const small = problem.parameters <= SMALL_PARAMETERS;
  const plain = small ? byRule.filter((m) => m.tp * m.pp === 1) : [];
  const policies = train ? [RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL] : [RECOMPUTE_NONE];
  const optimizer = train ? 1 : 0;
  // Rule 2.
  for (const zeroStage of train ? ([1, 3] as const) : ([0] as const))
    for (const policy of policies.slice(0, 2)) for (const mesh of plain) yield { mesh, zeroStage, policy };
  // Rules 1, 3, 6 and 7.
  for (const group of bySize(byRule))
    for (const policy of policies.slice(0, 2))
      for (const mesh of group) yield { mesh, zeroStage: optimizer, policy };
  // What is left when the guides' order finds nothing: full recomputation, then all sharded as well.
  for (const mesh of byRule) if (train) yield { mesh, zeroStage: 1, policy: RECOMPUTE_FULL };
  for (const mesh of byRule) if (train) yield { mesh, zeroStage: 3, policy: RECOMPUTE_FULL };
}

/** Meshes that obey rules 3 to 5, least model parallelism first; those that break a rule come last. */
function meshesByRule(problem: PlanProblem, meshes: readonly MeshDegrees[]): MeshDegrees[] {
  const domain = fastDomain(problem);
  const wantedCp = problem.sequenceLength / TOKENS_PER_CONTEXT_RANK;
  const rank = (m: MeshDegrees): number[] => {
    const breaks =
      (m.tp > domain ? 1 : 0) +
      (m.etp > 1 ? 1 : 0) +
      (m.ep > domain ? 1 : 0) +
      (m.cp < Math.min(wantedCp, problem.maxCp) || (m.cp > 1 && m.cp >= 2 * wantedCp) ? 1 : 0);
    // Rule 3: a pipeline only where tensor parallelism has used up the domain.
    const early = m.pp > 1 && m.tp < domain && problem.tpChoices.some((t) => t > m.tp && t <= domain);
    return [breaks, m.tp * m.pp, early ? 1 : 0, -m.ep, m.cp];
  };
  return meshes
    .map((mesh) => ({ mesh, rank: rank(mesh) }))
    .sort((a, b) => {
      const i = a.rank.findIndex((x, k) => x !== b.rank[k]);
      return i < 0 ? 0 : a.rank[i] - b.rank[i];
    })
    .map(({ mesh }) => mesh);
}

/** Runs of equal tp * pp: within one, less recomputation comes before another split. */
function bySize(meshes: readonly MeshDegrees[]): MeshDegrees[][] {
  const groups: MeshDegrees[][] = [];
  for (const mesh of meshes) {
    const last = groups.at(-1);
    if (last !== undefined && last[0].tp * last[0].pp === mesh.tp * mesh.pp) last.push(mesh);
    else groups.push([mesh]);
  }
  return groups;
}

/** Devices that the first level of the network joins, the least of all groups. */
function fastDomain(problem: PlanProblem): number {
  return Math.min(...problem.cluster.groups.map((g) => g.levels[0]?.size ?? 1));
}

/** Rule 8. */
function schedulesByRule(space: PlanSpace, mesh: MeshDegrees, microbatch: number): ScheduleChoice[] {
  const all = space.schedules(mesh, microbatch);
  const layers = space.problem.segmentation.layers;
  const deepest = all
    .filter((s) => s.schedule === 'interleaved' && s.vpp <= MOST_CHUNKS && s.vpp * mesh.pp <= layers)
    .at(-1);
  return deepest === undefined ? [all[0]] : [deepest, all[0]];
}

function follow(
  space: PlanSpace,
  { mesh, zeroStage, policy }: Advice,
  microbatch: number,
  choice: ScheduleChoice,
): Decisions {
  const { pp, tp, cp, ep, etp, dp } = mesh;
  const shards = zeroStage > 0 && dp * cp > 1;
  return {
    ...{ pp, tp, cp, ep, etp, microbatch, axisOrder: 'tp-cp-dp-pp', contextExchange: 'ring' },
    ...choice,
    dpReplicate: shards ? 1 : dp,
    dpShard: shards ? dp : 1,
    zeroStage: shards ? zeroStage : 0,
    recompute: space.recomputes.find((vector) => vector.every((p) => p === policy)) ?? space.recomputes[0],
  };
}
