/** `partition inspect <model.onnx>`: what is in a model. */
import type { CommandModule } from 'yargs';
import { inspectModel, inspectionTable } from '../api/index.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, positiveInteger, withCommon, withModel } from './options.js';
import { print, printJson, printWarnings } from './output.js';

type Args = CommonArgs & ModelArgs & { model: string; tensors: boolean };

export const inspectCommand: CommandModule<object, Args> = {
  command: 'inspect <model>',
  describe: 'what is in a model: operators, parameters, FLOPs, layers, what is not understood',
  builder: (argv) =>
    withModel(
      withCommon(argv.positional('model', { type: 'string', describe: 'ONNX file', demandOption: true })),
    )
      .option('tensors', {
        type: 'boolean',
        default: false,
        describe: 'list every tensor with type and shape',
      })
      .example('$0 inspect graphs/bert-large.onnx --seq 512', 'FLOPs at 512 tokens')
      .example('$0 inspect model.onnx --tensors --json', 'all inferred shapes'),
  handler: (args) => {
    const inspection = inspectModel(args.model, {
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
      tensors: args.tensors,
    });
    if (args.json) printJson(inspection);
    else {
      if (!args.quiet) printWarnings(inspection.warnings);
      print(inspectionTable(inspection));
    }
  },
};
