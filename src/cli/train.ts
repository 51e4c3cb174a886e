/** `partition train`: trains the policy that `--method policy` and `--method ppo` start from. */
import type { CommandModule } from 'yargs';
import type { TrainingReport, TrainSummary } from '../api/index.js';
import { SHIPPED_TRAINING } from '../api/index.js';
import { checkWritableFolder } from '../util/files.js';
import { formatSeconds } from '../util/format.js';
import type { CommonArgs } from './options.js';
import { text, withCommon } from './options.js';
import { Progress, print, printError, printJson } from './output.js';
import { awaitOrStop } from './thread.js';
import { trainInWorker } from './trainThread.js';

type Args = CommonArgs & { config?: string; out: string; resume: boolean };

export const trainCommand: CommandModule<object, Args> = {
  command: 'train [config]',
  describe: 'train a policy on random models and clusters',
  builder: (argv) =>
    withCommon(
      argv.positional('config', {
        type: 'string',
        describe: 'YAML file (schema: training.schema.json); default: the training of the policy that ships',
      }),
    )
      .option('out', text('folder for checkpoint, policy, metrics and event files', 'training'))
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'go on from the checkpoint in --out, exactly as if never stopped',
      })
      .epilogue(
        [
          'Ctrl-C writes a checkpoint first. --out receives checkpoint.json (to resume), policy.json (to use),',
          "metrics.jsonl and TensorBoard's event files.",
          'Examples:',
          '  partition train --out run1                     the shipped policy again',
          '  partition train mine.yaml --out run2           a configuration of your own',
          '  partition train mine.yaml --out run2 --resume  after Ctrl-C',
          '  partition model.onnx --devices 64 --method policy --checkpoint run2/policy.json',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    checkWritableFolder(args.out);
    const progress = new Progress(args.quiet);
    const curve: number[] = [];
    const thread = trainInWorker(
      { configPath: args.config ?? SHIPPED_TRAINING, out: args.out, resume: args.resume },
      (report, updates, backend) => {
        curve.push(report.bestReturn);
        // The pace of a run that goes on is not that of its updates so far.
        const share = args.resume ? undefined : report.update / updates;
        progress.update(status(report, updates, backend, curve), share);
      },
    );
    const { reply: summary, interrupted } = await awaitOrStop(thread).finally(() => progress.done());
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
