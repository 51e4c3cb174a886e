/** `partition inspect <model.onnx>`: what is in a model. */
import type { CommandModule } from 'yargs';
import { inspectModel, inspectionTable } from '../api/index.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, positiveInteger, required, withCommon, withModel } from './options.js';
import { print, printJson, printWarnings } from './output.js';

type Args = CommonArgs & ModelArgs & { model: string | undefined; tensors: boolean };

const USAGE = 'inspect <model.onnx>';

export const inspectCommand: CommandModule<object, Args> = {
  command: 'inspect [model]',
  describe: 'what is in a model: operators, parameters, FLOPs, layers',
  builder: (argv) =>
    withModel(
      withCommon(
        argv.usage(`partition ${USAGE}`).positional('model', { type: 'string', describe: 'ONNX file' }),
      ),
    )
      .option('tensors', {
        type: 'boolean',
        default: false,
        describe: 'list every tensor with its type and shape',
      })
      .epilogue(
        [
          'Examples:',
          '  partition inspect graphs/bert-large.onnx --seq 512   FLOPs of 512 tokens',
          '  partition inspect model.onnx --tensors --json        all inferred shapes',
        ].join('\n'),
      ),
  handler: (args) => {
    const inspection = inspectModel(required(args.model, 'an ONNX file', USAGE), {
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
