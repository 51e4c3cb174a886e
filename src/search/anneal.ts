/**
 * Simulated annealing (Kirkpatrick et al. 1983) with reheats: a walk over plans that takes every improvement and, with
 * probability exp(-dE / T), a setback of dE. E is the logarithm of the objective, so T = 0.1 accepts setbacks of about
 * 10 %. The temperature falls geometrically with the budget used; each reheat starts lower than the one before, from
 * the best plan so far.
 *
 *     T   \        first cycle  0.3 -> 0.002
 *          \  \    reheats      half as hot each
 *           \  \ \
 *     -----------------> budget
 */
import type { SearchContext, SearchResult, Solver } from './types.js';
import { Walk } from './walk.js';

export interface AnnealOptions {
  /** Of the first cycle, nats of the objective. */
  readonly hottest: number;
  readonly coldest: number;
  /** Cooling cycles of equal length. */
  readonly cycles: number;
  /** Hottest temperature of a cycle over that of the one before. */
  readonly reheat: number;
}

export const DEFAULT_ANNEAL: AnnealOptions = { hottest: 0.3, coldest: 0.002, cycles: 4, reheat: 0.5 };

/** Temperature of a walk from a known plan, over that of one from anywhere. */
const KNOWN_START_HEAT = 0.3;

export function createAnnealSolver(options: Partial<AnnealOptions> = {}): Solver {
  return { name: 'anneal', solve: (context) => anneal(context, { ...DEFAULT_ANNEAL, ...options }) };
}

export const annealSolver: Solver = createAnnealSolver();

function anneal(context: SearchContext, options: AnnealOptions): SearchResult {
  const walk = new Walk(context, 'anneal');
  if (walk.space.meshes.length === 0) return walk.evaluator.result(true);
  const { random } = context;
  // A known plan is worth keeping near: the walk begins as a late cycle would.
  const heat = context.start === undefined ? options.hottest : options.hottest * KNOWN_START_HEAT;
  let here = walk.start();
  let best = here;
  let cycle = 0;
  for (let progress = walk.progress(); progress < 1; progress = walk.progress()) {
    const at = progress * options.cycles;
    if (Math.floor(at) > cycle) {
      cycle = Math.floor(at);
      here = best;
    }
    const hottest = heat * options.reheat ** cycle;
    const temperature = hottest * (options.coldest / hottest) ** (at - cycle);
    const next = walk.neighbour(here.plan);
    const setback = next.energy - here.energy;
    if (setback <= 0 || random.next() < Math.exp(-setback / temperature)) here = next;
    if (here.energy < best.energy) best = here;
  }
  return walk.evaluator.result(false);
}
