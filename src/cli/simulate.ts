/** `partition simulate <model.onnx> <plan.json>`: prices a given plan and draws its time line. */
import type { CommandModule } from 'yargs';
import { simulatePlan, simulationTable } from '../api/index.js';
import { writeFileAtomic } from '../util/files.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, positiveInteger, withCommon, withModel } from './options.js';
import { print, printJson, printWarnings } from './output.js';

type Args = CommonArgs & ModelArgs & { model: string; plan: string; cluster?: string; trace?: string };

export const simulateCommand: CommandModule<object, Args> = {
  command: 'simulate <model> <plan>',
  describe: 'price a plan event by event; judge it; write its time line',
  builder: (argv) =>
    withModel(
      withCommon(
        argv
          .positional('model', { type: 'string', describe: 'ONNX file', demandOption: true })
          .positional('plan', { type: 'string', describe: 'plan.json', demandOption: true }),
      ),
    )
      .option('cluster', { type: 'string', describe: "another cluster than the plan's" })
      .option('trace', { type: 'string', describe: 'write a Perfetto (Chrome JSON) trace' })
      .example(
        '$0 simulate model.onnx model.partition/plan.json --trace step.json',
        'open step.json in ui.perfetto.dev',
      ) as never,
  handler: (args) => {
    const result = simulatePlan(args.model, args.plan, {
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
      cluster: args.cluster,
      trace: args.trace !== undefined,
    });
    if (args.trace !== undefined && result.trace !== null) writeFileAtomic(args.trace, result.trace);
    if (args.json) printJson({ ...result.summary, tracePath: args.trace ?? null });
    else {
      if (!args.quiet) printWarnings(result.summary.warnings);
      print(simulationTable(result.summary));
    }
  },
};
