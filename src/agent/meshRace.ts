/**
 * A race over meshes by successive halving (Karnin et al. 2013): which devices work together matters most and is what a walk
 * mends last, because a change of mesh upsets every other decision. Many meshes are looked at, the policy's likeliest first;
 * each round a third of them goes on with three times the evaluations each, so that the last ones are compared by good plans
 * of theirs and not by chance ones.
 *
 *     round    meshes    tries each
 *       0        M            1        the policy's likeliest completion
 *       1       M / 3         3        climbing: decisions drawn anew by the policy, or one of the shared moves
 *       2       M / 9         9        ...
 *
 * A plan that does not fit in memory counts with its penalty: its mesh may come to fit as it climbs.
 */
import type { Candidate } from '../plan/types.js';
import type { Standing, Walk } from '../search/walk.js';
import type { PlanTree } from './planTree.js';

export interface RaceOptions {
  /** Share of the budget that the race may take. */
  readonly raceShare: number;
  /** Meshes that the last round climbs on. */
  readonly survivors: number;
  /** Temperature at which a climb begins, nats of the objective; 0 takes no setback. */
  readonly climbHeat: number;
}

/** Meshes that go on from one round to the next. */
const KEPT_SHARE = 1 / 3;
/** Evaluations by which the race is laid out when time alone is the limit. */
const EVALUATIONS_BY_TIME = 4000;

/**
 * A plan that is known from the start runs for its mesh.
 *
 * @param change a plan of the same mesh, one change away
 * @returns the best plan of every mesh that ran, those that came further first, the better first among them; one at least
 */
export function raceMeshes(
  walk: Walk,
  tree: PlanTree,
  { raceShare, survivors, climbHeat }: RaceOptions,
  change: (plan: Candidate) => Candidate,
): Standing[] {
  const { random, budget, start } = walk.context;
  const whole = budget.maxEvaluations === Infinity ? EVALUATIONS_BY_TIME : budget.maxEvaluations;
  const evaluations = raceShare * whole;
  const isOver = (): boolean => walk.progress() >= raceShare;
  let running: Standing[] = start === undefined ? [] : [walk.stand(start)];
  for (const plan of tree.openings(entrants(walk.space.meshes.length, survivors, evaluations), random)) {
    if (running.length > 0 && isOver()) break;
    running.push(walk.stand(plan));
  }
  running.sort(byEnergy);
  let out: Standing[] = [];
  const perRound = evaluations / rounds(running.length, survivors);
  while (running.length > survivors && !isOver()) {
    const left = Math.max(survivors, Math.floor(running.length * KEPT_SHARE));
    const tries = Math.max(1, Math.round(perRound / left));
    out = [...running.slice(left), ...out];
    running = running.slice(0, left).map((runner) => {
      let [best, here] = [runner, runner];
      for (let i = 0; i < tries && !isOver(); i++) {
        const next = walk.stand(change(here.plan));
        const temperature = climbHeat * (1 - i / tries);
        const setback = next.energy - here.energy;
        if (setback <= 0 || (climbHeat > 0 && random.next() < Math.exp(-setback / temperature))) here = next;
        if (here.energy < best.energy) best = here;
      }
      return best;
    });
    running.sort(byEnergy);
  }
  return [...running, ...out];
}

/** The most meshes whose race takes no more than so many evaluations when every round takes equally many; one at least. */
function entrants(meshes: number, survivors: number, evaluations: number): number {
  let count = Math.min(meshes, Math.floor(evaluations));
  while (count > 1 && count * rounds(count, survivors) > evaluations) count--;
  return Math.max(1, count);
}

/** Rounds until so many are left, the first look included. */
function rounds(meshes: number, survivors: number): number {
  return 1 + Math.max(0, Math.ceil(Math.log(meshes / survivors) / Math.log(1 / KEPT_SHARE)));
}

function byEnergy(a: Standing, b: Standing): number {
  return a.energy - b.energy;
}
