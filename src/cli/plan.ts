/** `partition <model.onnx> --devices N`: plans, writes the plan, prints the summary. */
import { basename, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CommandModule } from 'yargs';
import type { PlanReply, PlanRequest, PlanSummary } from '../api/index.js';
import { METHODS, planTable, writePlanFiles } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { formatSeconds } from '../util/format.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, parseBudget, positiveInteger, withCommon, withModel } from './options.js';
import { Progress, print, printError, printJson, printWarnings } from './output.js';

type Args = CommonArgs &
  ModelArgs & {
    model: string;
    devices: number;
    cluster: string;
    batch?: number;
    phase?: 'train' | 'inference';
    precision: string;
    objective: string;
    method: string;
    budget: string;
    seed: number;
    out?: string;
  };

export const planCommand: CommandModule<object, Args> = {
  command: '$0 <model>',
  describe: 'plan how to split a model over devices',
  builder: (argv) =>
    withModel(
      withCommon(argv.positional('model', { type: 'string', describe: 'ONNX file', demandOption: true })),
    )
      .option('devices', {
        type: 'number',
        demandOption: true,
        describe: 'accelerators to plan for',
        alias: 'n',
      })
      .option('cluster', {
        type: 'string',
        default: 'h100-sxm',
        describe: 'preset (see partition clusters) or YAML file',
      })
      .option('batch', { type: 'number', describe: 'global batch in sequences; default about 4M tokens' })
      .option('phase', {
        choices: ['train', 'inference'] as const,
        describe: 'default train, or inference for graphs with a key-value cache',
      })
      .option('precision', {
        choices: ['bf16', 'fp16', 'fp8', 'tf32', 'fp32'],
        default: 'bf16',
        describe: 'compute precision',
      })
      .option('objective', {
        type: 'string',
        default: 'time',
        describe: 'time, energy, cost, or weights: time=0.7,energy=0.3',
      })
      .option('method', { type: 'string', default: 'auto', describe: `search method: ${METHODS.join(', ')}` })
      .option('budget', {
        type: 'string',
        default: '10s',
        describe: 'search budget: seconds (10s), evaluations (2000ev) or both',
      })
      .option('seed', { type: 'number', default: 0, describe: 'random seed' })
      .option('out', { type: 'string', describe: 'output folder; default <model>.partition' })
      .example('$0 graphs/gpt2-small.onnx --devices 8 --seq 1024', 'a plan for one host')
      .example('$0 model.onnx --devices 1024 --cluster a100-80gb --batch 2048', 'a larger cluster')
      .example('$0 model.onnx --devices 64 --bind batch=1 --bind seq=4096 --json', 'for machines') as never,
  handler: async (args) => {
    const request = requestOf(args);
    const progress = new Progress(args.quiet);
    const reply = await planInWorker(request, progress);
    progress.done();
    const summary = writePlanFiles(reply, request, outFolder(args));
    if (args.json) printJson(summary);
    else {
      if (!args.quiet) printWarnings(summary.warnings);
      print(planTable(reply.plan, summary));
    }
  },
};

function outFolder(args: Args): string {
  return args.out ?? join(`${basename(args.model).replace(/\.onnx$/, '')}.partition`);
}

function requestOf(args: Args): PlanRequest {
  const devices = positiveInteger(args.devices, '--devices')!;
  if (!METHODS.includes(args.method)) {
    throw new PartitionError(
      'usage',
      `unknown method ${args.method}`,
      '--method',
      `one of ${METHODS.join(', ')}`,
    );
  }
  if (!Number.isSafeInteger(args.seed))
    throw new PartitionError('usage', 'expected a whole number', '--seed');
  return {
    modelPath: args.model,
    devices,
    cluster: args.cluster,
    batch: positiveInteger(args.batch, '--batch'),
    seq: positiveInteger(args.seq, '--seq'),
    bind: parseBindings(args.bind),
    phase: args.phase,
    precision: args.precision as PlanRequest['precision'],
    objective: args.objective,
    strict: args.strict,
    method: args.method,
    budget: parseBudget(args.budget),
    seed: args.seed,
  };
}

/** Messages of the planning thread. */
export type WorkerMessage =
  | {
      readonly kind: 'progress';
      readonly text: string;
      readonly best: { stepTimeSec: number; text: string } | null;
    }
  | { readonly kind: 'done'; readonly reply: PlanReply }
  | {
      readonly kind: 'fault';
      readonly fault: {
        code: PartitionError['code'];
        message: string;
        where: string | null;
        hint: string | null;
      };
    }
  | { readonly kind: 'crash'; readonly message: string; readonly stack: string };

/** Plans in a second thread, so that Ctrl-C and progress are answered while the search runs. */
async function planInWorker(request: PlanRequest, progress: Progress): Promise<PlanReply> {
  const worker = new Worker(new URL('./planWorker.js', import.meta.url), { workerData: request });
  let best: { stepTimeSec: number; text: string } | null = null;
  const interrupt = (): void => {
    progress.done();
    printError(
      best === null
        ? 'partition: interrupted before a plan was found; nothing was written'
        : `partition: interrupted; best so far ${best.text}, step ${formatSeconds(best.stepTimeSec)}; nothing was written`,
    );
    process.exit(130);
  };
  process.once('SIGINT', interrupt);
  try {
    return await new Promise<PlanReply>((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.kind === 'progress') {
          best = message.best ?? best;
          progress.update(message.text);
        } else if (message.kind === 'done') resolve(message.reply);
        else if (message.kind === 'fault') {
          const { code, message: text, where, hint } = message.fault;
          reject(new PartitionError(code, text, where, hint));
        } else reject(Object.assign(new Error(message.message), { stack: message.stack }));
      });
      worker.on('error', reject);
      worker.on('exit', (code) =>
        reject(new Error(`internal: the planning thread stopped with code ${code}`)),
      );
    });
  } finally {
    process.off('SIGINT', interrupt);
    await worker.terminate();
  }
}

export type { PlanSummary };
