import { expect } from 'chai';
import type { CompareJob, CompareRun } from '../../src/portfolio/compare.js';
import {
  AGENT_OFF,
  compareRun,
  isAgent,
  summarizeRuns,
  withAlwaysCompared,
} from '../../src/portfolio/compare.js';
import { syntheticProblem } from '../support/synthetic.js';

let now = 0;
const clock = (): number => (now += 0.001);

function made(
  method: string,
  seed: number,
  value: number | null,
  more: Partial<CompareRun> = {},
): CompareRun {
  const job: CompareJob = { method, seed, by: 'evaluations', amount: 100 };
  const rest = { evaluations: 100, wallSec: 1, exhaustive: false, foundBy: method, curve: [], failure: null };
  return { ...job, value, stepTimeSec: value, ...rest, ...more };
}

describe('portfolio/compare', () => {
  it('always has random search, greedy and the portfolio without agents', () => {
    expect(withAlwaysCompared(['ppo', 'random'])).to.deep.equal(['ppo', 'random', 'greedy', AGENT_OFF]);
    expect(['ppo', 'auto', 'random', 'exhaustive', AGENT_OFF].map(isAgent)).to.deep.equal([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it('gives the same plan for the same seed and evaluations, and a curve that ends in its value', async () => {
    const run = (): Promise<CompareRun> =>
      compareRun(
        syntheticProblem({ devices: 64, spread: 0.3 }),
        { method: 'random', seed: 3, by: 'evaluations', amount: 200 },
        clock,
      );
    const [a, b] = [await run(), await run()];
    expect(a.value).to.equal(b.value);
    expect(a.evaluations).to.equal(200);
    expect(a.curve.at(-1)!.value).to.equal(a.value);
    for (let i = 1; i < a.curve.length; i++) {
      expect(a.curve[i].value).to.be.below(a.curve[i - 1].value);
      expect(a.curve[i].evaluations).to.be.above(a.curve[i - 1].evaluations);
    }
  });

  it('ends by the clock what is compared by time', async () => {
    const job = { method: AGENT_OFF, seed: 1, by: 'seconds', amount: 0.4 } as const;
    const result = await compareRun(syntheticProblem({ devices: 256, spread: 0.3 }), job, clock);
    expect(result.wallSec).to.be.within(0.05, 0.6);
    expect(result.value).to.be.a('number');
  });

  it('pairs runs of equal seed and counts ties for all that share them', () => {
    const runs = [1, 2, 3, 4].flatMap((seed) => [
      made('random', seed, 10 + seed),
      made('ppo', seed, seed === 4 ? 14 : 9),
      made('greedy', seed, 9, { evaluations: 4 }),
      made('exhaustive', seed, null, { failure: 'not installed' }),
    ]);
    const rows = summarizeRuns(runs, 6, 8);
    expect(rows.map((r) => r.method)).to.deep.equal(['ppo', 'greedy', 'random', 'exhaustive']);
    const [ppo, greedy, random, failed] = rows;
    expect([ppo.median, ppo.lowerQuartile, ppo.upperQuartile]).to.deep.equal([9, 9, 10.25]);
    expect([ppo.wonShare, ppo.beatsRandomShare]).to.deep.equal([0.75, 0.75]);
    expect([greedy.wonShare, greedy.beatsRandomShare, greedy.endedEarly]).to.deep.equal([1, 1, true]);
    expect([random.wonShare, random.beatsRandomShare]).to.deep.equal([0, 0]);
    expect([ppo.gapToBound, ppo.gapToBest]).to.deep.equal([0.5, 0.125]);
    expect([failed.median, failed.gapToBest, failed.failure]).to.deep.equal([null, null, 'not installed']);
  });

  it('counts a seed without a plan as infinitely bad', () => {
    const rows = summarizeRuns([made('random', 1, 3), made('random', 2, null), made('random', 3, 5)], null);
    expect(rows[0]).to.include({ median: 5, lowerQuartile: 4, upperQuartile: null, gapToBound: null });
    expect(rows[0].values).to.deep.equal([3, null, 5]);
  });

  it('tells a run that ran out of time from one that ended by itself', () => {
    const slow = made('ilp', 1, 3, { evaluations: 7, wallSec: 10.2 });
    const quick = made('greedy', 1, 3, { evaluations: 7 });
    const capped = made('ppo', 1, 3, { evaluations: 70, wallSec: 5.1, capSec: 5 });
    const marks = summarizeRuns([slow, quick, capped], null).map((r) => [r.method, r.endedEarly, r.capped]);
    expect(marks).to.have.deep.members([
      ['ilp', false, true],
      ['greedy', true, false],
      ['ppo', false, true],
    ]);
  });
});
