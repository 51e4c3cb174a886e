/** `partition zoo <name>`: writes the ONNX graph of a known architecture, weights left out. */
import { dirname } from 'node:path';
import type { Argv, CommandModule } from 'yargs';
import { OVERRIDE_FLAGS, describeZoo, writeZooModel } from '../api/index.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { checkWritableFolder, readTextFile } from '../util/files.js';
import { formatSi, formatTable } from '../util/format.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { oneOf, positiveInteger, text, withCommon } from './options.js';
import { print, printJson } from './output.js';

const DTYPES = ['fp32', 'fp16', 'bf16'] as const;

type Args = CommonArgs & {
  name?: string;
  config?: string;
  out?: string;
  seq?: string;
  batch?: string;
  dropout?: string;
  dtype: string;
} & Record<string, unknown>;

export const zooCommand: CommandModule<object, Args> = {
  command: 'zoo [name]',
  describe: 'write the ONNX graph of a known architecture, weights left out',
  builder: (argv) => {
    let options: Argv = withCommon(
      argv
        .usage('partition zoo [name]')
        .positional('name', { type: 'string', describe: 'architecture; without one, all are listed' }),
    )
      .option('config', text('a Hugging Face config.json instead of a name'))
      .option('out', text('output file; default <name>.onnx'))
      .option('seq', text('fix the sequence length (default symbolic)'))
      .option('batch', text('fix the batch (default symbolic)'))
      .option(
        'dropout',
        text('probability of dropout, in the training form of GPT, BERT and T5 (default none)'),
      )
      .option('dtype', text(`type of the weights: ${DTYPES.join(', ')}`, 'fp32'));
    for (const flag of OVERRIDE_FLAGS) options = options.option(flag, text(OVERRIDE_MEANING[flag]));
    return options.epilogue(
      [
        'Examples:',
        '  partition zoo                                  list the architectures',
        '  partition zoo llama-3-405b --out llama.onnx    write one',
        '  partition zoo llama-3-8b --layers 4            a smaller one',
      ].join('\n'),
    ) as never;
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
      const value = positiveInteger(args[flag] as string | undefined, `--${flag}`);
      if (value !== undefined) overrides[flag] = value;
    }
    const request = {
      name: args.name,
      config:
        args.config === undefined
          ? undefined
          : { text: readTextFile(args.config, 'a config.json'), where: args.config },
      out: args.out,
      seq: positiveInteger(args.seq, '--seq'),
      batch: positiveInteger(args.batch, '--batch'),
      dropout: probability(args.dropout),
      dtype: oneOf(args.dtype, DTYPES, '--dtype'),
      overrides,
    };
    checkWritableFolder(dirname(args.out ?? 'model.onnx'));
    const release = onInterrupt(() => 'interrupted');
    const written = writeZooModel(request);
    release();
    if (args.json) printJson(written);
    else {
      const { path, name, parameters, nodes } = written;
      print(
        `${oneLine(path, 400)}: ${oneLine(name)}, ${formatSi(parameters)} parameters (${parameters}), ${nodes} nodes`,
      );
    }
  },
};

function probability(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const found = Number(value);
  if (value.trim() !== '' && found >= 0 && found < 1) return found;
  throw new PartitionError('usage', `expected a probability below 1, found ${oneLine(value)}`, '--dropout');
}

const OVERRIDE_MEANING: Readonly<Record<(typeof OVERRIDE_FLAGS)[number], string>> = {
  layers: 'number of layers',
  hidden: 'width of the residual stream',
  heads: 'attention heads',
  kvHeads: 'heads of keys and values',
  headDim: 'width of a head',
  ffn: 'width of the feed-forward network',
  vocab: 'entries of the vocabulary',
  maxPositions: 'longest sequence',
  experts: 'routed experts of a layer',
  topk: 'experts that a token visits',
  expertFfn: 'width of an expert',
  sharedExperts: 'experts that every token visits',
  denseLayers: 'first layers without experts',
  decoderLayers: 'layers of the decoder',
  imageSize: 'side of the image in pixels',
  patchSize: 'side of a patch in pixels',
  classes: 'classes told apart',
};

function list(json: boolean): void {
  const entries = describeZoo();
  if (json) printJson({ architectures: entries });
  else {
    const rows = entries.map((e) => [e.name, e.family, formatSi(e.parameters), formatSi(e.activeParameters)]);
    print(formatTable([['architecture', 'family', 'parameters', 'active'], ...rows], 2));
  }
}
