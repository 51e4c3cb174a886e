import { expect } from 'chai';
import { FastPolicy } from '../../src/agent/fastPolicy.js';
import { loadBackend } from '../../src/agent/backend.js';
import { scorerFrom } from '../../src/agent/checkpoint.js';
import {
  createGuidedSolver,
  guidedSolver,
  policyTree,
  unguidedSolver,
} from '../../src/agent/guidedSolver.js';
import { raceMeshes } from '../../src/agent/meshRace.js';
import { PLAN_SPEC, planSpec } from '../../src/agent/planEpisode.js';
import { PlanOffers } from '../../src/agent/planOffers.js';
import { checkpointFrom, SHIPPED } from '../../src/agent/pretrained.js';
import { packBatch } from '../../src/agent/scorer.js';
import { checkCandidate, hashCandidate } from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { Cutter } from '../../src/search/cutRules.js';
import { exhaustiveSolver } from '../../src/search/exhaustive.js';
import { PlanSpace } from '../../src/search/space.js';
import type { SearchResult, Solver } from '../../src/search/types.js';
import { Walk } from '../../src/search/walk.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

const PROBLEM = syntheticProblem({ devices: 96, globalBatch: 480, experts: 8, spread: 0.5 });
const SMALL = syntheticProblem({ devices: 4, globalBatch: 8, layers: 4 });

function run(solver: Solver, problem: PlanProblem, maxEvaluations: number, seed = 1): SearchResult {
  return solver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(seed),
  }) as SearchResult;
}

function treeOf(problem: PlanProblem) {
  return policyTree({ space: new PlanSpace(problem), cutter: new Cutter(problem) }, SHIPPED);
}

describe('agent/fastPolicy', () => {
  it('scores as the network on TensorFlow.js does', async () => {
    const { checkpoint, where } = checkpointFrom(SHIPPED);
    const spec = planSpec(checkpoint.environment.name);
    const fast = new FastPolicy(checkpoint, spec, where);
    const { tf } = await loadBackend();
    const slow = scorerFrom(tf, checkpoint, spec, ['ppo'], where);
    const offers = new PlanOffers(new PlanSpace(PROBLEM), new Cutter(PROBLEM), spec.name === 'plan-embedded');
    const random = new Random(3);
    let state = offers.start();
    for (;;) {
      const observation = offers.observe(state);
      const batch = packBatch(spec, [observation]);
      const scores = fast.scores(observation);
      slow.infer(batch).scores.forEach((x, r) => expect(scores[batch.rowOption[r]]).to.be.closeTo(x, 1e-4));
      observation.mask.forEach((m, i) => expect(scores[i] === -Infinity).to.equal(m === 0));
      const option = state.options[batch.rowOption[random.int(batch.rowCount)]];
      if (option.stageStart !== null) break;
      state = offers.after(state, option);
    }
    slow.dispose();
  });

  it('refuses the weights of a network of other layers', () => {
    const { checkpoint } = checkpointFrom(SHIPPED);
    const weights = checkpoint.weights.slice(0, 3);
    expect(() => new FastPolicy({ ...checkpoint, weights }, PLAN_SPEC, 'file')).to.throw('other layers');
  });
});

describe('agent/planTree', () => {
  it('draws every plan at most once, the likeliest counted', () => {
    const tree = treeOf(PROBLEM);
    const random = new Random(5);
    const drawn = [tree.likeliest()];
    for (let i = 0; i < 400; i++) drawn.push(tree.draw(random)!);
    for (const plan of drawn) expect(checkCandidate(PROBLEM, plan)).to.equal(null);
    expect(new Set(drawn.map(hashCandidate)).size).to.equal(401);
  });

  it('opens every mesh once, the likeliest first, whether there is a policy or not', () => {
    const meshOf = ({ pp, tp, cp, ep, etp }: Candidate): string => [pp, tp, cp, ep, etp].join();
    const problem = syntheticProblem({ devices: 24, globalBatch: 48, experts: 4 });
    const space = new PlanSpace(problem);
    const without = policyTree({ space, cutter: new Cutter(problem) }, { kind: 'none' });
    const [likely] = treeOf(problem).openings(1, new Random(1));
    expect(meshOf([...treeOf(problem).openings(3, new Random(2))][0])).to.equal(meshOf(likely));
    for (const tree of [treeOf(problem), without]) {
      const plans = [...tree.openings(Infinity, new Random(1))];
      for (const plan of plans) expect(checkCandidate(problem, plan)).to.equal(null);
      expect(plans.length).to.equal(space.meshes.length);
      expect(new Set(plans.map(meshOf)).size).to.equal(plans.length);
    }
  });

  it('ends when every plan has been drawn', () => {
    const problem = syntheticProblem({ devices: 1, globalBatch: 1 });
    const tree = treeOf(problem);
    const random = new Random(5);
    let count = 0;
    for (let plan = tree.draw(random); plan !== null; plan = tree.draw(random)) count++;
    expect(count).to.be.within(1, 500);
    expect(tree.draw(random)).to.equal(null);
  });

  it('keeps what is not drawn anew, as far as it is still on offer', () => {
    const tree = treeOf(PROBLEM);
    const random = new Random(7);
    let plan: Candidate = tree.likeliest();
    expect(tree.redraw(plan, () => false, true, random)).to.deep.equal(plan);
    for (let i = 0; i < 200; i++) {
      const open = random.int(13);
      const next = tree.redraw(plan, (decision) => decision === open, true, random);
      expect(checkCandidate(PROBLEM, next)).to.equal(null);
      // Pipeline stages come first, so nothing that follows can change them.
      if (open > 0) expect(next.pp).to.equal(plan.pp);
      plan = next;
    }
  });
});

describe('agent/meshRace', () => {
  const context = {
    problem: PROBLEM,
    simulator: createSimulator(PROBLEM),
    budget: { maxEvaluations: 400, maxSec: Infinity },
    clock: () => 0,
    random: new Random(9),
  };
  const options = { raceShare: 0.5, survivors: 2, climbHeat: 0.02 };

  it('ends with plans of different meshes within its share, the better ones of the last round first', () => {
    const walk = new Walk(context, 'race');
    const found = raceMeshes(walk, treeOf(PROBLEM), options, (plan) =>
      walk.moves.propose(plan, context.random, true),
    );
    expect(walk.evaluator.evaluations).to.be.within(100, 201);
    expect(new Set(found.map(({ plan }) => walk.moves.mesh(plan))).size).to.equal(found.length);
    expect(found[0].energy).to.equal(Math.min(...found.map(({ energy }) => energy)));
    expect(found[0].energy).to.be.at.most(found[1].energy);
  });

  it('lets a known plan run, and returns it alone when nothing may be spent', () => {
    const [known] = treeOf(PROBLEM).openings(1, new Random(1));
    const walk = new Walk({ ...context, start: known }, 'race');
    const found = raceMeshes(walk, treeOf(PROBLEM), { ...options, raceShare: 0 }, (plan) => plan);
    expect(found.map(({ plan }) => plan)).to.deep.equal([known]);
  });
});

describe('agent/guidedSolver', () => {
  it('finds what enumeration proves the best on a small space', () => {
    const proved = run(exhaustiveSolver, SMALL, 100_000);
    expect(proved.exhaustive).to.equal(true);
    expect(run(guidedSolver, SMALL, 2000).value).to.be.closeTo(proved.value, 1e-9 * proved.value);
  });

  it('gives the same legal plan for the same seed, within its evaluations', () => {
    const [a, b] = [run(guidedSolver, PROBLEM, 300), run(guidedSolver, PROBLEM, 300)];
    expect(a).to.deep.equal(b);
    expect(a.evaluations).to.be.at.most(300);
    expect(a.foundBy).to.equal('agent');
    expect(checkCandidate(PROBLEM, a.best!)).to.equal(null);
  });

  it('does with one evaluation what the policy says first', () => {
    expect(run(guidedSolver, PROBLEM, 1).evaluations).to.equal(1);
  });

  it('goes on from a plan that is known and is never worse', () => {
    const known = run(unguidedSolver, PROBLEM, 100, 2);
    const context = { problem: PROBLEM, simulator: createSimulator(PROBLEM), clock: () => 0 };
    const budget = { maxEvaluations: 50, maxSec: Infinity };
    const next = createGuidedSolver({ raceShare: 0.2 }).solve({
      ...context,
      budget,
      random: new Random(1),
      start: known.best!,
    });
    expect((next as SearchResult).value).to.be.at.most(known.value);
  });

  it('searches without a policy as its own control', () => {
    expect(run(unguidedSolver, PROBLEM, 200).foundBy).to.equal('agent-uniform');
  });
});
