import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { EPISODE_AGENTS, trainOnEpisodes } from '../../src/agent/episodeTraining.js';
import type { EpisodeOutcome, EpisodeTraining } from '../../src/agent/episodeTraining.js';
import type { Environment } from '../../src/agent/environment.js';
import { PlacementEpisode } from '../../src/agent/placementEpisode.js';
import { ScheduleEpisode } from '../../src/agent/scheduleEpisode.js';
import { SCHEDULE_EXPERTS, playSchedule } from '../../src/agent/scheduleExperts.js';
import { ScheduleState } from '../../src/agent/scheduleState.js';
import { Random } from '../../src/util/random.js';
import { bestEpisode } from '../support/bestEpisode.js';
import { randomPlacement } from '../support/placements.js';
import { randomSchedule } from '../support/schedules.js';

const PIPELINE = randomSchedule(new Random(11), { ranks: 2, microbatches: 3, room: 2 });
const GRAPH = randomPlacement(new Random(5), { ops: 8, devices: 3, objective: 'latency' });
const SHOWN = ['fcfs', 'sjf', 'round-robin'] as const;

async function train<E extends Environment>(
  make: () => E,
  training: Pick<EpisodeTraining<E>, 'agent' | 'episodes' | 'teachers'>,
  seed = 1,
): Promise<EpisodeOutcome> {
  const { tf } = await loadBackend();
  return trainOnEpisodes(tf, make, { rewardScale: 10, ...training }, new Random(seed));
}

describe('agent/episodeTraining', () => {
  for (const agent of EPISODE_AGENTS) {
    it(`${agent} reaches the best of all schedules of a tiny pipeline, by itself and after FCFS, SJF and round-robin`, async () => {
      const make = (): ScheduleEpisode => new ScheduleEpisode(PIPELINE);
      const best = bestEpisode(make());
      for (const [seed, names] of [
        [1, []],
        [2, []],
        [3, []],
        [1, SHOWN],
      ] as const) {
        const teachers = names.map((name) => (e: ScheduleEpisode) => () => e.expertAction(name));
        const found = await train(make, { agent, episodes: 400, teachers }, seed);
        expect(found.bestReturn, `${seed} ${names.length}`).to.be.closeTo(best, 1e-9);
        expect(found.returns.length).to.be.within(400, 401);
      }
    }).timeout(120_000);

    it(`${agent} reaches the best of all placements of a tiny graph, by itself and after HEFT`, async () => {
      const make = (): PlacementEpisode => new PlacementEpisode(GRAPH);
      const best = bestEpisode(make());
      expect(best).to.be.above(0.1);
      const heft = (e: PlacementEpisode) => (): number => e.greedyAction();
      for (const [seed, teachers] of [
        [1, []],
        [2, []],
        [3, []],
        [1, [heft]],
      ] as const) {
        const found = await train(make, { agent, episodes: 400, teachers }, seed);
        expect(found.bestReturn, `${seed} ${teachers.length}`).to.be.closeTo(best, 1e-9);
      }
    }).timeout(120_000);

    it(`${agent} gives the same episodes for the same seed, and its best one can be played again`, async () => {
      const problem = randomSchedule(new Random(2), { ranks: 3, microbatches: 4, unequalSizes: true });
      const make = (): ScheduleEpisode => new ScheduleEpisode(problem);
      const teachers = SHOWN.map((name) => (e: ScheduleEpisode) => () => e.expertAction(name));
      const found = await train(make, { agent, episodes: 60, teachers });
      expect(await train(make, { agent, episodes: 60, teachers })).to.deep.equal(found);
      const shown = SHOWN.map((name) => playSchedule(new ScheduleState(problem), SCHEDULE_EXPERTS[name]));
      const env = make();
      env.reset(0);
      for (const action of found.bestActions) env.step(action);
      expect(env.makespanSec).to.be.closeTo(env.referenceSec * Math.exp(-found.bestReturn), 1e-9);
      expect(env.makespanSec).to.be.at.most(Math.min(...shown) + 1e-9);
      expect(found.shownReturn).to.be.closeTo(Math.log(env.referenceSec / Math.min(...shown)), 1e-9);
    });
  }
});
