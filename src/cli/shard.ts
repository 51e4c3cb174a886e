/** `partition shard <problem.json>`: a sharding for every operator of one intra-operator sharding instance. */
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import type { CommandModule } from 'yargs';
import type { ShardNews, ShardResult } from '../api/index.js';
import { SHARD_CHOICES, shardTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { writeFileAtomic } from '../util/files.js';
import { onSignal } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { integerBetween, oneOf, parseSeconds, required, text, withCommon } from './options.js';
import { Progress, print, printError, printJson } from './output.js';
import { awaitOrStop, startThread } from './thread.js';

type Args = CommonArgs & {
  problem?: string;
  timeout: string;
  threads?: string;
  seed: string;
  neighbourhoods: string;
  out?: string;
};

const USAGE = 'shard <problem.json[.gz]>';
const MOST_THREADS = 64;
const LARGEST_SEED = 2 ** 32 - 1;

export const shardCommand: CommandModule<object, Args> = {
  command: 'shard [problem]',
  describe: 'solve an intra-operator sharding problem (ASPLOS/EuroSys 2025 contest format)',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('problem', { type: 'string', describe: 'instance in JSON, gzipped or not' }),
    )
      .option('timeout', text('wall clock in all, reading included', '60s'))
      .option('threads', text('threads that search; default: one a core, 8 at most'))
      .option('seed', text('random seed', '0'))
      .option('neighbourhoods', text(`how the next one is chosen: ${SHARD_CHOICES.join(', ')}`, 'bandit'))
      .option('out', text('file for the strategies; default: <problem>.solution.json'))
      .epilogue(
        [
          'One strategy per node, so that node and edge costs are least and at no time the usages of the live',
          'nodes exceed the limit. Costs of 10^18 and more are forbidden. The file written is the list of',
          'strategies, one per node. Exit 1 when nothing is feasible.',
          '',
          'Examples:',
          '  partition shard problem.json                                     the best within 60 s',
          '  partition shard problem.json.gz --timeout 180s --threads 2 --json',
          '  partition shard problem.json --timeout 10s --seed 7 --out strategies.json',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const problemPath = required(args.problem, 'a problem in JSON', USAGE);
    const progress = new Progress(args.quiet);
    const request = {
      problemPath,
      timeoutSec: parseSeconds(args.timeout, '--timeout'),
      threads:
        args.threads === undefined
          ? Math.min(8, availableParallelism())
          : integerBetween(args.threads, '--threads', 1, MOST_THREADS),
      seed: integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
      choice: oneOf(args.neighbourhoods, SHARD_CHOICES, '--neighbourhoods'),
    };
    const thread = startThread<typeof request, ShardNews, ShardResult>('./shardWorker.js', request, (news) =>
      progress.update(`best ${news.cost ?? 'none yet'}, bound ${news.lowerBound?.toPrecision(8) ?? 'none'}`),
    );
    let stopped: number | null = null;
    const release = onSignal((exitCode) => (stopped = exitCode));
    const { reply: result, interrupted } = await awaitOrStop(thread)
      .catch((e: unknown) => {
        if (stopped === null || !(e instanceof PartitionError)) throw e;
        printError(`partition: interrupted while ${problemPath} was read, nothing was written`);
        process.exit(stopped);
      })
      .finally(() => {
        release();
        progress.done();
      });
    const solutionPath =
      args.out ?? `${basename(problemPath).replace(/(\.json)?(\.gz)?$/, '')}.solution.json`;
    if (result.feasible) writeFileAtomic(solutionPath, `[${result.solution.join(', ')}]\n`);
    const facts = { ...result, solutionPath: result.feasible ? solutionPath : null };
    if (args.json) printJson(facts);
    else if (result.feasible) print(`${shardTable(result)}\n\nwrote ${solutionPath}`);
    if (!result.feasible) throw infeasible(result);
    // Interrupted: the best so far is printed, and the exit code says so.
    if (interrupted !== null) process.exit(interrupted);
  },
};

function infeasible(result: ShardResult): PartitionError {
  const { usageLimit, peakUsage, problem } = result;
  const short = usageLimit !== null && peakUsage > usageLimit;
  const what = short
    ? `no solution fits: the least possible peak is ${peakUsage}, the limit ${usageLimit}`
    : result.proven
      ? 'no solution is feasible: forbidden costs and the limit leave nothing'
      : `no feasible solution was found in the time (the least possible peak is ${peakUsage})`;
  return new PartitionError(
    'infeasible',
    what,
    problem,
    short ? 'a higher usage_limit' : result.proven ? null : 'a longer --timeout',
  );
}
