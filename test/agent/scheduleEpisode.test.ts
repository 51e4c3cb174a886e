import { expect } from 'chai';
import { checkEnvironment, randomAction } from '../../src/agent/checker.js';
import { scheduleOf } from '../../src/agent/scheduleOf.js';
import { ScheduleEpisode } from '../../src/agent/scheduleEpisode.js';
import { playSchedule, SCHEDULE_EXPERTS } from '../../src/agent/scheduleExperts.js';
import type { ScheduleExpertName } from '../../src/agent/scheduleExperts.js';
import type { ScheduleProblem } from '../../src/agent/scheduleState.js';
import { ScheduleState, WAIT } from '../../src/agent/scheduleState.js';
import { StageLoad } from '../../src/simulate/load.js';
import { PipelineTimer } from '../../src/simulate/pipeline.js';
import { Random } from '../../src/util/random.js';
import { syntheticCandidate, syntheticProblem } from '../support/synthetic.js';
import type { ScheduleShape } from '../support/schedules.js';
import { randomSchedule } from '../support/schedules.js';

/** Every order of one rank's forward and backward passes, backwards after their forwards, as strings of F and B. */
function orders(microbatches: number): string[] {
  const found: string[] = [];
  const stack = [''];
  while (stack.length > 0) {
    const order = stack.pop()!;
    const f = order.split('F').length - 1;
    const b = order.length - f;
    if (b === microbatches) found.push(order);
    if (f < microbatches) stack.push(order + 'F');
    if (b < f) stack.push(order + 'B');
  }
  return found;
}

/** Makespan of given orders, by the definition; Infinity where they deadlock or overflow memory. */
function makespan(p: ScheduleProblem, order: readonly string[]): number {
  const at = new Array<number>(p.ranks).fill(0);
  const free = [...p.readySec];
  const link = new Array<number>(p.ranks).fill(0);
  const arrived = new Map<string, number>();
  for (let m = 0; m < p.microbatches; m++) arrived.set(`F0 ${m}`, 0);
  for (let progress = true; progress;) {
    progress = false;
    for (let r = 0; r < p.ranks; r++) {
      const kind = order[r][at[r]];
      if (kind === undefined) continue;
      const m = order[r].slice(0, at[r]).split(kind).length - 1;
      const ready = arrived.get(`${kind}${r} ${m}`);
      if (ready === undefined) continue;
      if (
        order[r].slice(0, at[r] + 1).split('F').length - order[r].slice(0, at[r] + 1).split('B').length >
        p.limitBytes[r]
      )
        return Infinity;
      free[r] = Math.max(free[r], ready) + (kind === 'F' ? p.forwardSec[r] : p.backwardSec[r]);
      at[r]++;
      progress = true;
      if (kind === 'F' && r === p.ranks - 1) arrived.set(`B${r} ${m}`, free[r]);
      const to = kind === 'F' ? r + 1 : r - 1;
      if (to < 0 || to === p.ranks) continue;
      link[r] = Math.max(link[r], free[r]) + p.transferSec[Math.max(r, to)];
      arrived.set(`${kind}${to} ${m}`, link[r]);
    }
  }
  return at.every((n, r) => n === order[r].length) ? Math.max(...free) : Infinity;
}

/** Shortest makespan of all combinations of orders, and the orders. */
function bruteForce(p: ScheduleProblem): { best: number; order: string[] } {
  const all = orders(p.microbatches);
  let best = Infinity;
  let order: string[] = [];
  for (let code = 0; code < all.length ** p.ranks; code++) {
    let rest = code;
    const combination = Array.from({ length: p.ranks }, () => {
      const own = all[rest % all.length];
      rest = Math.floor(rest / all.length);
      return own;
    });
    const sec = makespan(p, combination);
    if (sec < best) {
      best = sec;
      order = combination;
    }
  }
  return { best, order };
}

/** Plays given orders through the environment, waiting for the next task of each rank. */
function follow(env: ScheduleEpisode, order: readonly string[]): number {
  env.reset(0);
  const { state } = env;
  let sum = 0;
  for (;;) {
    const r = state.rank;
    let action = 0;
    if (!state.asksLink) {
      const next = order[r][state.begun[r] + state.begun[state.problem.ranks + r]] === 'F' ? 0 : 1;
      action = state.offerKind
        .subarray(0, state.offerCount)
        .findIndex((kind) => kind === next || kind === WAIT);
    }
    const step = env.step(action);
    sum += step.reward;
    if (step.terminated) return sum;
  }
}

const SHAPES: readonly ScheduleShape[] = [
  { ranks: 3, microbatches: 4 },
  { ranks: 4, microbatches: 6, splitsBackward: true, room: 4 },
  { ranks: 2, microbatches: 5, splitsBackward: true, unequalSizes: true, room: 2 },
  { ranks: 1, microbatches: 3, splitsBackward: true },
  { ranks: 3, microbatches: 5, transfer: 3, room: 1 },
  { ranks: 3, microbatches: 12, unequalSizes: true },
];

describe('agent/scheduleEpisode', () => {
  SHAPES.forEach((shape, i) => {
    it(`keeps the environment contract (pipeline ${i})`, () => {
      const problem = randomSchedule(new Random(i), shape);
      expect(checkEnvironment(() => new ScheduleEpisode(problem), 15)).to.deep.equal([]);
    });
  });

  it('takes as long as the simulator says when 1F1B, ZB-H1 or GPipe acts', () => {
    const random = new Random(1);
    const timer = new PipelineTimer();
    for (let k = 0; k < 150; k++) {
      const name = random.pick(['1f1b', 'zb-h1', 'gpipe'] as const);
      const ranks = 2 + random.int(5);
      const shape = { ranks, microbatches: 1 + random.int(12), splitsBackward: name === 'zb-h1' };
      const problem = randomSchedule(random, { ...shape, transfer: random.pick([0, 0.2, 2]) });
      const env = new ScheduleEpisode(problem);
      env.reset(0);
      while (!env.state.done) env.step(env.expertAction(name));
      const times = { ...problem, gatherExposedSec: problem.readySec };
      const expected = timer.train(name, ranks, 1, problem.microbatches, times);
      expect(env.makespanSec, `${name} ${k}`).to.be.closeTo(expected, 1e-9 * expected);
    }
  });

  it('takes the pipeline of a plan, and runs it as long as the simulator does', () => {
    const problem = syntheticProblem({ devices: 32, globalBatch: 128, spread: 0.4 });
    const load = new StageLoad(problem);
    for (const schedule of ['1f1b', 'zb-h1'] as const) {
      const plan = syntheticCandidate(problem, { pp: 4, tp: 2, schedule });
      load.fill(plan);
      const expected = Math.max(...load.timer.finishSec.subarray(0, 4));
      const pipeline = scheduleOf(problem, plan, schedule === 'zb-h1');
      expect(Math.min(...pipeline.limitBytes)).to.be.above(0);
      const unlimited = { ...pipeline, limitBytes: new Float64Array(4).fill(Infinity) };
      const sec = playSchedule(new ScheduleState(unlimited), SCHEDULE_EXPERTS[schedule]);
      expect(sec).to.be.closeTo(expected, 1e-9 * expected);
      expect(checkEnvironment(() => new ScheduleEpisode(pipeline), 2)).to.deep.equal([]);
    }
  });

  it('pays 0 for 1F1B, and the logarithm of the improvement over it otherwise', () => {
    const random = new Random(2);
    for (const shape of SHAPES) {
      const env = new ScheduleEpisode(randomSchedule(random, shape));
      for (const name of Object.keys(SCHEDULE_EXPERTS) as ScheduleExpertName[]) {
        env.reset(0);
        let sum = 0;
        while (!env.state.done) sum += env.step(env.expertAction(name)).reward;
        expect(sum, name).to.be.closeTo(Math.log(env.referenceSec / env.makespanSec), 1e-9);
        if (name === '1f1b') expect(sum).to.be.closeTo(0, 1e-12);
      }
    }
  });

  it('reaches the optimum of small pipelines, and nothing that acts in it beats the optimum', () => {
    const random = new Random(3);
    for (const [ranks, microbatches, room] of [
      [2, 3, Infinity],
      [2, 4, 2],
      [3, 3, 2],
      [3, 3, Infinity],
    ]) {
      // Transfers short enough that messages of both directions never queue for a link in an order worth changing.
      const problem = randomSchedule(random, { ranks, microbatches, room, transfer: 0.1 });
      const env = new ScheduleEpisode(problem);
      const { best, order } = bruteForce(problem);
      expect(follow(env, order)).to.be.closeTo(Math.log(env.referenceSec / best), 1e-9);
      expect(env.makespanSec).to.be.closeTo(best, 1e-9);
      for (const expert of Object.values(SCHEDULE_EXPERTS))
        expect(playSchedule(new ScheduleState(problem), expert)).to.be.at.least(best - 1e-9);
      for (let k = 0; k < 100; k++) {
        let observation = env.reset(0);
        while (!env.state.done) observation = env.step(randomAction(observation, random)).observation;
        expect(env.makespanSec).to.be.at.least(best - 1e-9);
      }
    }
  });

  it('keeps every rank within its memory, whoever acts', () => {
    const random = new Random(4);
    for (let k = 0; k < 30; k++) {
      const room = 1 + random.int(3);
      const shape = { ranks: 3, microbatches: 6, splitsBackward: random.next() < 0.5, room };
      const env = new ScheduleEpisode(randomSchedule(random, shape));
      let observation = env.reset(0);
      while (!env.state.done) {
        observation = env.step(randomAction(observation, random)).observation;
        expect(Math.max(...env.state.heldBytes)).to.be.at.most(room + 1e-9);
      }
      expect(Math.max(...env.state.heldBytes)).to.be.closeTo(0, 1e-9);
    }
  });

  it('tells the experts apart: shortest first takes small microbatches first, first come takes them as they came', () => {
    const sizes = Float64Array.of(3, 1, 2);
    const problem = { ...randomSchedule(new Random(5), { ranks: 2, microbatches: 3 }), sizes };
    const first = (name: ScheduleExpertName): number => {
      const env = new ScheduleEpisode(problem);
      env.reset(0);
      return env.state.offerMicrobatch[env.expertAction(name)];
    };
    expect(first('sjf')).to.equal(1);
    expect(first('fcfs')).to.equal(0);
    const split = { ...randomSchedule(new Random(6), { ranks: 2, microbatches: 8, splitsBackward: true }) };
    const spans = (['fcfs', 'sjf', 'round-robin', 'zb-h1'] as const).map((name) =>
      playSchedule(new ScheduleState(split), SCHEDULE_EXPERTS[name]),
    );
    expect(new Set(spans).size).to.be.above(2);
  });
});
