import { expect } from 'chai';
import { agentCaps, NO_SLOWDOWN_WEIGHT } from '../../src/agent/capAgent.js';
import { frequencyFrontier, StepModel } from '../../src/simulate/frequency.js';
import { ClockLevels } from '../../src/simulate/frequencyCurves.js';
import { TaskGroups } from '../../src/simulate/frequencyGroups.js';
import { Random } from '../../src/util/random.js';
import { cappableProblem, syntheticCandidate } from '../support/synthetic.js';

describe('clocks by group of tasks', function () {
  this.timeout(60_000);
  const problem = cappableProblem({ layers: 30, spread: 0.1, devices: 16, globalBatch: 32 });
  const levels = new ClockLevels(problem);
  const candidate = syntheticCandidate(problem, { tp: 4, pp: 4, schedule: '1f1b' });
  const frontier = frequencyFrontier(levels, candidate, 6);

  it('tell tasks with slack from those without, and know how much', () => {
    const groups = new TaskGroups(levels, candidate);
    const { graph, curves, groupOf, slackShare, stages } = groups;
    const model = new StepModel(curves, graph);
    const none = new Uint8Array(graph.taskCount);
    const slack = model.slackOf(none);
    for (let i = 0; i < graph.taskCount; i++) {
      expect(slack[i]).to.be.at.least(0);
      const share = slack[i] / curves.sec[graph.taskClass[i] * curves.levels];
      expect(slackShare[groupOf[i]]).to.be.at.most(share);
      if (slack[i] > 0) continue;
      // Without slack, any slower is a longer step.
      const slower = none.slice();
      slower[i] = 5;
      expect(model.timeOf(slower)).to.be.above(groups.full.timeSec);
    }
    expect(stages).to.be.within(8, 32);
  });

  it('save energy at no slowdown, less than the frontier allows: by slack filling, by descent, by an agent', async () => {
    const groups = new TaskGroups(levels, candidate);
    const { timeSec, energyJoule } = groups.full;
    const limit = timeSec * (1 + 1e-9);
    const expert = { ...groups.expert() };
    const descent = { ...groups.descend(timeSec) };
    const options = { episodes: 120, slowdownWeight: NO_SLOWDOWN_WEIGHT };
    const learned = await agentCaps(groups, new Random(2), options);
    expect(learned.episodes).to.equal(120);
    const { boundJoule } = frontier.schedules[0];
    for (const way of [expert, descent, learned]) {
      expect(way.timeSec).to.be.at.most(limit);
      expect(way.energyJoule).to.be.within(boundJoule, energyJoule);
    }
    expect(descent.energyJoule).to.be.below(0.995 * energyJoule);
    // The expert is shown to the agent, which keeps the best that it saw.
    expect(learned.energyJoule).to.be.at.most(expert.energyJoule * (1 + 1e-9));
    const again = await agentCaps(groups, new Random(2), options);
    expect(again.capWatt).to.deep.equal(learned.capWatt);
  });

  it('a longer step that is allowed saves more', () => {
    const groups = new TaskGroups(levels, candidate);
    const limits = [1, 1.05, 1.2].map((x) => x * groups.full.timeSec);
    const found = limits.map((limit) => ({ ...groups.descend(limit) }));
    found.forEach(({ timeSec }, i) => expect(timeSec).to.be.at.most(limits[i] * (1 + 1e-9)));
    expect(found[1].energyJoule).to.be.below(found[0].energyJoule);
    expect(found[2].energyJoule).to.be.at.most(found[1].energyJoule);
  });

  it('no clocks beat the bound, which the exact frontier meets and rounded prices nearly', () => {
    const random = new Random(7);
    const model = new StepModel(frontier.curves, frontier.graph);
    for (const s of frontier.schedules) {
      expect(s.boundJoule).to.be.at.most(s.energyJoule * (1 + 1e-9));
      // Clocks drawn at random that keep within the step.
      for (let n = 0; n < 40; n++) {
        const level = Uint8Array.from(s.level, (l) => Math.max(0, l - random.int(4)));
        const timeSec = model.timeOf(level);
        if (timeSec <= s.timeSec * (1 + 1e-9))
          expect(model.energyOf(level, timeSec)).to.be.at.least(s.boundJoule * (1 - 1e-9));
      }
    }
    const [first] = frontier.points;
    expect(frontier.schedules[0].boundJoule).to.be.closeTo(first.energyJoule, 1e-6 * first.energyJoule);
    // Beyond 512 tasks prices are rounded.
    const long = cappableProblem({ layers: 30, spread: 0.1, devices: 16, globalBatch: 512 });
    const many = frequencyFrontier(new ClockLevels(long), candidate, 4);
    expect(many.graph.taskCount).to.be.above(512);
    expect(many.points[0].energyJoule / many.schedules[0].boundJoule - 1).to.be.within(0, 1e-3);
    // One level for a whole task.
    for (const s of many.schedules) expect(s.energyJoule / s.boundJoule - 1).to.be.within(0, 1e-2);
  });
});
