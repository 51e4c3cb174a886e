/** `partition verify <model.onnx> [plan.json]`: runs the whole and its split, and compares. */
import type { CommandModule } from 'yargs';
import type { VerifyReply, VerifyRequest } from '../api/index.js';
import { verifyTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { CommonArgs } from './options.js';
import { integerBetween, parseBindings, positiveInteger, required, text, withCommon } from './options.js';
import { Progress, print, printError, printJson } from './output.js';
import { MOST_RANKS, MOST_STAGES } from './split.js';
import { awaitOrStop, startThread } from './thread.js';

type Args = CommonArgs & {
  model?: string;
  plan?: string;
  stages?: string;
  tp?: string;
  inputs?: string;
  bind?: string[];
  seed: string;
  tolerance?: string;
};

const USAGE = 'verify <model.onnx> [plan.json]';
const LARGEST_SEED = 2 ** 32 - 1;

export const verifyCommand: CommandModule<object, Args> = {
  command: 'verify [model] [plan]',
  describe: 'run a model and its split through ONNX Runtime, and compare',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('model', { type: 'string', describe: 'ONNX file with its weights' })
        .positional('plan', { type: 'string', describe: 'plan.json; not needed with --stages or --tp' }),
    )
      .option('stages', text("stages of about equal work, instead of the plan's"))
      .option('tp', text("tensor-parallel ranks of each stage, instead of the plan's"))
      .option('inputs', text('inputs as .npz (numpy.savez) or .json; default: made up from the seed'))
      .option('bind', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'size of a symbolic dimension of made-up inputs: name=value',
      })
      .option('seed', text('random seed of made-up inputs', '0'))
      .option(
        'tolerance',
        text(
          'largest difference over the largest element; default 1e-4, 2e-3 in half precision, 5e-2 where tp cuts a quantised model',
        ),
      )
      .epilogue(
        [
          'Needs onnxruntime-node, or onnxruntime-web where that has no build. Collectives run in this process.',
          'Exit 1 when an output is further off than the tolerance.',
          '',
          'Examples:',
          '  partition verify model.onnx model.partition/plan.json',
          '  partition verify graphs/gpt2-tiny.ts.onnx --stages 2 --tp 2',
          '  partition verify model.onnx --tp 4 --inputs inputs.npz --tolerance 1e-5 --json',
          '  partition verify model.onnx --stages 3 --bind batch=1 --bind seq=16 --seed 7',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const request: VerifyRequest = {
      modelPath: required(args.model, 'an ONNX file', USAGE),
      planPath: args.plan,
      stages: positiveInteger(args.stages, '--stages', MOST_STAGES),
      tp: positiveInteger(args.tp, '--tp', MOST_RANKS),
      inputsPath: args.inputs,
      bind: parseBindings(args.bind),
      seed: integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
      tolerance: args.tolerance === undefined ? undefined : parseTolerance(args.tolerance),
    };
    const progress = new Progress(args.quiet);
    const thread = startThread<VerifyRequest, string, VerifyReply | null>(
      './verifyWorker.js',
      request,
      (status) => progress.update(status),
    );
    const { reply, interrupted } = await awaitOrStop(thread).finally(() => progress.done());
    if (reply === null) {
      printError('partition: interrupted');
      process.exit(interrupted ?? 130);
    }
    if (args.json) printJson(reply.verification);
    else print(verifyTable(reply));
    if (!reply.verification.pass) process.exit(1);
  },
};

function parseTolerance(value: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number) || number < 0)
    throw new PartitionError(
      'usage',
      `expected a number, found ${value || 'nothing'}`,
      '--tolerance',
      'for example --tolerance 1e-4',
    );
  return number;
}
