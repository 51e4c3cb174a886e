/** `partition train`: trains the policy that `--method policy` and `--method ppo` start from. */
import { dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import type { TrainSummary, TrainingReport } from '../api/index.js';
import { FINE_TUNING, SHIPPED_TRAINING, episodeTable, fineTuneTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { checkWritableFolder } from '../util/files.js';
import { formatSeconds } from '../util/format.js';
import type { CommonArgs } from './options.js';
import { integerBetween, parseSeconds, positiveInteger, text, withCommon } from './options.js';
import { Progress, print, printError, printJson } from './output.js';
import { awaitOrStop } from './thread.js';
import type { TrainNews } from './trainThread.js';
import { fineTuneInWorker, trainInWorker } from './trainThread.js';

type Args = CommonArgs & {
  config?: string;
  out: string;
  resume: boolean;
  updates?: string;
  budget?: string;
  'from-log'?: string;
  plan?: string;
  model?: string;
  seed?: string;
  install?: string;
};

const LARGEST_SEED = 2 ** 32 - 1;

export const trainCommand: CommandModule<object, Args> = {
  command: 'train [config]',
  describe: 'train a policy on random models and clusters, or fine-tune one on observed jobs',
  builder: (argv) =>
    withCommon(
      argv.positional('config', {
        type: 'string',
        describe:
          'YAML file (schema: training.schema.json); default: the training of the policy that ships, or its fine-tuning',
      }),
    )
      .option('out', text('folder for checkpoint, policy, metrics and event files', 'training'))
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'go on from the checkpoint in --out, exactly as if never stopped',
      })
      .option('updates', text("updates of the training, in place of the configuration's"))
      .option('budget', text('updates end after this long, --budget 180s; judging takes half a minute more'))
      .option(
        'from-log',
        text(
          "fine-tune on jobs: a log, a monitor's state.json, a folder with plan.json and a log, or of such",
        ),
      )
      .option('plan', text('with --from-log: plan.json of the job; default beside the log'))
      .option('model', text('with --from-log: ONNX file; default where the plan was made from'))
      .option('seed', text("with --from-log: random seed, in place of the configuration's"))
      .option('install', text('with --from-log: a policy file that an accepted policy replaces too'))
      .epilogue(
        [
          'Ctrl-C writes a checkpoint first. --out receives checkpoint.json (to resume), policy.json (to use),',
          "metrics.jsonl and TensorBoard's event files.",
          '',
          '--from-log goes on from policy.json in --out, else from the policy that ships (or --policy): the observed',
          'jobs with their slow devices and links, varied, take turns with drawn problems. The new policy then has',
          'to pass a guard: on the suite and on the observed jobs it must not be worse than the old one beyond the',
          'tolerance that is printed. Passed, it replaces policy.json (the old one stays as policy.json.previous);',
          'refused, the old one stays, and the exit code is 0 all the same.',
          '',
          'A configuration with episode: { placement: workload.json } or { schedule: plan.json } trains ppo, dqn or sac on',
          'that one problem, shown its experts first, and answers with the best episode.',
          '',
          'Examples:',
          '  partition train --out run1                     the shipped policy again',
          '  partition train mine.yaml --out run2           a configuration of your own',
          '  partition train mine.yaml --out run2 --resume  after Ctrl-C',
          '  partition train --from-log model.partition/monitor/state.json --plan model.partition/plan.json --out tuned',
          '  partition train --from-log jobs/ --updates 60 --out tuned --json',
          '  partition model.onnx --devices 64 --policy tuned/policy.json',
          '  partition model.onnx --devices 64 --method policy --checkpoint run2/policy.json',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const { out } = args;
    const updates = positiveInteger(args.updates, '--updates', 1e9);
    const maxSec = args.budget === undefined ? undefined : parseSeconds(args.budget, '--budget');
    checkWritableFolder(out);
    const common = { out, resume: args.resume, updates, maxSec };
    if (args['from-log'] !== undefined) {
      await fineTune(args, args['from-log'], common);
      return;
    }
    for (const flag of ['plan', 'model', 'seed', 'install'] as const)
      if (args[flag] !== undefined)
        throw new PartitionError('usage', `--${flag} is for --from-log`, `--${flag}`);
    const view = new TrainingView(args);
    const thread = trainInWorker({ ...common, configPath: args.config ?? SHIPPED_TRAINING }, view.news);
    const { reply: summary, interrupted } = await awaitOrStop(thread).finally(view.done);
    if ('kind' in summary) {
      // Stopped or not, the best episode is an answer.
      if (args.json) printJson(summary);
      else print(episodeTable(summary));
      if (interrupted !== null) process.exit(interrupted);
      return;
    }
    if (interrupted !== null) {
      printError(
        `partition: interrupted after update ${summary.updates} of ${summary.plannedUpdates}; ${summary.checkpointPath} is written, --resume goes on`,
      );
      process.exit(interrupted);
    }
    if (args.json) printJson(summary);
    else print(table(summary));
  },
};

interface CommonRequest {
  readonly out: string;
  readonly resume: boolean;
  readonly updates: number | undefined;
  readonly maxSec: number | undefined;
}

async function fineTune(args: Args, from: string, common: CommonRequest): Promise<void> {
  const { install } = args;
  if (install !== undefined) checkWritableFolder(dirname(install));
  const request = {
    ...common,
    configPath: args.config ?? FINE_TUNING,
    from,
    planPath: args.plan,
    modelPath: args.model,
    seed: args.seed === undefined ? undefined : integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
    install,
  };
  const view = new TrainingView(args);
  const { reply: facts, interrupted } = await awaitOrStop(fineTuneInWorker(request, view.news)).finally(
    view.done,
  );
  if (interrupted !== null && facts.verdict === null) {
    printError(
      `partition: interrupted after update ${facts.updates} of ${facts.plannedUpdates}; the old policy stays, --resume goes on`,
    );
    process.exit(interrupted);
  }
  if (args.json) printJson(facts);
  else print(fineTuneTable(facts));
  if (interrupted !== null) process.exit(interrupted);
}

/** Progress of a training on stderr. */
class TrainingView {
  private readonly progress: Progress;
  private readonly curve: number[] = [];

  constructor(private readonly args: Args) {
    this.progress = new Progress(args.quiet);
  }

  readonly news = (news: TrainNews): void => {
    if (news.kind === 'text') {
      this.progress.update(news.text);
      return;
    }
    const { report, updates, backend } = news;
    this.curve.push(report.bestReturn);
    // The pace of a run that goes on is not that of its updates so far.
    const share = this.args.resume ? undefined : report.update / updates;
    this.progress.update(status(report, updates, backend, this.curve), share);
  };

  readonly done = (): void => this.progress.done();
}

function status(report: TrainingReport, updates: number, backend: string, curve: readonly number[]): string {
  const { update, meanReturn, bestReturn, entropy } = report;
  return (
    `update ${update} of ${updates} on ${backend}, return ${meanReturn.toFixed(3)}, best ${bestReturn.toFixed(3)}, ` +
    `entropy ${entropy.toFixed(2)} ${sparkline(curve)}`
  );
}

const BARS = '▁▂▃▄▅▆▇█';
const POINTS = 24;

/** The curve so far as bars, each the mean of an equal part. */
function sparkline(values: readonly number[]): string {
  const points = Math.min(POINTS, values.length);
  const means = Array.from({ length: points }, (_, i) => {
    const part = values.slice(
      Math.floor((i * values.length) / points),
      Math.floor(((i + 1) * values.length) / points),
    );
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
  const low = Math.min(...means);
  const range = Math.max(...means) - low;
  return means.map((m) => BARS[range === 0 ? 0 : Math.min(7, Math.floor((8 * (m - low)) / range))]).join('');
}

function table(s: TrainSummary): string {
  const shown = (x: number | null): string => (x === null ? '-' : x.toFixed(3));
  return [
    `${s.algorithm} on ${s.backend}, seed ${s.seed}: ${s.updates} of ${s.plannedUpdates} updates, ${s.episodes} episodes, ${formatSeconds(s.wallSec)}`,
    `return of the last tenth: mean ${shown(s.meanReturn)}, best of a problem ${shown(s.bestReturn)} (0 = the teacher's plan)`,
    `policy      ${s.policyPath}`,
    `checkpoint  ${s.checkpointPath}${s.finished ? '' : ' (--resume goes on)'}`,
    `metrics     ${s.metricsPath}`,
  ].join('\n');
}
