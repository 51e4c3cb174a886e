/** `partition <model.onnx> --devices N`: plans, writes the plan, prints the summary. */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import type { ParetoReply, PlanRequest } from '../api/index.js';
import {
  CLOCK_METHODS,
  METHODS,
  checkPriced,
  goodputText,
  methodNames,
  paretoTable,
  parseMtbf,
  parseRisk,
  planTable,
  riskTable,
  robustOption,
  robustText,
  terminalPicture,
  underFailures,
  writeParetoFiles,
  writePlanFiles,
} from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { checkWritableFolder, removeQuietly, temporaryName } from '../util/files.js';
import { formatSeconds } from '../util/format.js';
import { nearNames } from '../util/near.js';
import type { RiskArgs } from './failureOptions.js';
import { riskFlags, withRisk } from './failureOptions.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { integerBetween, oneOf, parseBudget, required, text, withCommon } from './options.js';
import { Progress, commandLine, print, printError, printJson, printWarnings } from './output.js';
import type { Best, PlanNews } from './planThread.js';
import { planInWorker } from './planThread.js';
import type { ProblemArgs } from './problemOptions.js';
import { MOST_DEVICES, problemOptions, withProblem } from './problemOptions.js';
import { ROBUST_TEXT } from './robustOption.js';
import { deviceCounts, sweep } from './sweep.js';
import { terminalStyle } from './terminal.js';
import { awaitOrStop, startThread } from './thread.js';

type Args = CommonArgs &
  ProblemArgs &
  RiskArgs & {
    model?: string;
    devices?: string;
    phase?: string;
    method: string;
    checkpoint?: string;
    budget: string;
    seed: string;
    out?: string;
    record?: string;
    clocks?: string;
    robust?: string;
  };

const PHASES = ['train', 'inference'] as const;
const USAGE = '<model.onnx> --devices N';

/** Seeds are 32-bit. */
const LARGEST_SEED = 2 ** 32 - 1;

type Complete = Args & { readonly devices: string };

/** @param commands names of the others, one of which a lone word may have meant */
export const planCommand = (commands: () => readonly string[]): CommandModule<object, Args> => ({
  command: '$0 [model]',
  describe: 'plan how to split a model over devices',
  builder: (argv) =>
    withRisk(
      withProblem(
        withCommon(argv.positional('model', { type: 'string', describe: 'ONNX file' })),
        '; or pareto: time against energy',
      ),
    )
      .option('devices', {
        ...text('accelerators to plan for (required), or a range such as 256..4096'),
        alias: 'n',
      })
      .option('phase', text('train or inference; default inference for graphs with a key-value cache'))
      .option('method', text(`search method: ${METHODS.join(', ')}`, 'auto'))
      .option(
        'checkpoint',
        text('policy of partition train for --method agent, policy or ppo; default the one that ships'),
      )
      .option('budget', text('search budget: seconds (10s), evaluations (2000ev) or both', '10s'))
      .option(
        'clocks',
        text(
          `clocks by task that cost no time, written into the plan: ${CLOCK_METHODS.join(', ')} (min-cut of the critical path, by group of tasks, an agent); for pareto default exact`,
        ),
      )
      .option('robust', text(ROBUST_TEXT))
      .option('seed', text('random seed', '0'))
      .option('out', text('output folder; default <model>.partition'))
      .option('record', text('keep every priced plan in this file, for partition replay'))
      .epilogue(
        [
          'Examples:',
          '  partition graphs/gpt2-small.onnx --devices 8 --seq 1024           one host',
          '  partition model.onnx --devices 1024 --cluster a100-80gb --batch 2048',
          '  partition model.onnx --devices 64 --bind batch=1 --bind seq=4096 --json',
          '  partition model.onnx --devices 64 --objective pareto              plans and clocks, time/energy',
          '  partition model.onnx --devices 64 --clocks exact                  less energy in the same time',
          '  partition model.onnx --devices 64 --plugin ./mine.js --method mine  a method of your own',
          '  partition model.onnx --devices 256..4096                          the time/cost frontier',
          '  partition model.onnx --devices 64 --record search.jsonl           for partition replay',
          '  partition model.onnx --devices 1024 --mtbf device=50000h,spares=2  expected time to train',
          '  partition model.onnx --devices 1024 --mtbf steps=90000,device=50000h --deadline 30d --max-cost 2e6',
          '  partition model.onnx --devices 64 --robust 10%                    good in 9 of 10 likely worlds',
          '  partition inspect model.onnx                                      what is in it',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const { devices } = args;
    if (devices === undefined) throw noDevices(required(args.model, 'a model', USAGE), commands());
    if (args.mtbf !== undefined) parseMtbf(args.mtbf);
    const risk = parseRisk(args);
    if (args.objective === 'pareto') return pareto({ ...args, devices });
    const counts = deviceCounts(devices, MOST_DEVICES);
    const request = requestOf({ ...args, devices: counts === null ? devices : String(counts[0]) });
    const folder = args.out ?? `${basename(request.modelPath).replace(/\.onnx$/, '')}.partition`;
    checkWritableFolder(folder);
    if (args.record !== undefined) checkRecord(args.record, counts !== null);
    if (args.record !== undefined && args.robust !== undefined) throw recordsNominal();
    checkPriced(risk, request);
    if (counts !== null) {
      await sweep(request, counts, folder, args);
      return;
    }
    checkPriced(risk, request);
    const progress = new Progress(args.quiet, request.budget?.maxSec);
    let best: Best | null = null;
    const release = onInterrupt(() => {
      progress.done();
      if (args.record !== undefined) removeQuietly(temporaryName(args.record));
      return best === null
        ? 'interrupted before a plan was found; nothing was written'
        : `interrupted; best so far ${best.text}, step ${formatSeconds(best.stepTimeSec)}; nothing was written`;
    });
    const reply = await planInWorker(request, (status, found) => {
      best = found ?? best;
      progress.update(status);
    }).finally(() => progress.done());
    const summary = writePlanFiles(reply, request, folder, commandLine());
    release();
    const job = underFailures(reply.plan, request.failures, request, request.seed ?? 0);
    if (args.json) printJson({ ...summary, ...job });
    else {
      if (!args.quiet) printWarnings(summary.warnings);
      print(planTable(reply.plan, summary));
      const { robust, prediction } = reply.plan;
      if (robust !== undefined) print(`\n${robustText(robust, prediction.stepTimeSec)}`);
      if (job.goodput !== undefined) print(`\n${goodputText(job.goodput)}`);
      if (job.risk !== undefined) print(`\n${riskTable(job.risk)}`);
      if (!args.quiet) print(`\n${terminalPicture(reply.picture, terminalStyle())}`);
    }
  },
});

/** `--objective pareto`: plans and clocks that nothing beats in time and energy. */
async function pareto(args: Complete): Promise<void> {
  if (args.mtbf !== undefined)
    throw new PartitionError('usage', 'the expected time is of one plan, and pareto makes several', '--mtbf');
  if (args.robust !== undefined)
    throw new PartitionError('usage', 'pareto weighs time and energy: expected --objective time', '--robust');
  const request = requestOf({ ...args, objective: 'time' });
  if (args.record !== undefined)
    throw new PartitionError('usage', 'pareto is several searches, and a record holds one', '--record');
  const folder = args.out ?? `${basename(request.modelPath).replace(/\.onnx$/, '')}.partition`;
  checkWritableFolder(folder);
  const progress = new Progress(args.quiet);
  const onNews = ({ text: status }: PlanNews): void => progress.update(status);
  const thread = startThread<PlanRequest, PlanNews, ParetoReply>('./paretoWorker.js', request, onNews);
  const { reply, interrupted } = await awaitOrStop(thread).finally(() => progress.done());
  if (interrupted !== null) {
    print(paretoTable(reply.facts));
    printError('partition: interrupted; best so far above, nothing was written');
    process.exit(interrupted);
  }
  const chartPath = writeParetoFiles(reply, folder);
  if (args.json) printJson({ ...reply.facts, folder, chartPath });
  else print(`${paretoTable(reply.facts)}\n\nplans and chart written to ${folder}`);
}

/** Checks every flag before anything is read. */
function requestOf(args: Complete): PlanRequest {
  const modelPath = required(args.model, 'a model', USAGE);
  return {
    ...problemOptions(args, args.devices),
    modelPath,
    phase: args.phase === undefined ? undefined : oneOf(args.phase, PHASES, '--phase'),
    method: oneOf(args.method, methodNames(), '--method'),
    checkpoint: args.checkpoint,
    budget: parseBudget(args.budget),
    seed: integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
    record: args.record,
    robust: robustOption(args.robust, args.objective),
    failures: riskFlags(args),
    clocks: args.clocks === undefined ? undefined : oneOf(args.clocks, CLOCK_METHODS, '--clocks'),
  };
}

function checkRecord(path: string, severalSearches: boolean): void {
  if (severalSearches)
    throw new PartitionError(
      'usage',
      'a range of device counts is several searches, and a record holds one',
      '--record',
      'record one device count at a time',
    );
  checkWritableFolder(dirname(path));
}

function recordsNominal(): PartitionError {
  return new PartitionError('usage', 'a record holds nominal prices, and quantiles are searched', '--record');
}

/** A lone word may be a mistyped command. */
function noDevices(word: string, commands: readonly string[]): PartitionError {
  if (existsSync(word) || word.includes('.')) {
    return new PartitionError(
      'usage',
      'expected --devices with the number of accelerators',
      null,
      `partition ${USAGE}`,
    );
  }
  const near = nearNames(word, commands);
  return new PartitionError(
    'usage',
    'neither a command nor a file',
    word,
    near.length > 0 ? `did you mean ${near.join(' or ')}?` : 'partition --help lists the commands',
  );
}
