/**
 * Genetic search with biased random keys (Goncalves and Resende 2011). A chromosome is a vector of numbers in [0, 1),
 * one per decision in the order of the space; the decoder reads each as a position among what is legal after those
 * before it, so every chromosome is a legal plan. A generation keeps its elite, draws some mutants, and fills up with
 * children that take each key from an elite parent with probability 0.7, else from the other. One child in four is an
 * elite plan after a move of the shared set, written back as keys.
 */
import { leannessOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { Random } from '../util/random.js';
import type { CutRule } from './cutRules.js';
import { CUT_RULES } from './cutRules.js';
import type { Decisions, MeshDegrees, PlanSpace } from './space.js';
import type { SearchContext, SearchResult, Solver } from './types.js';
import type { Standing } from './walk.js';
import { Walk } from './walk.js';

const POPULATION = 40;
const ELITE_SHARE = 0.25;
const MUTANT_SHARE = 0.15;
/** Probability that a key comes from the elite parent. */
const ELITE_BIAS = 0.7;
const MOVE_SHARE = 0.25;

const DEGREES = ['pp', 'tp', 'cp', 'ep', 'etp'] as const;
/** Degrees, microbatch, exchange and sharding in one, schedule, ZeRO, recomputation, axis order, cuts. */
const KEYS = DEGREES.length + 7;

interface Individual extends Standing {
  readonly keys: Float64Array;
}

export const geneticSolver: Solver = {
  name: 'genetic',
  solve(context: SearchContext): SearchResult {
    const walk = new Walk(context, 'genetic');
    if (walk.space.meshes.length === 0) return walk.evaluator.result(true);
    const { random } = context;
    const size = Math.max(4, Math.min(POPULATION, Math.floor(context.budget.maxEvaluations / 4)));
    const eliteCount = Math.max(1, Math.round(ELITE_SHARE * size));
    const mutantCount = Math.round(MUTANT_SHARE * size);
    const born = (keys: Float64Array, plan = decodeKeys(walk, keys)): Individual => ({
      ...walk.stand(plan),
      keys,
    });
    let population: Individual[] = [];
    while (population.length < size && !walk.ended()) population.push(born(randomKeys(random)));
    while (!walk.ended()) {
      population.sort((a, b) => a.energy - b.energy);
      const elite = distinct(population, eliteCount);
      const next = [...elite];
      for (let i = 0; i < mutantCount && !walk.ended(); i++) next.push(born(randomKeys(random)));
      while (next.length < size && !walk.ended()) {
        const parent = random.pick(elite);
        if (random.next() < MOVE_SHARE) {
          const plan = walk.moves.propose(parent.plan, random);
          next.push(born(encodeKeys(walk, plan, parent.keys), plan));
        } else next.push(born(cross(parent.keys, random.pick(population).keys, random)));
      }
      population = next;
    }
    return walk.evaluator.result(false);
  },
};

/** The best individuals, of equally good ones the first: a population of one plan learns nothing. */
function distinct(sorted: readonly Individual[], count: number): Individual[] {
  const chosen: Individual[] = [];
  for (const one of sorted) {
    if (chosen.length === count) break;
    if (chosen.length === 0 || one.energy !== chosen[chosen.length - 1].energy) chosen.push(one);
  }
  return chosen;
}

function randomKeys(random: Random): Float64Array {
  return Float64Array.from({ length: KEYS }, () => random.next());
}

function cross(elite: Float64Array, other: Float64Array, random: Random): Float64Array {
  return elite.map((key, i) => (random.next() < ELITE_BIAS ? key : other[i]));
}

/** The plan that the keys stand for. */
export function decodeKeys(walk: Pick<Walk, 'space' | 'cutter'>, keys: Float64Array): Candidate {
  const { space, cutter } = walk;
  let at = 0;
  const read = <T>(items: readonly T[]): T => items[Math.floor(keys[at++] * items.length)];
  let left: readonly MeshDegrees[] = space.meshes;
  for (const degree of DEGREES) {
    const value = read(valuesOf(left, degree));
    left = left.filter((m) => m[degree] === value);
  }
  const mesh = left[0];
  const { pp, tp, cp, ep, etp } = mesh;
  const microbatch = read(space.microbatches(mesh));
  const [contextExchange, leanness] = read(exchangesAndShardings(space, mesh));
  const { schedule, vpp } = read(space.schedules(mesh, microbatch));
  const { zeroStage, dpShard } = read(space.zeros(mesh));
  const recompute = read(space.recomputes);
  const axisOrder = read(space.axisOrders(mesh));
  const d: Decisions = {
    ...{ dpReplicate: mesh.dp / dpShard, dpShard, tp, pp, vpp, cp, ep, etp },
    ...{ zeroStage, schedule, microbatch, axisOrder, contextExchange, leanness, recompute },
  };
  const rule: CutRule = read(CUT_RULES);
  return { ...d, stageStart: cutter.cut(rule, d) };
}

/** Keys that decode to the plan's decisions; the key of the cuts stays `from`'s (a rule need not give these cuts). */
export function encodeKeys(
  walk: Pick<Walk, 'space' | 'moves'>,
  plan: Candidate,
  from: Float64Array,
): Float64Array {
  const { space } = walk;
  const mesh = walk.moves.mesh(plan);
  const keys = from.slice();
  let at = 0;
  const write = (index: number, count: number): void => {
    keys[at++] = (index + 0.5) / count;
  };
  let left: readonly MeshDegrees[] = space.meshes;
  for (const degree of DEGREES) {
    const values = valuesOf(left, degree);
    write(values.indexOf(mesh[degree]), values.length);
    left = left.filter((m) => m[degree] === mesh[degree]);
  }
  const sizes = space.microbatches(mesh);
  write(sizes.indexOf(plan.microbatch), sizes.length);
  const pairs = exchangesAndShardings(space, mesh);
  write(
    pairs.findIndex(([e, leanness]) => e === plan.contextExchange && leanness === leannessOf(plan)),
    pairs.length,
  );
  const schedules = space.schedules(mesh, plan.microbatch);
  write(
    schedules.findIndex((s) => s.schedule === plan.schedule && s.vpp === plan.vpp),
    schedules.length,
  );
  const zeros = space.zeros(mesh);
  write(
    zeros.findIndex((z) => z.zeroStage === plan.zeroStage && z.dpShard === plan.dpShard),
    zeros.length,
  );
  write(
    space.recomputes.findIndex((vector) => vector.every((policy, k) => policy === plan.recompute[k])),
    space.recomputes.length,
  );
  const orders = space.axisOrders(mesh);
  write(orders.indexOf(plan.axisOrder), orders.length);
  return keys;
}

/** Two small decisions that one key stands for. */
function exchangesAndShardings(
  space: PlanSpace,
  mesh: MeshDegrees,
): (readonly [Candidate['contextExchange'], number])[] {
  const shardings = space.leannesses(mesh);
  return space.contextExchanges(mesh).flatMap((exchange) => shardings.map((l) => [exchange, l] as const));
}

function valuesOf(meshes: readonly MeshDegrees[], degree: (typeof DEGREES)[number]): number[] {
  return [...new Set(meshes.map((m) => m[degree]))];
}
