/** From wishes to a legal plan: the decisions nearest to what was asked for that a mesh allows. */
import { leannessOf, nearestLeanness } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { Cutter } from './cutRules.js';
import type { Decisions, MeshDegrees, PlanSpace } from './space.js';

/**
 * The legal decisions on `mesh` nearest to `wish`: what is allowed stays; sizes go to the nearest allowed one (by
 * ratio), a schedule that cannot run becomes 1F1B, sharding keeps its share of the data-parallel ranks.
 */
export function nearestDecisions(space: PlanSpace, mesh: MeshDegrees, wish: Decisions): Decisions {
  const { pp, tp, cp, ep, etp, dp } = mesh;
  const microbatch = nearest(space.microbatches(mesh), wish.microbatch);
  const schedules = space.schedules(mesh, microbatch);
  let choice = schedules[0];
  for (const s of schedules) {
    if (s.schedule !== wish.schedule) continue;
    if (choice.schedule !== s.schedule || gap(s.vpp, wish.vpp) < gap(choice.vpp, wish.vpp)) choice = s;
  }
  const exchanges = space.contextExchanges(mesh);
  const orders = space.axisOrders(mesh);
  const share = wish.dpShard / (wish.dpShard * wish.dpReplicate);
  const zeros = space.zeros(mesh);
  let zero = zeros[0];
  for (const z of zeros) {
    if (z.zeroStage !== wish.zeroStage) continue;
    if (zero.zeroStage !== z.zeroStage || gap(z.dpShard, share * dp) < gap(zero.dpShard, share * dp))
      zero = z;
  }
  return {
    ...{ pp, tp, cp, ep, etp, microbatch },
    schedule: choice.schedule,
    vpp: choice.vpp,
    zeroStage: zero.zeroStage,
    dpShard: zero.dpShard,
    dpReplicate: dp / zero.dpShard,
    contextExchange: exchanges.includes(wish.contextExchange) ? wish.contextExchange : exchanges[0],
    axisOrder: orders.includes(wish.axisOrder) ? wish.axisOrder : orders[0],
    ...leannessOn(space, mesh, wish),
    recompute: wish.recompute,
  };
}

/** The sharding wished for, or the nearest that the mesh has. */
export function leannessOn(
  space: PlanSpace,
  mesh: MeshDegrees,
  wish: Pick<Candidate, 'leanness'>,
): Pick<Candidate, 'leanness'> {
  const leanness = leannessOf(wish);
  return leanness === 0 ? {} : { leanness: nearestLeanness(space.leannesses(mesh), leanness) };
}

/** The decisions with cuts: the given ones where they have the right number of stages, else balanced anew. */
export function withCuts(cutter: Cutter, d: Decisions, stageStart: Int32Array | null): Candidate {
  const kept = stageStart !== null && stageStart.length === d.pp * d.vpp + 1;
  return { ...d, stageStart: kept ? stageStart : cutter.balanced(d) };
}

/** Distance of two sizes by ratio. */
function gap(a: number, b: number): number {
  return Math.abs(Math.log(a / b));
}

function nearest(sizes: readonly number[], wish: number): number {
  let best = sizes[0];
  for (const size of sizes) if (gap(size, wish) < gap(best, wish)) best = size;
  return best;
}
