/**
 * `agent`: the policy that ships as a guide of a search. It proposes plans, the likeliest first and none twice; from the
 * best of them a walk goes on by annealing, in which the policy draws a few decisions of the plan anew while the others are
 * kept (ruin and recreate, Schrimpf et al. 2000, with a learned hand that recreates), or one of the shared moves changes it.
 * Nothing is trained, and no TensorFlow.js is loaded: the network runs in plain typed arrays, once per state of the plan.
 *
 * Switched off (`agent-uniform`), the same search draws where the policy would choose; the difference is what was learned.
 */
import { usableMemoryBytes } from '../cost/memory.js';
import type { Candidate } from '../plan/types.js';
import { PipelineCutter } from '../search/dynamic.js';
import { polish } from '../search/polish.js';
import type { SearchContext, SearchResult, Solver } from '../search/types.js';
import type { Standing } from '../search/walk.js';
import { Walk } from '../search/walk.js';
import type { Random } from '../util/random.js';
import { FastPolicy } from './fastPolicy.js';
import { PLAN_DECISIONS } from './planFeatures.js';
import { EMBEDDED_PLAN_SPEC, PlanOffers, planSpec } from './planOffers.js';
import type { Rate } from './planTree.js';
import { PlanTree } from './planTree.js';
import type { PolicySource } from './pretrained.js';
import { checkpointFrom, SHIPPED } from './pretrained.js';

export interface GuidedOptions {
  /** Plans proposed before the walk: at most, and as a share of the evaluations. */
  readonly proposals: number;
  readonly proposalShare: number;
  /** Of the proposals, the best ones of different meshes whose other decisions are improved one at a time. */
  readonly polished: number;
  /** Share of the walk's steps that draw decisions anew, and how many decisions at most. */
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
}

export const DEFAULT_GUIDED: GuidedOptions = {
  proposals: 64,
  proposalShare: 0.1,
  polished: 0,
  redrawShare: 0.4,
  mostRedrawn: 3,
  recutShare: 0.05,
  policyTemperature: 2,
  hottest: 0.15,
  coldest: 0.002,
  cycles: 4,
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
  if (source.kind === 'none') return new PlanTree(new PlanOffers(space, cutter, false), uniform, temperature);
  const { checkpoint, where } = checkpointFrom(source);
  const spec = planSpec(checkpoint.environment.name);
  const policy = new FastPolicy(checkpoint, spec, where);
  const offers = new PlanOffers(space, cutter, spec === EMBEDDED_PLAN_SPEC);
  return new PlanTree(offers, (observation) => policy.scores(observation), temperature);
}

const uniform: Rate = ({ mask }) => Float64Array.from(mask, (legal) => (legal === 1 ? 0 : -Infinity));

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
  const proposals = propose(walk, tree, options, context.start);
  refine(walk, tree, options, improve(walk, proposals, options.polished));
  return walk.evaluator.result(false);
}

/** Plans of the policy, best first; a plan that is known already is among them. */
function propose(
  walk: Walk,
  tree: PlanTree,
  { proposals, proposalShare }: GuidedOptions,
  known: Candidate | undefined,
): Standing[] {
  const { random, budget } = walk.context;
  const found: Standing[] = known === undefined ? [] : [walk.stand(known)];
  const count = Math.max(1, Math.min(proposals, Math.ceil(proposalShare * budget.maxEvaluations)));
  found.push(walk.stand(tree.likeliest()));
  for (let i = 1; i < count && !walk.ended(); i++) {
    const plan = tree.draw(random);
    if (plan === null) break;
    found.push(walk.stand(plan));
  }
  return found.sort((a, b) => a.energy - b.energy);
}

/** The best of the proposals, once the leading ones of different meshes have been polished. */
function improve(walk: Walk, proposals: readonly Standing[], count: number): Standing {
  let best = proposals[0];
  const seen = new Set<unknown>();
  for (const { plan } of proposals) {
    const mesh = walk.moves.mesh(plan);
    if (seen.size === count || walk.ended()) break;
    if (seen.has(mesh)) continue;
    seen.add(mesh);
    const polished = polish(walk.evaluator, walk.space, walk.cutter, mesh, plan).best;
    if (polished === null) continue;
    const standing = walk.stand(polished);
    if (standing.energy < best.energy) best = standing;
  }
  return best;
}

function refine(walk: Walk, tree: PlanTree, options: GuidedOptions, start: Standing): void {
  const { random } = walk.context;
  const { hottest, coldest, cycles } = options;
  const step = stepper(walk, tree, options);
  const begun = walk.progress();
  let best = start;
  let here = start;
  let cycle = 0;
  for (let progress = begun; progress < 1; progress = walk.progress()) {
    const at = ((progress - begun) / (1 - begun)) * cycles;
    if (Math.floor(at) > cycle) {
      cycle = Math.floor(at);
      here = best;
    }
    const hot = hottest * 0.5 ** cycle;
    const temperature = hot * (coldest / hot) ** (at - cycle);
    const next = step(here.plan);
    const setback = next.energy - here.energy;
    if (setback <= 0 || random.next() < Math.exp(-setback / temperature)) here = next;
    if (here.energy < best.energy) best = here;
  }
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
    if (drawn < redrawShare) return walk.stand(redrawn(tree, plan, mostRedrawn, random));
    if (drawn < redrawShare + recuts && plan.pp > 1)
      return walk.stand({ ...plan, stageStart: cutter.balanced(plan, random.next() * mostSpareBytes) });
    return walk.neighbour(plan);
  };
}

/** The plan with one to `most` decisions drawn anew. */
function redrawn(tree: PlanTree, plan: Candidate, most: number, random: Random): Candidate {
  const open = new Uint8Array(PLAN_DECISIONS.length);
  for (let left = 1 + random.int(most); left > 0; left--) open[random.int(open.length)] = 1;
  return tree.redraw(plan, (decision) => open[decision] === 1, random.next() < 0.5, random);
}
