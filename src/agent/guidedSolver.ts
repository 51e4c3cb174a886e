/**
 * `agent`: the policy that ships as a guide of a search. Its likeliest meshes race, each with the plans that the policy makes
 * of it (see `meshRace`); from the best of them a walk goes on by annealing, in which the policy draws a few decisions of the
 * plan anew while the others are kept (ruin and recreate, Schrimpf et al. 2000, with a learned hand that recreates), or one of
 * the shared moves changes it. Where the walk has nothing new left, the next best mesh of the race takes its place.
 * Nothing is trained, and no TensorFlow.js is loaded: the network runs in plain typed arrays, once per state of the plan.
 *
 * Switched off (`agent-uniform`), the same search draws where the policy would choose; the difference is what was learned.
 */
import { usableMemoryBytes } from '../cost/memory.js';
import type { Candidate } from '../plan/types.js';
import { PipelineCutter } from '../search/dynamic.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import type { Standing } from '../search/walk.js';
import { Walk } from '../search/walk.js';
import type { Random } from '../util/random.js';
import { FastPolicy } from './fastPolicy.js';
import type { RaceOptions } from './meshRace.js';
import { raceMeshes } from './meshRace.js';
import { DEGREE_DECISIONS, PLAN_DECISIONS } from './planFeatures.js';
import { EMBEDDED_PLAN_SPEC, PlanOffers, planSpec } from './planOffers.js';
import { PlanTree } from './planTree.js';
import type { PolicySource } from './pretrained.js';
import { checkpointFrom, SHIPPED } from './pretrained.js';

export interface GuidedOptions extends RaceOptions {
  /** Share of steps that draw decisions anew, and how many decisions at most. */
  readonly redrawShare: number;
  readonly mostRedrawn: number;
  /** Share of the walk's steps that cut a plan for unlike devices anew, for the time of the whole pipeline. */
  readonly recutShare: number;
  /** Above 1 evens the policy out. */
  readonly policyTemperature: number;
  /** Of the walk's first cycle and at the end of each, nats of the objective; each cycle starts half as hot, from the best. */
  readonly hottest: number;
  readonly coldest: number;
  readonly cycles: number;
  /** After so many known plans in a row the walk goes on from another mesh, half as hot as at first. */
  readonly stall: number;
}

export const DEFAULT_GUIDED: GuidedOptions = {
  raceShare: 0.3,
  survivors: 2,
  climbHeat: 0,
  redrawShare: 0.4,
  mostRedrawn: 3,
  recutShare: 0.05,
  policyTemperature: 2,
  hottest: 0.15,
  coldest: 0.002,
  cycles: 4,
  stall: 40,
};

/** Largest share of a device's memory that cutting anew keeps free. */
const MOST_SPARE = 0.1;

/** Name of the same search without a policy. */
export const UNGUIDED = 'agent-uniform';

/**
 * @param source of the policy; `none` draws uniformly instead
 * @throws PartitionError input from `solve` when the checkpoint is missing, damaged or another version's
 */
export function createGuidedSolver(
  options: Partial<GuidedOptions> = {},
  source: PolicySource = SHIPPED,
): Solver {
  const name = source.kind === 'none' ? UNGUIDED : 'agent';
  const all = { ...DEFAULT_GUIDED, ...options };
  return {
    name,
    solve: (context) =>
      guideSearch(context, name, (walk) => policyTree(walk, source, all.policyTemperature), all),
  };
}

export const guidedSolver: Solver = createGuidedSolver();

/** The agent switched off. */
export const unguidedSolver: Solver = createGuidedSolver({}, { kind: 'none' });

/**
 * The tree of a space's decisions under a policy.
 *
 * @throws PartitionError input when the checkpoint is missing, damaged or another version's
 */
export function policyTree(
  { space, cutter }: Pick<Walk, 'space' | 'cutter'>,
  source: PolicySource,
  temperature = 1,
): PlanTree {
  if (source.kind === 'none') return new PlanTree(new PlanOffers(space, cutter, false), null, temperature);
  const { checkpoint, where } = checkpointFrom(source);
  const spec = planSpec(checkpoint.environment.name);
  const policy = new FastPolicy(checkpoint, spec, where);
  const offers = new PlanOffers(space, cutter, spec === EMBEDDED_PLAN_SPEC);
  return new PlanTree(offers, (observation) => policy.scores(observation), temperature);
}

/**
 * The search with any guide.
 *
 * @param treeOf the decisions of the walk's space under the guide
 */
export function guideSearch(
  context: SearchContext,
  name: string,
  treeOf: (walk: Walk) => PlanTree,
  options: GuidedOptions = DEFAULT_GUIDED,
): SearchResult {
  const walk = new Walk(context, name);
  if (walk.space.meshes.length === 0) return walk.evaluator.result(true);
  const tree = treeOf(walk);
  const { random } = context;
  const ofSameMesh = (plan: Candidate): Candidate =>
    random.next() < options.redrawShare
      ? redrawn(tree, plan, options.mostRedrawn, random, DEGREE_DECISIONS)
      : walk.moves.propose(plan, random, true);
  refine(walk, tree, options, raceMeshes(walk, tree, options, ofSameMesh));
  return walk.evaluator.result(false);
}

/** @param starts best plans of different meshes, best first */
function refine(walk: Walk, tree: PlanTree, options: GuidedOptions, starts: readonly Standing[]): void {
  const { random } = walk.context;
  const { hottest, coldest, cycles } = options;
  const step = stepper(walk, tree, options);
  const begun = walk.progress();
  const length = (1 - begun) / cycles;
  let best = starts[0];
  let here = best;
  let hot = hottest;
  let cycleBegun = begun;
  let next = 1;
  for (let progress = begun; progress < 1; progress = walk.progress()) {
    const stalled = walk.memo.repeated >= options.stall;
    if (stalled) {
      here = next < starts.length ? starts[next++] : fresh(walk, tree);
      hot = hottest / 2;
      walk.memo.repeated = 0;
    } else if (progress >= cycleBegun + length) {
      here = best;
      hot = hottest * 0.5 ** Math.round((progress - begun) / length);
    }
    if (stalled || progress >= cycleBegun + length) cycleBegun = progress;
    const temperature = hot * (coldest / hot) ** ((progress - cycleBegun) / length);
    const tried = step(here.plan);
    const setback = tried.energy - here.energy;
    if (setback <= 0 || random.next() < Math.exp(-setback / temperature)) here = tried;
    if (here.energy < best.energy) best = here;
  }
}

/** A plan of the policy that it has not proposed before; any plan once it has proposed them all. */
function fresh(walk: Walk, tree: PlanTree): Standing {
  const plan = tree.draw(walk.context.random);
  return plan === null ? walk.random() : walk.stand(plan);
}

/** One step of the walk: a few decisions drawn anew, cuts for unlike devices, or one of the shared moves. */
function stepper(
  walk: Walk,
  tree: PlanTree,
  { redrawShare, recutShare, mostRedrawn }: GuidedOptions,
): (plan: Candidate) => Standing {
  const { problem, random } = walk.context;
  const cutter = new PipelineCutter(problem);
  const devices = problem.cluster.groups.map(({ device }) => usableMemoryBytes(device));
  const mostSpareBytes = MOST_SPARE * Math.min(...devices);
  const recuts = devices.length > 1 ? recutShare : 0;
  return (plan) => {
    const drawn = random.next();
    if (drawn < redrawShare) return walk.stand(redrawn(tree, plan, mostRedrawn, random, 0));
    if (drawn < redrawShare + recuts && plan.pp > 1)
      return walk.stand({ ...plan, stageStart: cutter.balanced(plan, random.next() * mostSpareBytes) });
    return walk.neighbour(plan);
  };
}

/** The plan with one to `most` decisions drawn anew, none of them before `first` of PLAN_DECISIONS. */
function redrawn(tree: PlanTree, plan: Candidate, most: number, random: Random, first: number): Candidate {
  const open = new Uint8Array(PLAN_DECISIONS.length);
  for (let left = 1 + random.int(most); left > 0; left--) open[first + random.int(open.length - first)] = 1;
  return tree.redraw(plan, (decision) => open[decision] === 1, random.next() < 0.5, random);
}
