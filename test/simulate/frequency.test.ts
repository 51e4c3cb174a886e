import { expect } from 'chai';
import type { Candidate } from '../../src/plan/types.js';
import { createEngine } from '../../src/simulate/engine.js';
import { StageLoad } from '../../src/simulate/load.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { energyAt, frequencyFrontier, StepModel } from '../../src/simulate/frequency.js';
import { ClockLevels, hullOf, taskCurves, TASKS } from '../../src/simulate/frequencyCurves.js';
import { EnergyMeter } from '../../src/simulate/power.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { devicesPerStage } from '../../src/plan/candidate.js';
import type { SyntheticOptions } from '../support/synthetic.js';
import { cappableProblem, randomCandidate, syntheticCandidate } from '../support/synthetic.js';

function pipeline(problem: PlanProblem, given: Partial<Candidate>): Candidate {
  return syntheticCandidate(problem, { tp: 4, pp: 4, ...given });
}

describe('frequency plans', () => {
  const options: SyntheticOptions = { layers: 30, spread: 0.1, devices: 16, globalBatch: 32 };
  const problem = cappableProblem(options);

  it('take the step of the engine and the joules of the meter at full clock, under every schedule', () => {
    const random = new Random(3);
    const tied = cappableProblem({ ...options, layers: 24, tied: true, devices: 64, globalBatch: 128 });
    const levels = new ClockLevels(tied, [1, 0.8]);
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const c = randomCandidate(tied, random);
      const frontier = frequencyFrontier(levels, c, 1);
      const run = createEngine(tied).run(c);
      expect(frontier.full.timeSec).to.be.closeTo(run.stepTimeSec, 1e-9 * run.stepTimeSec);
      expect(frontier.points[0].timeSec).to.be.closeTo(run.stepTimeSec, 1e-8 * run.stepTimeSec);
      const load = new StageLoad(tied);
      load.fill(c);
      const meter = new EnergyMeter(tied);
      const [group] = tied.cluster.groups;
      let joule = 0;
      for (let r = 0; r < c.pp; r++) joule += meter.rankJoule(load, c, r, run.stepTimeSec);
      joule *= (devicesPerStage(c) * (1 + group.coolingShare)) / group.powerSupplyEfficiency;
      joule = tied.cluster.pue * (joule + meter.fixedWatt * run.stepTimeSec);
      expect(frontier.full.energyJoule).to.be.closeTo(joule, 1e-6 * joule);
      const estimate = createSimulator(tied).estimate(c, createEstimate());
      expect(frontier.full.energyJoule).to.be.closeTo(estimate.energyJoulesPerStep, 0.01 * joule);
      seen.add(c.schedule);
    }
    expect([...seen].sort()).to.deep.equal(['1f1b', 'gpipe', 'interleaved', 'zb-h1']);
  });

  it('have a frontier that falls and is convex, with schedules on or just above it', () => {
    const levels = new ClockLevels(problem);
    for (const schedule of ['gpipe', '1f1b', 'zb-h1'] as const) {
      const frontier = frequencyFrontier(levels, pipeline(problem, { schedule }));
      const { points, full, schedules } = frontier;
      expect(points.length).to.be.above(10);
      for (let i = 1; i < points.length; i++) {
        const [a, b] = [points[i - 1], points[i]];
        expect(b.timeSec).to.be.above(a.timeSec);
        expect(b.energyJoule).to.be.below(a.energyJoule * (1 + 1e-9));
        // Below the chord of its neighbours, but for rounding.
        const chord = energyAt([a, points[Math.min(i + 1, points.length - 1)]], b.timeSec);
        expect(b.energyJoule).to.be.at.most(chord * (1 + 1e-9));
      }
      // No slower, less energy.
      expect(points[0].energyJoule).to.be.below(0.99 * full.energyJoule);
      for (const s of schedules) {
        const ideal = energyAt(points, s.timeSec);
        expect(s.energyJoule).to.be.at.least(ideal * (1 - 1e-6));
        expect(s.energyJoule).to.be.below(ideal * 1.01);
        const model = new StepModel(frontier.curves, frontier.graph);
        expect(model.timeOf(s.level)).to.be.closeTo(s.timeSec, 1e-9 * s.timeSec);
      }
      expect(schedules[0].timeSec).to.be.at.most(full.timeSec * (1 + 1e-9));
    }
  });

  it('agree with the price of the whole cluster under a cap', () => {
    const levels = new ClockLevels(problem, [1, 0.9, 0.6]);
    const c = pipeline(problem, {});
    const curves = taskCurves(levels, c);
    const frontier = frequencyFrontier(levels, c, 1);
    const model = new StepModel(curves, frontier.graph);
    for (const level of [1, 2]) {
      const all = new Uint8Array(frontier.graph.taskCount).fill(level);
      const capped = createEngine(levels.problems[level]).run(c);
      expect(model.timeOf(all)).to.be.closeTo(capped.stepTimeSec, 0.006 * capped.stepTimeSec);
      const estimate = createSimulator(levels.problems[level]).estimate(c, createEstimate());
      expect(model.energyOf(all, capped.stepTimeSec)).to.be.closeTo(
        estimate.energyJoulesPerStep,
        0.006 * estimate.energyJoulesPerStep,
      );
    }
  });

  it('are as good as the best of all choices of clocks on tiny pipelines', () => {
    const clocks = [1, 0.9, 0.8, 0.7];
    const random = new Random(11);
    for (let trial = 0; trial < 6; trial++) {
      const tiny = cappableProblem({ layers: 7, spread: 0.6 * random.next(), devices: 2, globalBatch: 2 });
      const cut = 4 + random.int(2);
      const schedule = trial % 2 === 0 ? '1f1b' : 'gpipe';
      const stageStart = Int32Array.of(0, cut, 9);
      const c = syntheticCandidate(tiny, { pp: 2, tp: 1, dpShard: 1, microbatch: 1, schedule, stageStart });
      const levels = new ClockLevels(tiny, clocks);
      const frontier = frequencyFrontier(levels, c);
      const { curves, graph, points } = frontier;
      expect(graph.taskCount).to.equal(8);
      const model = new StepModel(curves, graph);
      const best = points.map(() => Infinity);
      const level = new Uint8Array(8);
      for (let choice = 0; choice < 4 ** 8; choice++) {
        for (let i = 0, rest = choice; i < 8; i++, rest >>= 2) level[i] = rest & 3;
        const timeSec = model.timeOf(level);
        const joule = model.energyOf(level, timeSec);
        const ideal = energyAt(points, timeSec);
        expect(joule).to.be.at.least(ideal * (1 - 1e-7));
        points.forEach((p, i) => {
          if (timeSec <= p.timeSec * (1 + 1e-9)) best[i] = Math.min(best[i], joule);
        });
      }
      // The frontier is below what whole levels can do, by less than 1 %; rounded schedules come as close.
      points.forEach((p, i) =>
        expect(best[i]).to.be.within(p.energyJoule * (1 - 1e-7), p.energyJoule * 1.01),
      );
      for (const s of frontier.schedules) {
        const i = points.findIndex((p) => p.timeSec >= s.timeSec * (1 - 1e-9));
        expect(s.energyJoule).to.be.below(1.01 * best[Math.max(0, i)]);
      }
    }
  });

  it('take seconds for a deep pipeline of unlike stages with many microbatches', function () {
    this.timeout(30_000);
    const large = cappableProblem({ layers: 126, devices: 128, globalBatch: 1024, spread: 0.1 });
    const c = syntheticCandidate(large, { tp: 1, pp: 16, dpReplicate: 1, dpShard: 8, microbatch: 1 });
    const frontier = frequencyFrontier(new ClockLevels(large), c);
    expect(frontier.graph.taskCount).to.equal(16 * 128 * 2);
    expect(frontier.points[0].energyJoule).to.be.below(frontier.full.energyJoule);
    expect(frontier.schedules[0].timeSec).to.be.closeTo(frontier.full.timeSec, 1e-7);
  });

  it('use no level that wastes both time and energy', () => {
    const curves = taskCurves(new ClockLevels(problem), pipeline(problem, {}));
    for (let k = 0; k < 4 * TASKS; k++) {
      if (k % TASKS >= curves.tasks) continue;
      const hull = hullOf(curves, k);
      for (let i = 1; i < hull.length; i++) {
        const [slow, fast] = [k * curves.levels + hull[i - 1], k * curves.levels + hull[i]];
        expect(curves.sec[slow]).to.be.above(curves.sec[fast]);
        expect(curves.joule[slow]).to.be.below(curves.joule[fast]);
      }
    }
  });
});
