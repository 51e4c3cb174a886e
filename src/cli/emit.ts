/** `partition emit <plan.json> --target T`: the files that start a plan with the tools its users run. */
import type { CommandModule } from 'yargs';
import { emitPlan, emitTargets } from '../api/index.js';
import { oneLine } from '../util/errors.js';
import { formatTable } from '../util/format.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, positiveInteger, required, text, withCommon, withModel } from './options.js';
import { onSignal } from './interrupt.js';
import { Progress, print, printError, printJson, printWarnings } from './output.js';

type Args = CommonArgs &
  ModelArgs & { plan?: string; target?: string; out?: string; model?: string; cluster?: string };

const USAGE = 'emit <plan.json> --target <name>';

export const emitCommand: CommandModule<object, Args> = {
  command: 'emit [plan]',
  describe: 'launcher and compiler files of a plan',
  builder: (argv) =>
    withModel(
      withCommon(
        argv.usage(`partition ${USAGE}`).positional('plan', { type: 'string', describe: 'plan.json' }),
      ),
    )
      .option('target', text('what the files are for (required); see below'))
      .option('out', text('folder for the files; default: one of the target’s name beside the plan'))
      .option('model', text('ONNX file; default: the one that the plan was made from, if it is found'))
      .option('cluster', text('where the plan was made, if run.json beside it does not say'))
      .epilogue(
        [
          'Targets:',
          formatTable(
            emitTargets().map(({ name, about }) => [`  ${name}`, about]),
            2,
          ),
          '',
          'What a plan asks and the tool cannot express is said in the files, on stderr and in --json.',
          'Scripts ask for what neither plan nor model says as variables that must be set.',
          '',
          'Examples:',
          '  partition emit model.partition/plan.json --target megatron',
          '  partition emit model.partition/plan.json --target slurm --out job',
          '  partition emit partitions/gpt2-small.8.json --target torch --model graphs/gpt2-small.onnx --out gpt2',
          '  partition emit model.partition/plan.json --target onnx --json',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const planPath = required(args.plan, 'a plan.json', USAGE);
    const target = required(args.target, '--target with the tool that starts the plan', USAGE);
    const progress = new Progress(args.quiet);
    let stopped: number | null = null;
    const release = onSignal((exitCode) => (stopped = exitCode));
    const result = await emitPlan(
      {
        planPath,
        target,
        out: args.out,
        modelPath: args.model,
        cluster: args.cluster,
        seq: positiveInteger(args.seq, '--seq'),
        bind: parseBindings(args.bind),
        strict: args.strict,
      },
      { onFile: (name) => progress.updateNow(`writing ${name}`), isStopped: () => stopped !== null },
    ).finally(() => {
      progress.done();
      release();
    });
    if (result === null) {
      printError('partition: interrupted, nothing was written');
      process.exit(stopped ?? 130);
    }
    if (!args.quiet) {
      printWarnings(result.warnings);
      for (const { asked, instead, blocks } of result.notExpressed)
        printError(
          `${blocks ? 'does not start' : 'not expressed'}: ${oneLine(asked, 300)}: ${oneLine(instead, 400)}`,
        );
    }
    if (args.json) printJson(result);
    else for (const { path } of result.files) print(oneLine(path, 400));
  },
};
