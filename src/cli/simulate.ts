/** `partition simulate <model.onnx> <plan.json>`: prices a given plan and draws its time line. */
import { dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import { simulatePlan, simulationTable } from '../api/index.js';
import { checkWritableFolder, writeFileAtomic } from '../util/files.js';
import type { CommonArgs, ModelArgs } from './options.js';
import {
  CALIBRATION_TEXT,
  parseBindings,
  positiveInteger,
  required,
  text,
  withCommon,
  withModel,
} from './options.js';
import { onInterrupt } from './interrupt.js';
import { print, printJson, printWarnings } from './output.js';

type Args = CommonArgs &
  ModelArgs & {
    model?: string;
    plan?: string;
    cluster?: string;
    stack?: string;
    calibration?: string;
    trace?: string;
    explain: boolean;
  };

const USAGE = 'simulate <model.onnx> <plan.json>';

export const simulateCommand: CommandModule<object, Args> = {
  command: 'simulate [model] [plan]',
  describe: 'price a plan event by event, judge it, write its time line',
  builder: (argv) =>
    withModel(
      withCommon(
        argv
          .usage(`partition ${USAGE}`)
          .positional('model', { type: 'string', describe: 'ONNX file' })
          .positional('plan', { type: 'string', describe: 'plan.json' }),
      ),
    )
      .option('cluster', text("another cluster than the plan's: preset or YAML file"))
      .option('stack', text("another stack profile than the plan's: name or YAML file"))
      .option('calibration', text(CALIBRATION_TEXT))
      .option('explain', {
        type: 'boolean',
        default: false,
        describe: 'the time of every stage, and where the energy goes',
      })
      .option('trace', text('write the time line here, for ui.perfetto.dev'))
      .epilogue(
        [
          'Examples:',
          '  partition simulate model.onnx model.partition/plan.json --trace step.json',
          '  partition simulate model.onnx model.partition/plan.json --cluster a100-80gb',
          '  partition simulate model.onnx model.partition/plan.json --explain',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const modelPath = required(args.model, 'an ONNX file and a plan.json', USAGE);
    const planPath = required(args.plan, 'a plan.json', USAGE);
    if (args.trace !== undefined) checkWritableFolder(dirname(args.trace));
    const result = simulatePlan(modelPath, planPath, {
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
      cluster: args.cluster,
      stack: args.stack,
      calibration: args.calibration,
      trace: args.trace !== undefined,
    });
    if (args.trace !== undefined && result.trace !== null) {
      const release = onInterrupt(() => 'interrupted');
      writeFileAtomic(args.trace, result.trace);
      release();
    }
    if (args.json) printJson({ ...result.summary, tracePath: args.trace ?? null });
    else {
      if (!args.quiet) printWarnings(result.summary.warnings);
      print(simulationTable(result.summary, args.explain));
    }
  },
};
