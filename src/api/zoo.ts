/** Architectures of the zoo, described and written. */
import { DType, writeModel } from '../model/index.js';
import { PartitionError } from '../util/errors.js';
import type { ArchConfig, ArchOverrides } from '../zoo/index.js';
import {
  applyOverrides,
  buildZoo,
  configFromHuggingFace,
  parameterCount,
  zooConfig,
  zooNames,
} from '../zoo/index.js';

/** Sizes that may be changed, as flags. */
export const OVERRIDE_FLAGS = [
  'layers',
  'hidden',
  'heads',
  'kvHeads',
  'headDim',
  'ffn',
  'vocab',
  'maxPositions',
  'experts',
  'topk',
  'expertFfn',
  'sharedExperts',
  'denseLayers',
  'decoderLayers',
  'imageSize',
  'patchSize',
  'classes',
] as const satisfies readonly (keyof ArchOverrides)[];

export interface ZooEntry {
  readonly name: string;
  readonly family: string;
  readonly parameters: number;
  /** Parameters that one token meets. */
  readonly activeParameters: number;
}

/** Every architecture with its parameter count. */
export function describeZoo(): ZooEntry[] {
  return zooNames().map((name) => {
    const config = zooConfig(name);
    const { total, active } = parameterCount(config);
    return { name, family: config.family, parameters: total, activeParameters: active };
  });
}

export interface ZooRequest {
  readonly name?: string | undefined;
  /** A Hugging Face config.json. */
  readonly config?: { readonly text: string; readonly where: string } | undefined;
  readonly out?: string | undefined;
  readonly seq?: number | undefined;
  readonly batch?: number | undefined;
  readonly dtype?: 'fp32' | 'fp16' | 'bf16';
  /** Probability of dropout, for the training form of GPT, BERT and T5; default none. */
  readonly dropout?: number | undefined;
  readonly overrides?: ArchOverrides;
}

export interface ZooWritten {
  readonly path: string;
  readonly name: string;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly nodes: number;
}

const DTYPES = { fp32: DType.FLOAT, fp16: DType.FLOAT16, bf16: DType.BFLOAT16 } as const;

/** Writes one architecture's graph. */
export function writeZooModel(request: ZooRequest): ZooWritten {
  const base = configOf(request);
  const config = applyOverrides(base, request.overrides ?? {});
  const model = buildZoo(config, {
    dtype: DTYPES[request.dtype ?? 'fp32'],
    ...(request.dropout === undefined ? {} : { dropout: request.dropout }),
    ...(request.seq === undefined ? {} : { seq: request.seq }),
    ...(request.batch === undefined ? {} : { batch: request.batch }),
  });
  const name = request.name ?? config.name;
  const path = request.out ?? `${name.replace(/[^A-Za-z0-9._-]/g, '_')}.onnx`;
  writeModel(model, path);
  const { total, active } = parameterCount(config);
  return { path, name, parameters: total, activeParameters: active, nodes: model.graph?.node.length ?? 0 };
}

function configOf(request: ZooRequest): ArchConfig {
  if (request.config === undefined) return zooConfig(request.name ?? '');
  let json: unknown;
  try {
    json = JSON.parse(request.config.text);
  } catch (e) {
    throw new PartitionError('input', `not JSON (${(e as Error).message})`, request.config.where);
  }
  return configFromHuggingFace(json, request.config.where);
}
