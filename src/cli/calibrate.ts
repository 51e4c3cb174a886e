/** `partition calibrate <file>`: fits devices, networks and stacks to measurements. */
import { basename, dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import { CALIBRATION_KINDS, calibrateFile, calibrationTable } from '../api/index.js';
import { checkWritableFolder } from '../util/files.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { oneOf, required, text, withCommon } from './options.js';
import { Progress, print, printJson } from './output.js';

type Args = CommonArgs & {
  file?: string;
  kind?: string;
  stack?: string;
  device?: string;
  cluster?: string;
  calibration?: string;
  out?: string;
};

const USAGE = 'calibrate <file>';

export const calibrateCommand: CommandModule<object, Args> = {
  command: 'calibrate [file]',
  describe: 'fit devices, networks and stack profiles to measurements',
  builder: (argv) =>
    withCommon(
      argv
        .usage(
          `partition ${USAGE}\n\nFits few numbers to measurements and writes them as a calibration file.`,
        )
        .positional('file', { type: 'string', describe: 'measured runs, collectives, or a profiler trace' }),
    )
      .option('kind', text(`${CALIBRATION_KINDS.join(', ')}; default: by what is in the file`))
      .option('stack', text('measured runs: fit this stack profile, whatever their source'))
      .option('device', text('hardware that was measured, where the file does not say or has several'))
      .option('cluster', text('cluster preset that was measured, for collectives'))
      .option('calibration', text('start from this calibration instead of the presets alone'))
      .option('out', text('write the calibration here (YAML)'))
      .epilogue(
        [
          'What it reads:',
          '  rows        csv with the columns of partition validate: fits stack profiles, few numbers each',
          '  collective  csv device,ranks,bytes,seconds or the output of nccl-tests: fits latency, start-up, bandwidth',
          '  profile     Chrome trace of the PyTorch profiler (JSON, may be gzipped; record_shapes=True): fits matrix',
          '              rates, attention curves, memory efficiency, the gap between kernels, and the network',
          'Numbers that the measurements cannot tell are left alone, and the table says so.',
          '',
          'Examples:',
          '  partition calibrate all_reduce_perf.txt --cluster h100-sxm --out ours.yaml',
          '  partition calibrate step20.pt.trace.json.gz --calibration ours.yaml --out ours.yaml',
          '  partition calibrate our-runs.csv --stack megatron --out ours.yaml',
          '  partition model.onnx --devices 64 --calibration ours.yaml',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const file = required(args.file, 'a file of measurements', USAGE);
    const kind = args.kind === undefined ? undefined : oneOf(args.kind, CALIBRATION_KINDS, '--kind');
    if (args.out !== undefined) checkWritableFolder(dirname(args.out));
    const progress = new Progress(args.quiet);
    const release = onInterrupt(() => {
      progress.done();
      return 'interrupted; nothing was written';
    });
    const summary = await calibrateFile(
      {
        file,
        kind,
        stack: args.stack,
        device: args.device,
        cluster: args.cluster,
        base: args.calibration,
        name: args.out === undefined ? undefined : basename(args.out).replace(/\.[^.]*$/, ''),
      },
      args.out,
      (status) => progress.update(status),
    ).finally(() => progress.done());
    release();
    if (args.json) printJson(summary);
    else {
      print(calibrationTable(summary.parts, summary.notes));
      if (summary.calibrationPath !== null)
        print(`\nwritten to ${summary.calibrationPath}: use it with --calibration`);
    }
  },
};
