/** What one stage of a plan may change about itself and the plan: the moves of the improvement episode. */
import { dataParallel } from '../parallel/degrees.js';
import { checkCandidate } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { MeshDegrees, PlanSpace } from '../search/space.js';

export type MoveKind = 'stay' | 'to-previous' | 'to-next' | 'recompute' | 'zero' | 'shards' | 'microbatch';

export const MOVE_KINDS: readonly MoveKind[] = [
  'stay',
  'to-previous',
  'to-next',
  'recompute',
  'zero',
  'shards',
  'microbatch',
];

export interface Move {
  readonly kind: MoveKind;
  /** Blocks handed over, the recompute policy taken, or +1 (more) and -1 (less). */
  readonly amount: number;
  /** The plan with the move made; null where there is none such in the space. */
  readonly after: Candidate | null;
}

/** Blocks that may be handed over at once. */
const HANDED = [1, 2, 4] as const;

/** Every move of the stage, in an order that never changes. */
export function movesOf(space: PlanSpace, plan: Candidate, stage: number): Move[] {
  const moves: Move[] = [{ kind: 'stay', amount: 0, after: plan }];
  for (const n of HANDED) moves.push({ kind: 'to-previous', amount: n, after: shift(plan, stage, stage, n) });
  for (const n of HANDED)
    moves.push({ kind: 'to-next', amount: n, after: shift(plan, stage, stage + 1, -n) });
  for (const policy of [0, 1, 2])
    moves.push({ kind: 'recompute', amount: policy, after: recompute(space, plan, stage, policy) });
  const mesh = meshOf(plan);
  for (const by of [1, -1]) moves.push({ kind: 'zero', amount: by, after: zero(space, plan, mesh, by) });
  for (const by of [1, -1]) moves.push({ kind: 'shards', amount: by, after: shards(space, plan, mesh, by) });
  for (const by of [1, -1])
    moves.push({ kind: 'microbatch', amount: by, after: microbatch(space, plan, mesh, by) });
  return moves.map((m) =>
    m.after === null || checkCandidate(space.problem, m.after) === null ? m : { ...m, after: null },
  );
}

function meshOf(plan: Candidate): MeshDegrees {
  const { pp, tp, cp, ep, etp } = plan;
  return { pp, tp, cp, ep, etp, dp: dataParallel(plan) };
}

/** Moves the first segment of the stage at `cut` by `by`, out of `stage`; every stage keeps a segment. */
function shift(plan: Candidate, stage: number, cut: number, by: number): Candidate | null {
  const { stageStart } = plan;
  if (cut === 0 || cut === stageStart.length - 1) return null;
  if (stageStart[stage + 1] - stageStart[stage] <= Math.abs(by)) return null;
  const moved = stageStart.slice();
  moved[cut] += by;
  return { ...plan, stageStart: moved };
}

/** The family of layer classes that most of the stage's segments are of. */
export function familyOf(space: PlanSpace, plan: Candidate, stage: number): number {
  const { segmentClass } = space.problem.segmentation;
  const from = plan.stageStart[stage];
  const to = plan.stageStart[stage + 1];
  let first = 0;
  for (let s = from; s < to; s++) first += space.familyOfClass[segmentClass[s]] === 0 ? 1 : 0;
  return 2 * first >= to - from ? 0 : 1;
}

/** Policy of the family; -1 where it has no class. */
export function policyOf(space: PlanSpace, plan: Candidate, family: number): number {
  const k = space.familyOfClass.indexOf(family);
  return k < 0 ? -1 : plan.recompute[k];
}

function recompute(space: PlanSpace, plan: Candidate, stage: number, policy: number): Candidate | null {
  const family = familyOf(space, plan, stage);
  if (space.problem.phase === 'inference' || policyOf(space, plan, family) === policy) return null;
  const policies = plan.recompute.map((p, k) => (space.familyOfClass[k] === family ? policy : p));
  return { ...plan, recompute: policies };
}

/** ZeRO stage one up or down, over as many ranks as now, or over all where nothing was sharded. */
function zero(space: PlanSpace, plan: Candidate, mesh: MeshDegrees, by: number): Candidate | null {
  const zeroStage = plan.zeroStage + by;
  const choices = space.zeros(mesh).filter((z) => z.zeroStage === zeroStage);
  const choice = choices.find((z) => plan.zeroStage > 0 && z.dpShard === plan.dpShard) ?? choices.at(-1);
  return choice === undefined ? null : { ...plan, ...choice, dpReplicate: mesh.dp / choice.dpShard };
}

/** The next larger or smaller number of ranks to shard over. */
function shards(space: PlanSpace, plan: Candidate, mesh: MeshDegrees, by: number): Candidate | null {
  const choices = space.zeros(mesh).filter((z) => z.zeroStage === plan.zeroStage);
  const at = choices.findIndex((z) => z.dpShard === plan.dpShard);
  const choice = at < 0 ? undefined : choices[at + by];
  return choice === undefined ? null : { ...plan, ...choice, dpReplicate: mesh.dp / choice.dpShard };
}

function microbatch(space: PlanSpace, plan: Candidate, mesh: MeshDegrees, by: number): Candidate | null {
  const sizes = space.microbatches(mesh);
  const at = sizes.indexOf(plan.microbatch);
  const size = at < 0 ? undefined : sizes[at + by];
  return size === undefined ? null : { ...plan, microbatch: size };
}
