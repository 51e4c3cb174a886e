/** `partition place <workload.json>`: where the operators of a profiled graph should run. */
import type { CommandModule } from 'yargs';
import type { PlaceResult } from '../api/index.js';
import { PLACE_OBJECTIVES, placeTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { CommonArgs } from './options.js';
import { integerBetween, oneOf, parseSeconds, required, text, withCommon } from './options.js';
import { Progress, print, printJson } from './output.js';
import { awaitOrStop, startThread } from './thread.js';

type Args = CommonArgs & {
  workload?: string;
  objective?: string;
  devices?: string;
  memory?: string;
  contiguous: boolean;
  timeout: string;
  seed: string;
};

const USAGE = 'place <workload.json>';
const MOST_DEVICES = 65_536;
const LARGEST_SEED = 2 ** 32 - 1;

export const placeCommand: CommandModule<object, Args> = {
  command: 'place [workload]',
  describe: 'place the operators of a profiled graph on devices',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('workload', { type: 'string', describe: 'profiled graph in JSON' }),
    )
      .option('objective', text(`${PLACE_OBJECTIVES.join(', ')}; default: what the file's format is for`))
      .option('devices', text('accelerators, instead of the number in the file'))
      .option('memory', text('memory of each accelerator, instead of the file: 16GB, 8GiB, bytes'))
      .option('contiguous', {
        type: 'boolean',
        default: false,
        describe: 'each device runs one contiguous part of the forward pass',
      })
      .option('timeout', text('wall clock for the search', '20s'))
      .option('seed', text('random seed', '0'))
      .epilogue(
        [
          'throughput: the largest load of any device, compute plus transfers in and out, when samples are',
          'pipelined. latency: one sample end to end, each accelerator called once. time-per-sample: the',
          'slowest stage of a pipeline with data- and tensor-parallel stages.',
          '',
          'Formats: our own (workload.schema.json), the dnn-partitioning collection, and Piper. Times are in',
          "the file's unit. Exit 1 when nothing fits.",
          '',
          'Examples:',
          '  partition place workload.json                                    the best within 20 s',
          '  partition place bert24_training.json --objective throughput --timeout 30s --json',
          '  partition place bert24_inference.json --objective latency --devices 4 --memory 600MiB',
          '  partition place resnet.json --devices 16 --memory 8GiB            a Piper workload',
          '  partition place workload.json --contiguous                       one contiguous part a device',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const workloadPath = required(args.workload, 'a workload in JSON', USAGE);
    const progress = new Progress(args.quiet);
    const request = {
      workloadPath,
      objective:
        args.objective === undefined ? undefined : oneOf(args.objective, PLACE_OBJECTIVES, '--objective'),
      devices:
        args.devices === undefined ? undefined : integerBetween(args.devices, '--devices', 1, MOST_DEVICES),
      memoryBytes: args.memory === undefined ? undefined : parseBytes(args.memory),
      contiguous: args.contiguous,
      timeoutSec: parseSeconds(args.timeout, '--timeout'),
      seed: integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
    };
    const thread = startThread<typeof request, number, PlaceResult>('./placeWorker.js', request, (value) =>
      progress.update(`best ${value.toPrecision(6)}`),
    );
    const { reply: result, interrupted } = await awaitOrStop(thread).finally(() => progress.done());
    if (args.json) printJson(result);
    else if (result.feasible) print(placeTable(result));
    if (!result.feasible) {
      throw new PartitionError(
        'infeasible',
        result.proven ? 'nothing fits' : 'nothing that fits was found in the time',
        workloadPath,
        'more --devices or more --memory',
      );
    }
    // Interrupted: the best so far is printed, and the exit code says so.
    if (interrupted !== null) process.exit(interrupted);
  },
};

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

function parseBytes(value: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*$/i.exec(value);
  const unit = match === null ? undefined : UNITS[match[2].toUpperCase()];
  if (match === null || unit === undefined)
    throw new PartitionError(
      'usage',
      `expected an amount of memory, found ${value || 'nothing'}`,
      '--memory',
      'for example --memory 16GB or --memory 8GiB',
    );
  return Number(match[1]) * unit;
}
