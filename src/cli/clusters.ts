/** `partition clusters`: the presets and where each number comes from. */
import type { CommandModule } from 'yargs';
import { describeCluster, listClusters } from '../api/index.js';
import { formatBytes, formatSi, formatTable } from '../util/format.js';
import { print, printJson } from './output.js';
import type { CommonArgs } from './options.js';
import { withCommon } from './options.js';

type Args = CommonArgs & { name?: string };

export const clustersCommand: CommandModule<object, Args> = {
  command: 'clusters [name]',
  describe: 'cluster presets; with a name, its numbers and their sources',
  builder: (argv) =>
    withCommon(argv.positional('name', { type: 'string', describe: 'preset or YAML file' }))
      .example('$0 clusters', 'all presets')
      .example('$0 clusters h100-sxm', 'one preset, every number with its source') as never,
  handler: (args) => {
    if (args.name === undefined) listAll(args.json);
    else showOne(args.name, args.json);
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
    String(c.devicesPerHost),
    formatSi(c.peakFlopPerSec, 'FLOP/s'),
    formatBytes(c.memoryBytes),
    formatSi(c.memoryBytesPerSec, 'B/s'),
    c.network,
  ]);
  print(
    formatTable([
      ['cluster', 'per host', 'bf16 peak', 'memory', 'bandwidth', 'network (level: domain, per device)'],
      ...rows,
    ]),
  );
}

function showOne(name: string, json: boolean): void {
  const cluster = describeCluster(name);
  if (json) {
    printJson(cluster);
    return;
  }
  print(`${cluster.name}: ${cluster.description}`);
  for (const note of cluster.notes) print(`note: ${note}`);
  print(
    formatTable(
      [['number', 'value', 'source'], ...cluster.sources.map((s) => [s.field, String(s.value), s.source])],
      3,
    ),
  );
}
