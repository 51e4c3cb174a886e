/** `partition split <model.onnx> [plan.json]`: one ONNX sub-model per stage and rank. */
import type { CommandModule } from 'yargs';
import type { SplitRequest, SplitSummary } from '../api/index.js';
import { splitTable, WEIGHT_PLACES } from '../api/index.js';
import { oneLine } from '../util/errors.js';
import { formatPercent } from '../util/format.js';
import type { CommonArgs } from './options.js';
import { oneOf, positiveInteger, required, text, withCommon } from './options.js';
import { Progress, print, printError, printJson } from './output.js';
import { awaitOrStop, startThread } from './thread.js';

type Args = CommonArgs & {
  model?: string;
  plan?: string;
  stages?: string;
  tp?: string;
  out?: string;
  weights: string;
};

const USAGE = 'split <model.onnx> [plan.json]';
export const MOST_STAGES = 16_384;
export const MOST_RANKS = 1024;

export const splitCommand: CommandModule<object, Args> = {
  command: 'split [model] [plan]',
  describe: 'one ONNX sub-model per stage and tensor-parallel rank',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('model', { type: 'string', describe: 'ONNX file' })
        .positional('plan', { type: 'string', describe: 'plan.json; not needed with --stages or --tp' }),
    )
      .option('stages', text("stages of about equal work, instead of the plan's"))
      .option('tp', text("tensor-parallel ranks of each stage, instead of the plan's"))
      .option('out', text('folder for the sub-models; default <model>.split'))
      .option(
        'weights',
        text('copy: into every sub-model; reference: external weights stay in their file, linked', 'copy'),
      )
      .epilogue(
        [
          'manifest.json beside the sub-models says in which order they run, what is sent between stages,',
          'and which collectives join the ranks. What cannot be cut over the ranks runs whole on each.',
          'partition verify proves that the pieces compute what the whole does.',
          '',
          'Examples:',
          '  partition split model.onnx model.partition/plan.json',
          '  partition split graphs/gpt2-tiny.ts.onnx --stages 2 --tp 2 --out pieces',
          '  partition split model.onnx --stages 4 --weights reference',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const request: SplitRequest = {
      modelPath: required(args.model, 'an ONNX file', USAGE),
      planPath: args.plan,
      stages: positiveInteger(args.stages, '--stages', MOST_STAGES),
      tp: positiveInteger(args.tp, '--tp', MOST_RANKS),
      out: args.out,
      weights: oneOf(args.weights, WEIGHT_PLACES, '--weights'),
    };
    const progress = new Progress(args.quiet);
    const thread = startThread<SplitRequest, number, SplitSummary | null>(
      './splitWorker.js',
      request,
      (done) => progress.update(`${formatPercent(done)} written`),
    );
    const { reply, interrupted } = await awaitOrStop(thread).finally(() => progress.done());
    if (reply === null) {
      printError('partition: interrupted, nothing was written');
      process.exit(interrupted ?? 130);
    }
    if (args.json) printJson(reply);
    else {
      print(splitTable(reply));
      print(oneLine(reply.manifest, 400));
    }
  },
};
