/** `partition replay <trace.jsonl> [model.onnx]`: prices a recorded search again, as it was or somewhere else. */
import type { CommandModule } from 'yargs';
import { replayRecord, replayTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { CALIBRATION_TEXT, required, text, withCommon } from './options.js';
import { Progress, print, printJson, printWarnings } from './output.js';

type Args = CommonArgs & {
  trace?: string;
  model?: string;
  cluster?: string;
  stack?: string;
  calibration?: string;
  oversubscription?: string;
};

const USAGE = 'replay <trace.jsonl> [model.onnx]';

/** Uplinks that carry less than this share of what hangs below them are none. */
const MOST_OVERSUBSCRIBED = 1024;

export const replayCommand: CommandModule<object, Args> = {
  command: 'replay [trace] [model]',
  describe: 'price a recorded search again: the same, or what if',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('trace', { type: 'string', describe: 'what --record wrote' })
        .positional('model', {
          type: 'string',
          describe: 'ONNX file; default: the one of the recorded name beside the record',
        }),
    )
      .option('cluster', text("another cluster than the record's: preset or YAML file"))
      .option('stack', text("another stack profile than the record's: name or YAML file"))
      .option('calibration', text(CALIBRATION_TEXT))
      .option('oversubscription', text('of the outermost network level: 2 = uplinks carry half'))
      .epilogue(
        [
          'Without options every price must come out as recorded, bit by bit on the same version; exit code 1 tells that',
          'one did not. With options the plans are priced there, in a table of before and after.',
          '',
          'Examples:',
          '  partition model.onnx --devices 64 --record search.jsonl',
          '  partition replay search.jsonl model.onnx                        the same again',
          '  partition replay search.jsonl model.onnx --cluster h200          what if these were H200s',
          '  partition replay search.jsonl model.onnx --oversubscription 2    what if the spine were 2:1',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const path = required(args.trace, 'a recorded search', USAGE);
    const progress = new Progress(args.quiet);
    const release = onInterrupt(() => 'interrupted; nothing was written');
    const facts = (() => {
      try {
        return replayRecord(path, {
          modelPath: args.model,
          cluster: args.cluster,
          stack: args.stack,
          calibration: args.calibration,
          oversubscription: ratio(args.oversubscription),
          onProgress: (status) => progress.update(status),
        });
      } finally {
        progress.done();
        release();
      }
    })();
    if (args.json) printJson(facts);
    else {
      if (!args.quiet) printWarnings(facts.warnings);
      print(replayTable(facts));
    }
    // Of another version differences are news, of this one a fault of the program or of the machine.
    if (facts.tolerance === 0 && facts.differences.plans > 0)
      throw new PartitionError(
        'infeasible',
        `${facts.differences.plans} of ${facts.evaluations} prices differ from the record of the same version ${facts.version}`,
        path,
        'the cost model or its data was changed since it was recorded',
      );
  },
};

function ratio(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : NaN;
  if (number >= 1 && number <= MOST_OVERSUBSCRIBED) return number;
  throw new PartitionError(
    'usage',
    `expected a ratio from 1 to ${MOST_OVERSUBSCRIBED}, found ${value || 'nothing'}`,
    '--oversubscription',
    'for example --oversubscription 2 for 2:1',
  );
}
