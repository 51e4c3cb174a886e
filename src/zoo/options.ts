/** What a caller may set besides the architecture: input sizes, element type, and sizes that override the config's. */
import { DType } from '../model/dtype.js';
import { PartitionError } from '../util/errors.js';
import type { DimSpec } from './builder.js';
import { completeConfig } from './complete.js';
import type { ArchConfig, ArchSketch, Family, MoeConfig } from './config.js';
import type { WeightDType } from './encode.js';

/** Sizes by flag. What a config derives by rule (head width, 4x feed-forward) follows the new sizes. */
export interface ArchOverrides {
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly ffn?: number;
  readonly vocab?: number;
  readonly maxPositions?: number;
  readonly tiedEmbeddings?: boolean;
  readonly experts?: number;
  readonly topk?: number;
  readonly expertFfn?: number;
  readonly sharedExperts?: number;
  readonly denseLayers?: number;
  readonly decoderLayers?: number;
  readonly imageSize?: number;
  readonly patchSize?: number;
  readonly classes?: number;
}

export interface ZooOptions extends ArchOverrides {
  /** Sequences per batch, and tokens per sequence; symbolic `batch` and `seq` when absent. */
  readonly batch?: number;
  readonly seq?: number;
  /** Tokens per target sequence of an encoder-decoder; `seq`, or symbolic `dec_seq`, when absent. */
  readonly decoderSeq?: number;
  /** FLOAT (default), FLOAT16 or BFLOAT16. */
  readonly dtype?: DType;
  /**
   * Probability of dropout on embeddings, attention weights and what joins the residual stream, as the training form of
   * GPT, BERT and T5 has it; 0 (the default) leaves it out, as an inference export does.
   */
  readonly dropout?: number;
  /** Whether decoders take an `attention_mask` input beside `input_ids`, as exporters write it. Default true. */
  readonly attentionMask?: boolean;
}

/** Input dimensions and element type of a graph to build. */
export interface GraphForm {
  readonly batch: DimSpec;
  readonly seq: DimSpec;
  readonly decoderSeq: DimSpec;
  readonly dtype: WeightDType;
  readonly attentionMask: boolean;
  readonly dropout: number;
}

/** Applies the overrides and checks the result; throws a usage error that names the field. */
export function applyOverrides(config: ArchConfig, overrides: ArchOverrides): ArchConfig {
  const set = definedSizes(overrides);
  if (Object.keys(set).length === 0) return config;
  const { derived, moe, mla, seqToSeq, bert, vision, headDim, kvHeads, ffn, ...rest } = config;
  const sketch: ArchSketch = {
    ...rest,
    published: null,
    ...(derived.includes('headDim') ? {} : { headDim }),
    ...(derived.includes('kvHeads') ? {} : { kvHeads }),
    ...(derived.includes('ffn') ? {} : { ffn }),
    ...pick(set, ['layers', 'hidden', 'heads', 'kvHeads', 'headDim', 'ffn', 'vocab', 'maxPositions']),
    ...(set.tiedEmbeddings === undefined ? {} : { tiedEmbeddings: set.tiedEmbeddings }),
    ...(moe === null ? {} : { moe: overriddenMoe(moe, derived.includes('expertFfn'), set) }),
    ...(mla === null ? {} : { mla }),
    ...(seqToSeq === null ? {} : { seqToSeq: { ...seqToSeq, ...decoderDepth(config, set) } }),
    ...(bert === null ? {} : { bert }),
    ...(vision === null
      ? {}
      : { vision: { ...vision, ...pick(set, ['imageSize', 'patchSize', 'classes']) } }),
  };
  refuseForeign(config, set);
  return completeConfig(sketch, { code: 'usage', where: `zoo ${config.name}` });
}

/** Resolves the input sizes; throws when a length does not fit the learned position table. */
export function graphForm(config: ArchConfig, options: ZooOptions): GraphForm {
  const { batch, seq, decoderSeq, dtype = DType.FLOAT } = options;
  const where = `zoo ${config.name}`;
  for (const [field, value] of Object.entries({ batch, seq, decoderSeq })) {
    if (value !== undefined && !(Number.isInteger(value) && value > 0 && value < 2 ** 31)) {
      throw new PartitionError('usage', `expected a positive integer, found ${value}`, `${where}: ${field}`);
    }
  }
  if (dtype !== DType.FLOAT && dtype !== DType.FLOAT16 && dtype !== DType.BFLOAT16) {
    const found = DType[dtype] ?? String(dtype);
    throw new PartitionError(
      'usage',
      `expected FLOAT, FLOAT16 or BFLOAT16, found ${found}`,
      `${where}: dtype`,
    );
  }
  if (seq !== undefined && config.family === 'vit') {
    throw new PartitionError(
      'usage',
      `an image model has no sequence length, found ${seq}`,
      `${where}: seq`,
      'the image and patch sizes decide the number of tokens: set imageSize or patchSize',
    );
  }
  const hasPositionTable = config.family === 'gpt' || config.family === 'bert';
  if (seq !== undefined && hasPositionTable && seq > config.maxPositions) {
    throw new PartitionError(
      'usage',
      `expected at most the ${config.maxPositions} learned positions, found ${seq}`,
      `${where}: seq`,
      'raise maxPositions with it',
    );
  }
  return {
    dropout: dropoutOf(config, options.dropout ?? 0, where),
    batch: batch ?? 'batch',
    seq: seq ?? 'seq',
    decoderSeq: decoderSeq ?? seq ?? 'dec_seq',
    dtype,
    attentionMask: options.attentionMask ?? true,
  };
}

/** Families whose published training form drops out. */
const DROPPING: readonly Family[] = ['gpt', 'bert', 't5'];

function dropoutOf(config: ArchConfig, dropout: number, where: string): number {
  if (!(dropout >= 0 && dropout < 1)) {
    const message = `expected a probability below 1, found ${dropout}`;
    throw new PartitionError('usage', message, `${where}: dropout`);
  }
  if (dropout > 0 && !DROPPING.includes(config.family)) {
    const message = `the ${config.family} family is trained without dropout, found ${dropout}`;
    throw new PartitionError(
      'usage',
      message,
      `${where}: dropout`,
      `families with it: ${DROPPING.join(', ')}`,
    );
  }
  return dropout;
}

const MOE_FIELDS = ['experts', 'topk', 'expertFfn', 'sharedExperts', 'denseLayers'] as const;
const VISION_FIELDS = ['imageSize', 'patchSize', 'classes'] as const;

/** Where no layer is dense, `ffn` can only mean the experts' width. */
function overriddenMoe(
  moe: MoeConfig,
  isDerived: boolean,
  set: ArchOverrides,
): NonNullable<ArchSketch['moe']> {
  const { expertFfn, ...rest } = moe;
  const follows = isDerived || (set.ffn !== undefined && (set.denseLayers ?? moe.denseLayers) === 0);
  return { ...rest, ...(follows ? {} : { expertFfn }), ...pick(set, MOE_FIELDS) };
}

/** An encoder-decoder of equal halves stays so when only `layers` is given. */
function decoderDepth(config: ArchConfig, set: ArchOverrides): { decoderLayers?: number } {
  if (set.decoderLayers !== undefined) return { decoderLayers: set.decoderLayers };
  const wasEqual = config.seqToSeq!.decoderLayers === config.layers;
  return set.layers !== undefined && wasEqual ? { decoderLayers: set.layers } : {};
}

/** A size that the architecture does not have is a mistake, not something to ignore. */
function refuseForeign(config: ArchConfig, set: ArchOverrides): void {
  const foreign = [
    ...(config.moe === null ? MOE_FIELDS : []),
    ...(config.seqToSeq === null ? (['decoderLayers'] as const) : []),
    ...(config.vision === null ? VISION_FIELDS : (['vocab', 'maxPositions', 'tiedEmbeddings'] as const)),
    ...(config.mla === null ? [] : (['kvHeads', 'headDim'] as const)),
    ...(['gpt', 'bert', 't5', 'vit'].includes(config.family) ? (['kvHeads'] as const) : []),
  ].find((field) => set[field] !== undefined);
  if (foreign === undefined) return;
  const message = `the ${config.family} family has no such size`;
  throw new PartitionError('usage', message, `zoo ${config.name}: ${foreign}`);
}

/** The override fields that are set, without undefined entries. */
function definedSizes(overrides: ArchOverrides): ArchOverrides {
  return pick(overrides, [
    ...(['layers', 'hidden', 'heads', 'kvHeads', 'headDim', 'ffn', 'vocab', 'maxPositions'] as const),
    ...(['tiedEmbeddings', 'decoderLayers'] as const),
    ...MOE_FIELDS,
    ...VISION_FIELDS,
  ]);
}

function pick<T extends object, K extends keyof T>(
  from: T,
  keys: readonly K[],
): { [P in K]?: NonNullable<T[P]> } {
  const picked: { [P in K]?: NonNullable<T[P]> } = {};
  for (const key of keys) {
    const value = from[key];
    if (value !== undefined && value !== null) picked[key] = value;
  }
  return picked;
}
