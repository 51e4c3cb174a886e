import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { judgeShard } from '../../src/shard/index.js';
import { Random } from '../../src/util/random.js';
import { readProblem } from '../shard/support.js';
import type { ContestProblem } from '../support/shardInstances.js';
import { bruteForce, randomInstance } from '../support/shardInstances.js';
import { expectOneLine, expectValid, partition, scratchFolder, start } from './support.js';

const TINY = { nodes: 8, edges: 10, mostStrategies: 4, following: 0.2, forbidden: 0.02, tightness: 0.3 };
/** Too large to be solved to the end in seconds. */
const LARGE = { nodes: 2000, edges: 6000, mostStrategies: 12, following: 0, forbidden: 0, tightness: 0.05 };

describe('partition shard', function () {
  this.timeout(60_000);
  const folder = scratchFolder('shard');
  const write = (name: string, problem: ContestProblem): ContestProblem => {
    writeFileSync(join(folder(), name), JSON.stringify(problem));
    return problem;
  };
  const feasibleTiny = (): ContestProblem => {
    const random = new Random(1);
    for (;;) {
      const problem = randomInstance(random, TINY);
      if (bruteForce(problem) < Infinity) return problem;
    }
  };

  it('prints what is published and writes the strategies, of a file packed or not', async () => {
    const problem = write('tiny.json', feasibleTiny());
    writeFileSync(join(folder(), 'tiny.json.gz'), gzipSync(JSON.stringify(problem)));
    for (const file of ['tiny.json', 'tiny.json.gz']) {
      const { code, stdout, stderr } = await partition(
        ['shard', file, '--timeout', '5s', '--json'],
        folder(),
      );
      expect(code, stderr).to.equal(0);
      const result = JSON.parse(stdout) as Record<string, unknown>;
      expectValid('shard', result);
      const best = bruteForce(problem);
      expect(result).to.include({ cost: best, lowerBound: best, gap: 0, feasible: true, proven: true });
      expect(result['solutionPath']).to.equal('tiny.solution.json');
      const written = JSON.parse(readFileSync(join(folder(), 'tiny.solution.json'), 'utf8')) as number[];
      expect(written).to.deep.equal(result['solution']);
      expect(judgeShard(readProblem(problem), written)).to.deep.equal({
        cost: best,
        peakUsage: result['peakUsage'],
        feasible: true,
      });
    }
    const table = await partition(['shard', 'tiny.json', '--quiet', '--out', 'mine.json'], folder());
    expect(table.stdout).to.match(/^cost [^]*proved best[^]*peak usage [^]*wrote mine\.json\n$/);
  });

  it('exits 1 when the limit cannot be kept, and says the least possible peak', async () => {
    const problem = feasibleTiny();
    problem.problem.nodes.usages = problem.problem.nodes.usages.map((list) => list.map(() => 5));
    problem.problem.nodes.intervals = problem.problem.nodes.intervals.map(() => [0, 3]);
    problem.problem.usage_limit = 39;
    write('tight.json', problem);
    expectOneLine(
      await partition(['shard', 'tight.json', '--quiet'], folder()),
      1,
      /tight\.json: no solution fits: the least possible peak is 40, the limit 39/,
    );
    const { code, stdout } = await partition(['shard', 'tight.json', '--json', '--quiet'], folder());
    expect(code).to.equal(1);
    expectValid('shard', JSON.parse(stdout));
    expect(JSON.parse(stdout)).to.include({ feasible: false, cost: null, peakUsage: 40, solutionPath: null });
  });

  it('exits 1 when forbidden costs leave nothing', async () => {
    const problem = feasibleTiny();
    problem.problem.nodes.costs[3] = problem.problem.nodes.costs[3].map(() => 1e18);
    write('forbidden.json', problem);
    expectOneLine(await partition(['shard', 'forbidden.json', '--quiet'], folder()), 1, /nothing/);
  });

  it('finds a feasible solution of a larger instance with two threads, within the time', async () => {
    const instance = readProblem(write('large.json', randomInstance(new Random(3), LARGE)));
    const args = ['shard', 'large.json', '--timeout', '8s', '--threads', '2', '--json', '--quiet'];
    const { code, stdout, stderr } = await partition(args, folder());
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(stdout) as {
      cost: number;
      lowerBound: number;
      wallSec: number;
      solution: number[];
    };
    const verdict = judgeShard(instance, result.solution);
    expect(verdict.feasible).to.equal(true);
    expect(verdict.cost).to.equal(result.cost);
    expect(result.lowerBound).to.be.within(0.5 * result.cost, result.cost);
    expect(result.wallSec).to.be.lessThan(14);
  });

  it('prints its best so far on Ctrl-C', async () => {
    write('long.json', randomInstance(new Random(3), LARGE));
    const { child, ended } = start(['shard', 'long.json', '--timeout', '600s', '--json'], folder());
    // The first line of progress with a cost says that there is something to print.
    let said = '';
    child.stderr?.on('data', (text: string) => {
      said += text;
      if (/best \d/.test(said)) child.kill('SIGINT');
    });
    const { code, stdout } = await ended;
    expect(code).to.equal(130);
    expectValid('shard', JSON.parse(stdout));
    expect(JSON.parse(stdout)).to.include({ feasible: true });
  });

  it('names what is wrong on one line', async () => {
    const problem = feasibleTiny();
    problem.problem.nodes.intervals[2] = [5, 4];
    write('bad.json', problem);
    writeFileSync(join(folder(), 'cut.json.gz'), gzipSync(JSON.stringify(feasibleTiny())).subarray(0, 200));
    writeFileSync(join(folder(), 'empty.json'), '');
    const faults: [string[], number, RegExp][] = [
      [['bad.json'], 3, /bad\.json: problem\.nodes\.intervals\[2\]: expected an end of 5 or later, found 4/],
      [['cut.json.gz'], 3, /cut\.json\.gz: cannot unpack/],
      [['empty.json'], 3, /empty\.json: not JSON/],
      [['missing.json'], 3, /missing\.json: no such file/],
      [['.'], 3, /expected a sharding instance in JSON, found a directory/],
      [[], 2, /expected a problem in JSON/],
      [['bad.json', '--timeout', 'soon'], 2, /--timeout/],
      [['bad.json', '--threads', '0'], 2, /--threads: expected a whole number from 1 to 64, found 0/],
      [
        ['bad.json', '--neighbourhoods', 'best'],
        2,
        /--neighbourhoods: expected one of bandit, uniform, found best/,
      ],
    ];
    for (const [args, code, message] of faults)
      expectOneLine(await partition(['shard', ...args], folder()), code, message);
  });
});
