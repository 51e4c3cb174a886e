/** Improving one plan: plausible settings of a mesh, one decision at a time, one cut at a time. */
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import { leannessOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { Cell } from './bound.js';
import type { Balancer } from './cutRules.js';
import type { Evaluator } from './evaluator.js';
import type { Decisions, MeshDegrees, PlanSpace } from './space.js';

export interface Priced {
  /** Null when nothing that fits was found. */
  readonly best: Candidate | null;
  readonly value: number;
}

const NOTHING: Priced = { best: null, value: Infinity };

/**
 * The few settings of a cell worth a first look: sharded optimizer without recomputation and, only where that
 * overflows, more recomputation or more sharding; plain 1F1B and the deepest interleaving. 1 to 12 prices.
 */
export function plausible(evaluator: Evaluator, space: PlanSpace, cutter: Balancer, cell: Cell): Priced {
  const first = settings(space, cell, space.problem.phase === 'train' ? 1 : 0, RECOMPUTE_NONE);
  const best = firstThatFits(evaluator, space, cutter, cell.mesh, first);
  const deepest = space.schedules(cell.mesh, cell.microbatch).at(-1)!;
  if (deepest.vpp === 1) return best;
  return better(best, firstThatFits(evaluator, space, cutter, cell.mesh, { ...first, ...deepest }));
}

/** The decisions as they are; where they overflow, the best of a leaner sharding, of recomputing more and of sharding state more. */
function firstThatFits(
  evaluator: Evaluator,
  space: PlanSpace,
  cutter: Balancer,
  mesh: MeshDegrees,
  d: Decisions,
): Priced {
  const look = (changed: Partial<Decisions>): Priced => price(evaluator, cutter, { ...d, ...changed });
  const asIs = look({});
  if (asIs.best !== null || space.problem.phase === 'inference') return asIs;
  let best = asIs;
  const policies = [RECOMPUTE_SELECTIVE, RECOMPUTE_FULL].map((policy) => uniformRecompute(space, policy));
  for (const recompute of policies) if (best.best === null) best = look({ recompute });
  if (d.dpShard * d.cp > 1) {
    best = better(best, look({ zeroStage: 3 }));
    for (const recompute of policies) if (best.best === null) best = look({ zeroStage: 3, recompute });
  }
  for (const leanness of space.leannesses(mesh)) {
    if (leanness <= 0) continue;
    const leaner = look({ leanness });
    // The ones after it are slower still.
    if (leaner.best !== null) return better(best, leaner);
  }
  return best;
}

/** Whether the setting of a cell that takes least memory fits: everything sharded, everything recomputed, in the usual or the leanest sharding. */
export function leanest(evaluator: Evaluator, space: PlanSpace, cutter: Balancer, cell: Cell): boolean {
  const train = space.problem.phase === 'train';
  const decisions = settings(space, cell, train ? 3 : 0, train ? RECOMPUTE_FULL : RECOMPUTE_NONE);
  if (price(evaluator, cutter, decisions).best !== null) return true;
  const leanness = space.leannesses(cell.mesh).at(-1)!;
  return leanness > 0 && price(evaluator, cutter, { ...decisions, leanness }).best !== null;
}

/**
 * Changes one decision at a time, as long as that pays: schedule, context exchange, recomputation, sharding (for which recomputation
 * may be given up, or taken up), ZeRO, axis order, the mesh and the microbatch staying as they are. Cuts follow (balanced anew each time).
 */
export function polish(
  evaluator: Evaluator,
  space: PlanSpace,
  cutter: Balancer,
  mesh: MeshDegrees,
  start: Candidate,
): Priced {
  let best = start;
  let value = evaluator.evaluate(start);
  for (let improved = true; improved;) {
    improved = false;
    for (const variants of VARIANTS)
      for (const decisions of variants(space, mesh, best)) {
        if (evaluator.exhausted()) return { best, value };
        const next = price(evaluator, cutter, decisions);
        if (next.best === null || next.value >= value) continue;
        best = next.best;
        value = next.value;
        improved = true;
      }
  }
  return { best, value };
}

/** Moves single cuts by one segment while that pays. */
export function polishCuts(evaluator: Evaluator, start: Candidate): Priced {
  const stageStart = start.stageStart.slice();
  const candidate = { ...start, stageStart };
  const stages = stageStart.length - 1;
  let value = evaluator.evaluate(candidate);
  for (let improved = true; improved;) {
    improved = false;
    for (let v = 1; v < stages; v++)
      for (const move of [-1, 1]) {
        const moved = stageStart[v] + move;
        if (moved <= stageStart[v - 1] || moved >= stageStart[v + 1]) continue;
        if (evaluator.exhausted()) return { best: candidate, value };
        stageStart[v] = moved;
        const next = evaluator.evaluate(candidate);
        if (next < value) {
          value = next;
          improved = true;
        } else stageStart[v] = moved - move;
      }
  }
  return { best: candidate, value };
}

/** Prices decisions with balanced cuts; where they overflow by a little, once more with that much kept free. */
function price(evaluator: Evaluator, cutter: Balancer, decisions: Decisions): Priced {
  if (evaluator.exhausted()) return NOTHING;
  const candidate = { ...decisions, stageStart: cutter.balanced(decisions) };
  const value = evaluator.evaluate(candidate);
  if (value < Infinity) return { best: candidate, value };
  const { overflowBytes, memoryCapacityBytes } = evaluator.estimate;
  if (decisions.pp === 1 || overflowBytes > 0.2 * memoryCapacityBytes || evaluator.exhausted())
    return NOTHING;
  const tighter = { ...decisions, stageStart: cutter.balanced(decisions, overflowBytes) };
  const again = evaluator.evaluate(tighter);
  return again < Infinity ? { best: tighter, value: again } : NOTHING;
}

function better(a: Priced, b: Priced): Priced {
  return b.value < a.value ? b : a;
}

function settings(
  space: PlanSpace,
  { mesh, microbatch }: Cell,
  zeroStage: 0 | 1 | 3,
  policy: number,
): Decisions {
  const { pp, tp, cp, ep, etp, dp } = mesh;
  const shards = zeroStage > 0 && dp * cp > 1;
  const recompute = uniformRecompute(space, policy);
  return {
    ...{ pp, tp, cp, ep, etp, vpp: 1, schedule: '1f1b', axisOrder: 'tp-cp-dp-pp', microbatch, recompute },
    contextExchange: 'ring',
    dpReplicate: shards ? 1 : dp,
    dpShard: shards ? dp : 1,
    zeroStage: shards ? zeroStage : 0,
  };
}

/** The same policy for every class. */
function uniformRecompute(space: PlanSpace, policy: number): Uint8Array {
  return space.recomputes.find((vector) => vector.every((p) => p === policy)) ?? space.recomputes[0];
}

function* scheduleVariants(space: PlanSpace, mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  for (const choice of space.schedules(mesh, c.microbatch))
    if (choice.schedule !== c.schedule || choice.vpp !== c.vpp) yield { ...c, ...choice };
}

function* recomputeVariants(space: PlanSpace, _mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  for (const recompute of space.recomputes) yield { ...c, recompute };
}

/** A leaner sharding alone or with less recomputation, a faster one alone or with more. */
function* leannessVariants(space: PlanSpace, mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  const now = leannessOf(c);
  for (const leanness of space.leannesses(mesh)) {
    if (leanness === now) continue;
    for (const recompute of space.recomputes)
      if (recompute.every((p, k) => (leanness > now ? p <= c.recompute[k] : p >= c.recompute[k])))
        yield { ...c, leanness, recompute };
  }
}

function* zeroVariants(space: PlanSpace, mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  for (const choice of space.zeros(mesh))
    if (choice.zeroStage !== c.zeroStage || choice.dpShard !== c.dpShard)
      yield { ...c, ...choice, dpReplicate: mesh.dp / choice.dpShard };
}

function* exchangeVariants(space: PlanSpace, mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  for (const contextExchange of space.contextExchanges(mesh))
    if (contextExchange !== c.contextExchange) yield { ...c, contextExchange };
}

function* orderVariants(space: PlanSpace, mesh: MeshDegrees, c: Candidate): Generator<Decisions> {
  for (const axisOrder of space.axisOrders(mesh)) if (axisOrder !== c.axisOrder) yield { ...c, axisOrder };
}

const VARIANTS = [
  scheduleVariants,
  exchangeVariants,
  recomputeVariants,
  leannessVariants,
  zeroVariants,
  orderVariants,
];
