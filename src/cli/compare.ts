/** `partition compare <model.onnx> --devices N`: several methods, several seeds, one table. */
import { dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import type { CompareRequest, CompareRun, Comparison } from '../api/index.js';
import {
  COMPARED_METHODS,
  compareChart,
  compareJobs,
  comparePage,
  compareTable,
  comparedJobs,
  comparisonOf,
  methodNames,
  parseMtbf,
  robustOption,
} from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { checkWritableFolder, writeFileAtomic } from '../util/files.js';
import { formatSeconds } from '../util/format.js';
import { compareInWorkers } from './compareThread.js';
import { withMtbf } from './failureOptions.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { integerBetween, oneOf, parseBudget, required, text, withCommon } from './options.js';
import { Progress, print, printJson, printWarnings } from './output.js';
import type { ProblemArgs } from './problemOptions.js';
import { problemOptions, withProblem } from './problemOptions.js';
import { ROBUST_TEXT } from './robustOption.js';

type Args = CommonArgs &
  ProblemArgs & {
    model?: string;
    devices?: string;
    methods: string;
    seeds: string;
    budget: string;
    by?: string;
    chart?: string;
    threads: string;
    mtbf?: string;
    robust?: string;
  };

const USAGE = 'compare <model.onnx> --devices N';
const MOST_SEEDS = 1000;
const MOST_THREADS = 64;

export const compareCommand: CommandModule<object, Args> = {
  command: 'compare [model]',
  describe: 'several methods, several seeds, one table: quality, evaluations, time',
  builder: (argv) =>
    withMtbf(
      withProblem(
        withCommon(
          argv.usage(`partition ${USAGE}`).positional('model', { type: 'string', describe: 'ONNX file' }),
        ),
      ),
    )
      .option('devices', { ...text('accelerators to plan for (required)'), alias: 'n' })
      .option(
        'methods',
        text(
          `methods, separated by commas, or all: ${COMPARED_METHODS.join(', ')}`,
          'auto,random,greedy,exhaustive,ppo',
        ),
      )
      .option('seeds', text('number of seeds: 1, 2, 3, ...', '5'))
      .option('budget', text('of each run: evaluations (2000ev), seconds (10s) or both', '2000ev'))
      .option(
        'by',
        text('what is held equal: evaluations, seconds or both; default what the budget is given in'),
      )
      .option('robust', text(ROBUST_TEXT))
      .option('chart', text('curves of the best plan so far: a file that ends in .svg or .html'))
      .option('threads', text('runs at the same time', '2'))
      .epilogue(
        [
          'Random search, greedy and auto with its agents switched off are always in the table.',
          '',
          'Examples:',
          '  partition compare graphs/gpt2-small.onnx --devices 256 --seq 1024',
          '  partition compare model.onnx --devices 64 --methods auto,ppo --seeds 3 --budget 500ev,2s',
          '  partition compare model.onnx --devices 64 --robust 10%             by the 90th percentile',
          '  partition compare model.onnx --devices 64 --methods all --chart curves.html --json',
          '  partition compare model.onnx --devices 1024 --mtbf device=50000h,steps=100000',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const request = requestOf(args);
    const failures = args.mtbf === undefined ? null : parseMtbf(args.mtbf);
    const chart = args.chart === undefined ? null : chartKind(args.chart);
    const jobs = compareJobs(request);
    const progress = new Progress(args.quiet);
    let done = 0;
    const release = onInterrupt(() => {
      progress.done();
      return `interrupted after ${done} of ${jobs.length} runs`;
    });
    progress.update(`reading ${request.modelPath}`);
    const threads = integerBetween(args.threads, '--threads', 1, MOST_THREADS);
    const { setting, runs } = await compareInWorkers(request, jobs, threads, (run, count) => {
      done = count;
      progress.update(
        `${count} of ${jobs.length} runs done; ${run.method} took ${formatSeconds(run.wallSec)}`,
        count / jobs.length,
      );
    }).finally(() => progress.done());
    const compared = comparisonOf(setting, request, runs);
    const comparison: Comparison =
      failures === null ? compared : { ...compared, goodput: comparedJobs(runs, failures, request) };
    if (chart !== null) writeFileAtomic(args.chart!, drawn(chart, comparison, runs));
    release();
    if (args.json) printJson({ ...comparison, runs: runs.map(toldRun), chartPath: args.chart ?? null });
    else {
      if (!args.quiet) printWarnings(comparison.warnings);
      print(compareTable(comparison));
      if (args.chart !== undefined) print(`curves written to ${args.chart}`);
    }
  },
};

/** A run as it is told: how it came to its plan. */
function toldRun({ method, seed, by, value, curve }: CompareRun) {
  return { method, seed, by, value, curve };
}

function drawn(kind: 'svg' | 'html', comparison: Comparison, runs: readonly CompareRun[]): string {
  return kind === 'svg' ? compareChart(comparison, runs) : comparePage(comparison, runs);
}

function chartKind(path: string): 'svg' | 'html' {
  const match = /\.(svg|html)$/i.exec(path);
  if (match === null)
    throw new PartitionError('usage', `expected a file that ends in .svg or .html, found ${path}`, '--chart');
  checkWritableFolder(dirname(path));
  return match[1].toLowerCase() as 'svg' | 'html';
}

/** Checks every flag before anything is read. */
function requestOf(args: Args): CompareRequest {
  const modelPath = required(args.model, 'a model', USAGE);
  const devices = required(args.devices, '--devices with the number of accelerators', USAGE);
  const seeds = integerBetween(args.seeds, '--seeds', 1, MOST_SEEDS);
  return {
    ...problemOptions(args, devices),
    modelPath,
    methods: methodsOf(args.methods),
    seeds: Array.from({ length: seeds }, (_, i) => i + 1),
    ...amounts(args),
    robust: robustOption(args.robust, args.objective),
  };
}

function methodsOf(words: string): string[] {
  const methods = [...new Set([...COMPARED_METHODS, ...methodNames()])];
  if (words.trim() === 'all') return methods;
  return words.split(',').map((word) => oneOf(word.trim(), methods, '--methods'));
}

function amounts({ budget, by }: Args): Pick<CompareRequest, 'maxEvaluations' | 'maxSec'> {
  const { maxEvaluations, maxSec } = parseBudget(budget);
  const given = {
    evaluations: maxEvaluations === Infinity ? undefined : maxEvaluations,
    seconds: maxSec === Infinity ? undefined : maxSec,
  };
  if (by === undefined) return { maxEvaluations: given.evaluations, maxSec: given.seconds };
  const wanted = by.split(',').map((word) => oneOf(word.trim(), ['evaluations', 'seconds'] as const, '--by'));
  for (const measure of wanted)
    if (given[measure] === undefined)
      throw new PartitionError(
        'usage',
        `expected a budget in ${measure}, found ${budget}`,
        '--by',
        'for example --by evaluations,seconds --budget 2000ev,10s',
      );
  return {
    maxEvaluations: wanted.includes('evaluations') ? given.evaluations : undefined,
    maxSec: wanted.includes('seconds') ? given.seconds : undefined,
  };
}
