/**
 * Hyper-parameters of an architecture: everything that decides the shape of its graph, nothing that does not.
 * A config is completed (rules such as `ffn = 4 * hidden` filled in) and checked before a graph is built from it.
 */
import { PartitionError, type ErrorCode } from '../util/errors.js';

export const FAMILIES = ['gpt', 'llama', 'moe', 'deepseek', 'bert', 't5', 'vit'] as const;

/** Which builder writes the graph. */
export type Family = (typeof FAMILIES)[number];

/** `gelu` is the exact one (erf), `gelu-tanh` the tanh approximation of GPT-2. */
export type Activation = 'gelu' | 'gelu-tanh' | 'relu' | 'silu';

export interface MoeConfig {
  /** Routed experts of one layer, and how many of them each token visits. */
  readonly experts: number;
  readonly topk: number;
  /** Inner width of one expert. */
  readonly expertFfn: number;
  /** Experts that every token visits; one feed-forward of width `sharedExperts * expertFfn`. */
  readonly sharedExperts: number;
  /** The first `denseLayers` layers keep an ordinary feed-forward of width `ffn`. */
  readonly denseLayers: number;
  /** Softmax over all experts, or sigmoid scores with a balancing bias that only steers the choice (DeepSeek-V3). */
  readonly router: 'softmax' | 'sigmoid';
  /** Whether the weights of the chosen experts are rescaled to sum to one. */
  readonly normaliseTopk: boolean;
  /** Factor on the routed experts' weights. */
  readonly routedScale: number;
  /** Experts lie in `groups`; only the best `topkGroups` of them are eligible for a token. 1 and 1 when not grouped. */
  readonly groups: number;
  readonly topkGroups: number;
}

/** Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1). */
export interface MlaConfig {
  /** Rank of the query compression; 0 when queries are projected directly. */
  readonly qLoraRank: number;
  readonly kvLoraRank: number;
  /** Per head: dimensions without and with rotary positions, and of the value. */
  readonly nopeHeadDim: number;
  readonly ropeHeadDim: number;
  readonly valueHeadDim: number;
}

/** T5's encoder-decoder: `layers` counts the encoder's. */
export interface SeqToSeqConfig {
  readonly decoderLayers: number;
  readonly relativeBuckets: number;
  readonly relativeMaxDistance: number;
}

export interface BertConfig {
  readonly typeVocab: number;
  /** What stands on the encoder: nothing, the pooler, the masked-LM head, or both and the next-sentence classifier. */
  readonly head: 'none' | 'pooler' | 'mlm' | 'pretraining';
}

export interface VisionConfig {
  /** Square images of `imageSize` pixels cut into square patches of `patchSize`. */
  readonly imageSize: number;
  readonly patchSize: number;
  readonly channels: number;
  readonly classes: number;
}

/** A parameter count from outside: what the built graph is checked against. */
export interface PublishedCount {
  readonly parameters: number;
  /** True when the count is exact (of a checkpoint), false when it is the printed, rounded figure. */
  readonly exact: boolean;
  readonly source: string;
}

export interface ArchConfig {
  readonly name: string;
  readonly family: Family;
  /** Where the hyper-parameters were published. */
  readonly source: string;
  readonly published: PublishedCount | null;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Query heads, key/value heads (fewer: grouped-query attention), and the width of one head. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Inner width of the dense feed-forward. */
  readonly ffn: number;
  readonly vocab: number;
  /** Rows of a learned position table; for rotary positions only the trained context. */
  readonly maxPositions: number;
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** `down(act(gate(x)) * up(x))` instead of `down(act(up(x)))`. */
  readonly gatedFfn: boolean;
  /** The output projection shares the token table. */
  readonly tiedEmbeddings: boolean;
  /** Bias on the attention and on the feed-forward projections (GPT, BERT and ViT always have them). */
  readonly attentionBias: boolean;
  readonly ffnBias: boolean;
  /** RMS norm of every query and key head (Qwen3). */
  readonly qkNorm: boolean;
  readonly ropeTheta: number;
  /** Keys a query may look back, 0 for all. */
  readonly slidingWindow: number;
  readonly moe: MoeConfig | null;
  readonly mla: MlaConfig | null;
  readonly seqToSeq: SeqToSeqConfig | null;
  readonly bert: BertConfig | null;
  readonly vision: VisionConfig | null;
}

/** What a data file or a caller writes: sizes that matter, the rest by rule. */
export type ArchSketch = Pick<ArchConfig, 'name' | 'family' | 'layers' | 'hidden' | 'heads'> &
  Partial<Omit<ArchConfig, 'moe' | 'mla' | 'seqToSeq' | 'bert' | 'vision'>> & {
    readonly moe?: Pick<MoeConfig, 'experts' | 'topk'> & Partial<MoeConfig>;
    readonly mla?: MlaConfig;
    readonly seqToSeq?: Partial<SeqToSeqConfig>;
    readonly bert?: Partial<BertConfig>;
    readonly vision?: Partial<VisionConfig>;
  };

/** Whose fault a bad config is, and the file or flag it came from. */
export interface Origin {
  readonly code: ErrorCode;
  readonly where: string;
}

const USAGE: Origin = { code: 'usage', where: 'zoo' };

interface FamilyRule {
  readonly activation: Activation;
  readonly gatedFfn: boolean;
  readonly tied: boolean;
  readonly bias: boolean;
  readonly normEpsilon: number;
}

const FAMILY_RULE: Readonly<Record<Family, FamilyRule>> = {
  gpt: { activation: 'gelu-tanh', gatedFfn: false, tied: true, bias: true, normEpsilon: 1e-5 },
  llama: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-5 },
  moe: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-5 },
  deepseek: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-6 },
  bert: { activation: 'gelu', gatedFfn: false, tied: true, bias: true, normEpsilon: 1e-12 },
  t5: { activation: 'relu', gatedFfn: false, tied: true, bias: false, normEpsilon: 1e-6 },
  vit: { activation: 'gelu', gatedFfn: false, tied: false, bias: true, normEpsilon: 1e-12 },
};

/** Fills in what follows by rule and checks the result; throws a PartitionError that names the field. */
export function completeConfig(sketch: ArchSketch, origin: Origin = USAGE): ArchConfig {
  const { family, layers, hidden, heads } = sketch;
  if (!FAMILIES.includes(family)) {
    throw fault(origin, 'family', `expected one of ${FAMILIES.join(', ')}, found ${JSON.stringify(family)}`);
  }
  const rule = FAMILY_RULE[family];
  requireSizes(origin, { layers, hidden, heads });
  const mla = family === 'deepseek' ? (sketch.mla ?? null) : null;
  if (sketch.headDim === undefined && mla === null && hidden % heads !== 0) {
    throw fault(origin, 'heads', `expected a divisor of hidden ${hidden}, found ${heads}`);
  }
  const headDim = sketch.headDim ?? (mla === null ? hidden / heads : mla.nopeHeadDim + mla.ropeHeadDim);
  const ffn = sketch.ffn ?? 4 * hidden;
  const config: ArchConfig = {
    name: sketch.name,
    family,
    source: sketch.source ?? 'given on the command line',
    published: sketch.published ?? null,
    layers,
    hidden,
    heads,
    kvHeads: sketch.kvHeads ?? heads,
    headDim,
    ffn,
    vocab: sketch.vocab ?? 32000,
    maxPositions: sketch.maxPositions ?? 2048,
    normEpsilon: sketch.normEpsilon ?? rule.normEpsilon,
    activation: sketch.activation ?? rule.activation,
    gatedFfn: sketch.gatedFfn ?? rule.gatedFfn,
    tiedEmbeddings: sketch.tiedEmbeddings ?? rule.tied,
    attentionBias: sketch.attentionBias ?? rule.bias,
    ffnBias: sketch.ffnBias ?? rule.bias,
    qkNorm: sketch.qkNorm ?? false,
    ropeTheta: sketch.ropeTheta ?? 10000,
    slidingWindow: sketch.slidingWindow ?? 0,
    moe: family === 'moe' || family === 'deepseek' ? completeMoe(sketch, ffn, origin) : null,
    mla,
    seqToSeq:
      family === 't5'
        ? { decoderLayers: layers, relativeBuckets: 32, relativeMaxDistance: 128, ...sketch.seqToSeq }
        : null,
    bert: family === 'bert' ? { typeVocab: 2, head: 'pooler', ...sketch.bert } : null,
    vision:
      family === 'vit'
        ? { imageSize: 224, patchSize: 16, channels: 3, classes: 1000, ...sketch.vision }
        : null,
  };
  checkConfig(config, origin);
  return config;
}

function completeMoe(sketch: ArchSketch, ffn: number, origin: Origin): MoeConfig {
  if (sketch.moe === undefined) throw fault(origin, 'experts', 'a mixture of experts needs experts and topk');
  return {
    expertFfn: ffn,
    sharedExperts: 0,
    denseLayers: 0,
    router: 'softmax',
    normaliseTopk: true,
    routedScale: 1,
    groups: 1,
    topkGroups: 1,
    ...sketch.moe,
  };
}

/** Throws when a size is not a positive integer, or when sizes that must divide one another do not. */
export function checkConfig(config: ArchConfig, origin: Origin = USAGE): void {
  const { layers, hidden, heads, kvHeads, headDim, ffn, vocab, maxPositions, moe, mla, vision } = config;
  const isVision = config.family === 'vit';
  requireSizes(origin, { layers, hidden, heads, kvHeads, headDim, ffn });
  if (!isVision) requireSizes(origin, { vocab, maxPositions });
  // Far above any model, far below what would exhaust memory with nodes.
  if (layers > MAX_LAYERS) throw fault(origin, 'layers', `expected at most ${MAX_LAYERS}, found ${layers}`);
  if (heads % kvHeads !== 0) {
    throw fault(origin, 'kvHeads', `expected a divisor of heads ${heads}, found ${kvHeads}`);
  }
  requireWhole(origin, { slidingWindow: config.slidingWindow });
  requirePositive(origin, { normEpsilon: config.normEpsilon, ropeTheta: config.ropeTheta });
  const isRotary = config.family === 'llama' || config.family === 'moe';
  if (isRotary && headDim % 2 !== 0) {
    throw fault(origin, 'headDim', `expected an even number for rotary positions, found ${headDim}`);
  }
  if (config.family === 'deepseek' && mla === null) {
    throw fault(origin, 'mla', 'the deepseek family needs the ranks and head widths of latent attention');
  }
  if (mla !== null) {
    const { kvLoraRank, nopeHeadDim, ropeHeadDim, valueHeadDim } = mla;
    requireSizes(origin, { kvLoraRank, nopeHeadDim, ropeHeadDim, valueHeadDim });
    requireWhole(origin, { qLoraRank: mla.qLoraRank });
    if (ropeHeadDim % 2 !== 0) {
      throw fault(origin, 'ropeHeadDim', `expected an even number, found ${ropeHeadDim}`);
    }
  }
  if (moe !== null) checkMoe(moe, layers, origin);
  if (config.seqToSeq !== null) {
    const { decoderLayers, relativeBuckets, relativeMaxDistance } = config.seqToSeq;
    requireSizes(origin, { decoderLayers, relativeBuckets, relativeMaxDistance });
    if (decoderLayers > MAX_LAYERS) {
      throw fault(origin, 'decoderLayers', `expected at most ${MAX_LAYERS}, found ${decoderLayers}`);
    }
    if (relativeBuckets % 4 !== 0) {
      throw fault(origin, 'relativeBuckets', `expected a multiple of 4, found ${relativeBuckets}`);
    }
    if (relativeMaxDistance <= relativeBuckets / 2) {
      const least = relativeBuckets / 2 + 1;
      throw fault(origin, 'relativeMaxDistance', `expected at least ${least}, found ${relativeMaxDistance}`);
    }
  }
  if (config.bert !== null) requireSizes(origin, { typeVocab: config.bert.typeVocab });
  if (vision !== null) {
    const { imageSize, patchSize, channels, classes } = vision;
    requireSizes(origin, { imageSize, patchSize, channels, classes });
    if (imageSize % patchSize !== 0) {
      throw fault(origin, 'imageSize', `expected a multiple of patchSize ${patchSize}, found ${imageSize}`);
    }
  }
}

const MAX_LAYERS = 4096;

function checkMoe(moe: MoeConfig, layers: number, origin: Origin): void {
  const { experts, topk, expertFfn, groups, topkGroups } = moe;
  requireSizes(origin, { experts, topk, expertFfn, groups, topkGroups });
  requireWhole(origin, { sharedExperts: moe.sharedExperts, denseLayers: moe.denseLayers });
  if (topk > experts) {
    throw fault(origin, 'topk', `expected at most the number of experts ${experts}, found ${topk}`);
  }
  if (moe.denseLayers > layers) {
    throw fault(origin, 'denseLayers', `expected at most layers ${layers}, found ${moe.denseLayers}`);
  }
  if (experts % groups !== 0) {
    throw fault(origin, 'groups', `expected a divisor of experts ${experts}, found ${groups}`);
  }
  if (topkGroups > groups) {
    throw fault(origin, 'topkGroups', `expected at most groups ${groups}, found ${topkGroups}`);
  }
  const eligible = (experts / groups) * topkGroups;
  if (topk > eligible) {
    throw fault(
      origin,
      'topk',
      `expected at most the ${eligible} experts of the eligible groups, found ${topk}`,
    );
  }
}

function requireSizes(origin: Origin, sizes: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (!isSize(value))
      throw fault(origin, field, `expected a positive integer below 2^31, found ${shown(value)}`);
  }
}

function requireWhole(origin: Origin, sizes: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (value !== 0 && !isSize(value)) {
      throw fault(origin, field, `expected zero or a positive integer below 2^31, found ${shown(value)}`);
    }
  }
}

function requirePositive(origin: Origin, values: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(values)) {
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
      throw fault(origin, field, `expected a positive number, found ${shown(value)}`);
    }
  }
}

function isSize(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 2 ** 31;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
}

function fault(origin: Origin, field: string, message: string): PartitionError {
  return new PartitionError(origin.code, message, `${origin.where}: ${field}`);
}
