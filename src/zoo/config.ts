/**
 * Hyper-parameters of an architecture: everything that decides the shape of its graph, nothing that does not.
 * A config is completed (rules such as `ffn = 4 * hidden` filled in) and checked before a graph is built from it.
 */
import type { ErrorCode } from '../util/errors.js';

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
  /** Sizes that nobody gave: they follow from others by rule, and do so again when those are overridden. */
  readonly derived: readonly DerivedSize[];
}

/** `headDim = hidden / heads`, `kvHeads = heads`, `ffn = 4 * hidden`, `expertFfn = ffn`. */
export type DerivedSize = 'headDim' | 'kvHeads' | 'ffn' | 'expertFfn';

/** What a data file or a caller writes: sizes that matter, the rest by rule. */
export type ArchSketch = Pick<ArchConfig, 'name' | 'family' | 'layers' | 'hidden' | 'heads'> &
  Partial<Omit<ArchConfig, 'derived' | 'moe' | 'mla' | 'seqToSeq' | 'bert' | 'vision'>> & {
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
