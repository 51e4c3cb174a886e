/**
 * Metropolis search at a fixed temperature, as FlexFlow (Jia et al. 2019): a neighbour that is better is taken, one that
 * is worse with probability exp(-beta dE). E is the logarithm of the objective, so beta weighs relative changes. As
 * there, a chain that has not improved its best for half of what was left when it last did ends, and another begins.
 */
import type { SearchContext, SearchResult, Solver } from './types.js';
import { Walk } from './walk.js';

/** Inverse temperature: a setback of 4 % is taken once in e. */
const BETA = 25;
/** A chain without improvement for this share of the budget left ends. */
const PATIENCE = 0.5;

export const mcmcSolver: Solver = {
  name: 'mcmc',
  solve(context: SearchContext): SearchResult {
    const walk = new Walk(context, 'mcmc');
    if (walk.space.meshes.length === 0) return walk.evaluator.result(true);
    const { random } = context;
    let here = walk.start();
    let chainBest = here.energy;
    let improvedAt = walk.progress();
    for (let progress = improvedAt; progress < 1; progress = walk.progress()) {
      if (progress - improvedAt > PATIENCE * (1 - improvedAt)) {
        here = walk.start();
        chainBest = here.energy;
        improvedAt = progress;
        continue;
      }
      const next = walk.neighbour(here.plan);
      const setback = next.energy - here.energy;
      if (setback <= 0 || random.next() < Math.exp(-BETA * setback)) here = next;
      if (here.energy < chainBest) {
        chainBest = here.energy;
        improvedAt = progress;
      }
    }
    return walk.evaluator.result(false);
  },
};
