/** `partition zoo <name>`: writes the ONNX graph of a known architecture, weights left out. */
import { readFileSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import { OVERRIDE_FLAGS, describeZoo, writeZooModel } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { formatSi, formatTable } from '../util/format.js';
import type { CommonArgs } from './options.js';
import { positiveInteger, withCommon } from './options.js';
import { print, printJson } from './output.js';

type Args = CommonArgs & {
  name?: string;
  config?: string;
  out?: string;
  seq?: number;
  batch?: number;
  dtype: string;
} & Record<string, unknown>;

export const zooCommand: CommandModule<object, Args> = {
  command: 'zoo [name]',
  describe: 'write the ONNX graph of a known architecture, any size, weights left out',
  builder: (argv) => {
    let options = withCommon(
      argv.positional('name', { type: 'string', describe: 'architecture; none lists them' }),
    )
      .option('config', { type: 'string', describe: 'a Hugging Face config.json instead of a name' })
      .option('out', { type: 'string', describe: 'output file; default <name>.onnx' })
      .option('seq', { type: 'number', describe: 'fix the sequence length (default symbolic)' })
      .option('batch', { type: 'number', describe: 'fix the batch (default symbolic)' })
      .option('dtype', {
        choices: ['fp32', 'fp16', 'bf16'],
        default: 'fp32',
        describe: 'type of the weights',
      });
    for (const flag of OVERRIDE_FLAGS)
      options = options.option(flag, { type: 'number', describe: `change ${flag}` });
    return options
      .example('$0 zoo', 'list the architectures')
      .example('$0 zoo llama-3-405b --out llama.onnx', 'write one')
      .example('$0 zoo llama-3-8b --layers 4 --hidden 1024 --heads 8', 'a smaller one') as never;
  },
  handler: (args) => {
    if (args.name === undefined && args.config === undefined) {
      list(args.json);
      return;
    }
    if (args.name !== undefined && args.config !== undefined) {
      throw new PartitionError('usage', 'expected a name or --config, found both', 'zoo');
    }
    const overrides: Record<string, number> = {};
    for (const flag of OVERRIDE_FLAGS) {
      const value = positiveInteger(args[flag] as number | undefined, `--${flag}`);
      if (value !== undefined) overrides[flag] = value;
    }
    const written = writeZooModel({
      name: args.name,
      config: args.config === undefined ? undefined : { text: readConfig(args.config), where: args.config },
      out: args.out,
      seq: positiveInteger(args.seq, '--seq'),
      batch: positiveInteger(args.batch, '--batch'),
      dtype: args.dtype as 'fp32' | 'fp16' | 'bf16',
      overrides,
    });
    if (args.json) printJson(written);
    else
      print(
        `${written.path}: ${written.name}, ${formatSi(written.parameters)} parameters (${written.parameters}), ${written.nodes} nodes`,
      );
  },
};

function list(json: boolean): void {
  const entries = describeZoo();
  if (json) printJson({ architectures: entries });
  else {
    const rows = entries.map((e) => [e.name, e.family, formatSi(e.parameters), formatSi(e.activeParameters)]);
    print(formatTable([['architecture', 'family', 'parameters', 'active'], ...rows], 2));
  }
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (e) {
    throw new PartitionError(
      'input',
      `cannot read (${(e as NodeJS.ErrnoException).code ?? 'unknown'})`,
      path,
    );
  }
}
