import { expect } from 'chai';
import { checkCandidate, equalCandidates } from '../../src/plan/candidate.js';
import type { Candidate } from '../../src/plan/types.js';
import { Cutter } from '../../src/search/cutRules.js';
import { pipelineCuts, pipelineSec } from '../../src/search/dynamic.js';
import { decodeKeys, encodeKeys } from '../../src/search/genetic.js';
import { loadHighs } from '../../src/search/ilp.js';
import { assignmentOf, assignmentProgram } from '../../src/search/ilpModel.js';
import { nearestDecisions } from '../../src/search/legalize.js';
import type { MoveKind } from '../../src/search/moves.js';
import { MOVE_WEIGHTS, Moves } from '../../src/search/moves.js';
import { randomPlan } from '../../src/search/random.js';
import { allCuts, PlanSpace } from '../../src/search/space.js';
import { Random } from '../../src/util/random.js';
import type { SyntheticOptions } from '../support/synthetic.js';
import { syntheticProblem } from '../support/synthetic.js';

const PROBLEMS: readonly SyntheticOptions[] = [
  { devices: 64, spread: 0.4, tied: true },
  { devices: 96, globalBatch: 480, experts: 8, spread: 0.2 },
  { devices: 7, globalBatch: 14, layers: 9 },
  { devices: 16, phase: 'inference' },
  { devices: 32, globalBatch: 128, shardings: 3 },
  { devices: 1, globalBatch: 4 },
];

function world(options: SyntheticOptions): { space: PlanSpace; cutter: Cutter; moves: Moves } {
  const space = new PlanSpace(syntheticProblem(options));
  const cutter = new Cutter(space.problem);
  return { space, cutter, moves: new Moves(space, cutter) };
}

/** Whether every decision is one that the space offers. */
function isInSpace(space: PlanSpace, moves: Moves, c: Candidate): boolean {
  const mesh = moves.mesh(c);
  const has = (vector: Uint8Array): boolean => vector.every((p, k) => p === c.recompute[k]);
  return (
    space.microbatches(mesh).includes(c.microbatch) &&
    space.schedules(mesh, c.microbatch).some((s) => s.schedule === c.schedule && s.vpp === c.vpp) &&
    space.zeros(mesh).some((z) => z.zeroStage === c.zeroStage && z.dpShard === c.dpShard) &&
    space.recomputes.some(has) &&
    space.axisOrders(mesh).includes(c.axisOrder) &&
    space.leannesses(mesh).includes(c.leanness ?? 0) &&
    space.contextExchanges(mesh).includes(c.contextExchange)
  );
}

describe('search/moves', () => {
  it('makes only legal plans of the stated space, and leaves the plan it starts from alone', () => {
    for (const options of PROBLEMS) {
      const { space, cutter, moves } = world(options);
      const random = new Random(4);
      let plan = randomPlan(space, cutter, random);
      for (let i = 0; i < 600; i++) {
        const before = { ...plan, recompute: plan.recompute.slice(), stageStart: plan.stageStart.slice() };
        const next = moves.propose(plan, random);
        expect(equalCandidates(plan, before)).to.equal(true);
        expect(checkCandidate(space.problem, next)).to.equal(null);
        expect(isInSpace(space, moves, next)).to.equal(true);
        plan = next;
      }
    }
  });

  it('reaches every mesh by its moves, and every kind of move changes something somewhere', () => {
    for (const options of [...PROBLEMS.slice(0, 3), PROBLEMS[4]]) {
      const { space, cutter, moves } = world(options);
      const random = new Random(5);
      const met = new Set<unknown>();
      const kinds = new Set<MoveKind>();
      let plan = randomPlan(space, cutter, random);
      for (let i = 0; i < 200 * space.meshes.length && (i < 50 || met.size < space.meshes.length); i++) {
        for (const kind of Object.keys(MOVE_WEIGHTS) as MoveKind[]) {
          const next = moves.apply(kind, plan, random);
          if (next !== null && !equalCandidates(next, plan)) kinds.add(kind);
        }
        plan = moves.apply('mesh', plan, random) ?? plan;
        met.add(moves.mesh(plan));
      }
      expect(met.size).to.equal(space.meshes.length);
      for (const kind of ['mesh', 'microbatch', 'zero', 'recompute', 'shift'] as const)
        expect(kinds.has(kind), kind).to.equal(true);
      expect(kinds.has('leanness')).to.equal(options.shardings !== undefined);
    }
  });

  it('keeps decisions that are legal on another mesh and takes the nearest of those that are not', () => {
    const { space } = world({ devices: 64, globalBatch: 512 });
    const mesh = space.meshes.find((m) => m.pp === 4 && m.tp === 2 && m.cp === 1)!;
    const other = space.meshes.find((m) => m.pp === 1 && m.tp === 2 && m.cp === 1)!;
    const wish = nearestDecisions(space, mesh, {
      ...{ dpReplicate: 1, dpShard: 8, tp: 2, pp: 4, vpp: 3, cp: 1, ep: 1, etp: 1 },
      ...{ zeroStage: 2, schedule: 'interleaved', microbatch: 2, axisOrder: 'tp-cp-pp-dp' },
      contextExchange: 'ring',
      recompute: space.recomputes[3],
    });
    expect(wish).to.include({ vpp: 3, zeroStage: 2, dpShard: 8, microbatch: 2, axisOrder: 'tp-cp-pp-dp' });
    const moved = nearestDecisions(space, other, wish);
    // No pipeline: nothing to interleave; all of dp stays sharded.
    expect(moved).to.include({ vpp: 1, schedule: '1f1b', zeroStage: 2, dpShard: 32, microbatch: 2 });
    expect(moved.recompute).to.equal(wish.recompute);
  });

  it('decodes any keys to a legal plan, and encoded plans to their own decisions', () => {
    for (const options of PROBLEMS) {
      const { space, cutter, moves } = world(options);
      const random = new Random(6);
      for (let i = 0; i < 200; i++) {
        const keys = Float64Array.from({ length: 12 }, () => random.next());
        const plan = decodeKeys({ space, cutter }, keys);
        expect(checkCandidate(space.problem, plan)).to.equal(null);
        const again = decodeKeys({ space, cutter }, encodeKeys({ space, moves }, plan, keys));
        expect(equalCandidates(again, plan)).to.equal(true);
      }
    }
  });
});

describe('search/dynamic', () => {
  it('cuts for the least time of the whole pipeline on unlike devices, nearly as well as brute force', () => {
    const random = new Random(7);
    for (let trial = 0; trial < 100; trial++) {
      const segments = 4 + random.int(6);
      const stages = 2 + random.int(3);
      const weight = Array.from({ length: segments }, () => 1 + random.int(9));
      const speed = Array.from({ length: stages }, () => 1 + random.next());
      const costs = {
        cost(stage: number, from: number, to: number): number {
          let sum = 0;
          for (let s = from; s < to; s++) sum += weight[s];
          return sum * speed[stage];
        },
      };
      const microbatches = 1 + random.int(16);
      let best = Infinity;
      for (const start of allCuts(segments, stages))
        best = Math.min(best, pipelineSec(start, microbatches, costs));
      const found = pipelineSec(pipelineCuts(segments, stages, microbatches, costs)!, microbatches, costs);
      expect(found).to.be.within(best * (1 - 1e-12), 1.1 * best);
    }
  });
});

describe('search/ilp', () => {
  it('solves the assignment of segments and recomputation to the optimum of the pipeline formula', async function () {
    this.timeout(30000);
    const highs = await loadHighs();
    const random = new Random(8);
    const { space, cutter } = world({ devices: 8, layers: 7, globalBatch: 32, spread: 0.5, hidden: 8192 });
    let solved = 0;
    for (let trial = 0; trial < 40; trial++) {
      const plan = randomPlan(space, cutter, random);
      const { model } = cutter;
      const stages = plan.pp * plan.vpp;
      if (stages === 1 || plan.vpp > 1) continue;
      const microbatches = space.problem.globalBatch / (plan.dpShard * plan.dpReplicate * plan.microbatch);
      let best = Infinity;
      for (const recompute of space.recomputes) {
        model.take({ ...plan, recompute });
        for (const start of allCuts(space.problem.segmentation.segmentCount, stages))
          best = Math.min(best, pipelineSec(start, microbatches, model));
      }
      const program = assignmentProgram(space.problem, model, plan, space.recomputes, 5000);
      if (program === null) {
        expect(best).to.equal(Infinity);
        continue;
      }
      const solution = highs.solve(program.text, { output_flag: false });
      expect(solution.Status).to.equal('Optimal');
      const { stageStart, vector } = assignmentOf(
        program,
        stages,
        space.problem.segmentation.segmentCount,
        (a) => ((solution.Columns[`x${a}`] as { Primal: number }).Primal ?? 0) > 0.5,
      );
      const chosen = { ...plan, recompute: space.recomputes[vector], stageStart };
      expect(checkCandidate(space.problem, chosen)).to.equal(null);
      model.take(chosen);
      expect(pipelineSec(stageStart, microbatches, model)).to.be.closeTo(best, 1e-3 * best);
      solved++;
    }
    expect(solved).to.be.at.least(10);
  });
});
