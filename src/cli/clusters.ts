/** `partition clusters`: the presets and where each number comes from. */
import type { CommandModule } from 'yargs';
import { describeCluster, listClusters } from '../api/index.js';
import { oneLine } from '../util/errors.js';
import { formatBytes, formatSi, formatTable } from '../util/format.js';
import { print, printJson } from './output.js';
import type { CommonArgs } from './options.js';
import { CALIBRATION_TEXT, text, withCommon } from './options.js';

type Args = CommonArgs & { name?: string; calibration?: string };

export const clustersCommand: CommandModule<object, Args> = {
  command: 'clusters [name]',
  describe: 'cluster presets; with a name, its numbers and their sources',
  builder: (argv) =>
    withCommon(
      argv.usage('partition clusters [name]').positional('name', {
        type: 'string',
        describe: 'preset or YAML file; without one, all presets are listed',
      }),
    )
      .option('calibration', text(CALIBRATION_TEXT))
      .epilogue(
        [
          'Examples:',
          '  partition clusters             all presets',
          '  partition clusters h100-sxm    one preset, every number with its source',
          '  partition clusters h100-sxm --calibration ours.yaml    the same with measured numbers',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    if (args.name === undefined) listAll(args.json);
    else showOne(args.name, args.calibration, args.json);
  },
};

function listAll(json: boolean): void {
  const clusters = listClusters();
  if (json) {
    printJson({ clusters });
    return;
  }
  const rows = clusters.map((c) => [
    c.name,
    c.network,
    String(c.devicesPerHost),
    formatSi(c.peakFlopPerSec, 'FLOP/s'),
    formatBytes(c.memoryBytes),
    formatSi(c.memoryBytesPerSec, 'B/s'),
  ]);
  print(
    formatTable(
      [
        ['cluster', 'network (each way, per device)', 'per host', 'bf16 peak', 'memory', 'bandwidth'],
        ...rows,
      ],
      2,
    ),
  );
}

function showOne(name: string, calibration: string | undefined, json: boolean): void {
  const cluster = describeCluster(name, calibration);
  if (json) {
    printJson(cluster);
    return;
  }
  print(`${oneLine(cluster.name)}: ${oneLine(cluster.description, 400)}`);
  for (const note of cluster.notes) print(`note: ${oneLine(note, 400)}`);
  print(
    formatTable(
      [
        ['number', 'value', 'source'],
        ...cluster.sources.map((s) => [oneLine(s.field), oneLine(String(s.value)), oneLine(s.source, 400)]),
      ],
      3,
    ),
  );
}
