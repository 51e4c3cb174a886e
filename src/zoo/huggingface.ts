/** Reads a Hugging Face `config.json` into an architecture. The file is foreign: every field is checked. */
import { PartitionError } from '../util/errors.js';
import { completeConfig } from './complete.js';
import type { Activation, ArchConfig, ArchSketch, BertConfig, Origin } from './config.js';

/** Typed access to the fields of one config file; errors name the field. */
class Fields {
  constructor(
    private readonly json: Readonly<Record<string, unknown>>,
    readonly where: string,
  ) {}

  /** A number, or the fallback when absent or null; required without a fallback. */
  number(field: string, fallback?: number): number {
    const value = this.json[field] ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.fault(field, 'expected a number');
    return value;
  }

  boolean(field: string, fallback: boolean): boolean {
    const value = this.json[field] ?? fallback;
    if (typeof value !== 'boolean') throw this.fault(field, 'expected true or false');
    return value;
  }

  text(field: string, fallback?: string): string {
    const value = this.json[field] ?? fallback;
    if (typeof value !== 'string') throw this.fault(field, 'expected a string');
    return value;
  }

  raw(field: string): unknown {
    return this.json[field];
  }

  activation(field: string, fallback: string): Activation {
    const value = this.text(field, fallback);
    const activation = ACTIVATIONS.get(value);
    if (activation === undefined)
      throw this.fault(field, `expected one of ${[...ACTIVATIONS.keys()].join(', ')}`);
    return activation;
  }

  fault(field: string, expected: string): PartitionError {
    const value = this.json[field];
    const found = value === undefined ? 'nothing' : (JSON.stringify(value) ?? 'nothing').slice(0, 80);
    return new PartitionError('input', `${expected}, found ${found}`, `${this.where}: ${field}`);
  }
}

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ['gelu', 'gelu'],
  ['gelu_new', 'gelu-tanh'],
  ['gelu_pytorch_tanh', 'gelu-tanh'],
  ['relu', 'relu'],
  ['silu', 'silu'],
  ['swish', 'silu'],
]);

type Reader = (f: Fields, name: string) => ArchSketch;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['gpt2', readGpt2],
  ['llama', (f, name) => readLlama(f, name, { family: 'llama' })],
  [
    'mistral',
    (f, name) => readLlama(f, name, { family: 'llama', slidingWindow: f.number('sliding_window', 0) }),
  ],
  [
    'qwen3',
    (f, name) => readLlama(f, name, { family: 'llama', qkNorm: true, headDim: f.number('head_dim', 128) }),
  ],
  ['mixtral', readMixtral],
  ['qwen3_moe', readQwen3Moe],
  ['deepseek_v3', readDeepseekV3],
  ['bert', readBert],
  ['t5', readT5],
  ['vit', readVit],
]);

/**
 * @param json the parsed `config.json`
 * @param where its path, for errors and as the config's source
 * @throws PartitionError `input` naming the field that is missing, malformed or not supported
 */
export function configFromHuggingFace(json: unknown, where: string): ArchConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new PartitionError('input', 'expected a JSON object, as in a Hugging Face config.json', where);
  }
  const f = new Fields(json as Record<string, unknown>, where);
  const modelType = f.text('model_type');
  const reader = READERS.get(modelType);
  if (reader === undefined) throw f.fault('model_type', `expected one of ${[...READERS.keys()].join(', ')}`);
  const origin: Origin = { code: 'input', where };
  return completeConfig({ source: where, ...reader(f, modelType) }, origin);
}

function readGpt2(f: Fields, name: string): ArchSketch {
  const hidden = f.number('n_embd', 768);
  return {
    name,
    family: 'gpt',
    layers: f.number('n_layer', 12),
    hidden,
    heads: f.number('n_head', 12),
    ffn: f.number('n_inner', 4 * hidden),
    vocab: f.number('vocab_size', 50257),
    maxPositions: f.number('n_positions', 1024),
    normEpsilon: f.number('layer_norm_epsilon', 1e-5),
    activation: f.activation('activation_function', 'gelu_new'),
    tiedEmbeddings: f.boolean('tie_word_embeddings', true),
  };
}

/** The fields that all of the Llama line spell alike. */
function readLlama(
  f: Fields,
  name: string,
  more: Pick<ArchSketch, 'family'> & Partial<ArchSketch>,
): ArchSketch {
  const heads = f.number('num_attention_heads');
  const headDim = f.raw('head_dim') == null ? {} : { headDim: f.number('head_dim') };
  return {
    name,
    layers: f.number('num_hidden_layers'),
    hidden: f.number('hidden_size'),
    heads,
    kvHeads: f.number('num_key_value_heads', heads),
    ...headDim,
    ffn: f.number('intermediate_size'),
    vocab: f.number('vocab_size'),
    maxPositions: f.number('max_position_embeddings', 2048),
    normEpsilon: f.number('rms_norm_eps', 1e-6),
    activation: f.activation('hidden_act', 'silu'),
    tiedEmbeddings: f.boolean('tie_word_embeddings', false),
    attentionBias: f.boolean('attention_bias', false),
    ffnBias: f.boolean('mlp_bias', false),
    ropeTheta: ropeTheta(f),
    ...more,
  };
}

/** Newer files keep the base in `rope_parameters`. */
function ropeTheta(f: Fields): number {
  const nested = f.raw('rope_parameters');
  if (typeof nested === 'object' && nested !== null && 'rope_theta' in nested) {
    return new Fields(nested, `${f.where}: rope_parameters`).number('rope_theta');
  }
  return f.number('rope_theta', 10000);
}

function readMixtral(f: Fields, name: string): ArchSketch {
  return readLlama(f, name, {
    family: 'moe',
    slidingWindow: f.number('sliding_window', 0),
    moe: { experts: f.number('num_local_experts', 8), topk: f.number('num_experts_per_tok', 2) },
  });
}

function readQwen3Moe(f: Fields, name: string): ArchSketch {
  if (f.number('decoder_sparse_step', 1) !== 1) {
    throw f.fault('decoder_sparse_step', 'expected 1: experts in every other layer are not supported');
  }
  const dense = f.raw('mlp_only_layers') ?? [];
  if (!Array.isArray(dense) || dense.some((layer, i) => layer !== i)) {
    throw f.fault('mlp_only_layers', 'expected an empty list, or the first layers in order');
  }
  return readLlama(f, name, {
    family: 'moe',
    qkNorm: true,
    moe: {
      experts: f.number('num_experts'),
      topk: f.number('num_experts_per_tok'),
      expertFfn: f.number('moe_intermediate_size'),
      normaliseTopk: f.boolean('norm_topk_prob', false),
      denseLayers: dense.length,
    },
  });
}

function readDeepseekV3(f: Fields, name: string): ArchSketch {
  if (f.number('moe_layer_freq', 1) !== 1) {
    throw f.fault('moe_layer_freq', 'expected 1: experts in every other layer are not supported');
  }
  const mla = {
    qLoraRank: f.number('q_lora_rank', 0),
    kvLoraRank: f.number('kv_lora_rank'),
    nopeHeadDim: f.number('qk_nope_head_dim'),
    ropeHeadDim: f.number('qk_rope_head_dim'),
    valueHeadDim: f.number('v_head_dim'),
  };
  return readLlama(f, name, {
    family: 'deepseek',
    mla,
    moe: {
      experts: f.number('n_routed_experts'),
      topk: f.number('num_experts_per_tok'),
      expertFfn: f.number('moe_intermediate_size'),
      sharedExperts: f.number('n_shared_experts', 0),
      denseLayers: f.number('first_k_dense_replace', 0),
      router: 'sigmoid',
      normaliseTopk: f.boolean('norm_topk_prob', true),
      routedScale: f.number('routed_scaling_factor', 1),
      groups: f.number('n_group', 1),
      topkGroups: f.number('topk_group', 1),
    },
  });
}

function readBert(f: Fields, name: string): ArchSketch {
  return {
    name,
    family: 'bert',
    layers: f.number('num_hidden_layers', 12),
    hidden: f.number('hidden_size', 768),
    heads: f.number('num_attention_heads', 12),
    ffn: f.number('intermediate_size', 3072),
    vocab: f.number('vocab_size', 30522),
    maxPositions: f.number('max_position_embeddings', 512),
    normEpsilon: f.number('layer_norm_eps', 1e-12),
    activation: f.activation('hidden_act', 'gelu'),
    bert: { typeVocab: f.number('type_vocab_size', 2), head: bertHead(f) },
  };
}

/** The class that the file says it was saved from decides the head; a bare encoder keeps its pooler. */
function bertHead(f: Fields): BertConfig['head'] {
  const classes = f.raw('architectures');
  if (!Array.isArray(classes)) return 'pooler';
  if (classes.includes('BertForPreTraining')) return 'pretraining';
  return classes.includes('BertForMaskedLM') ? 'mlm' : 'pooler';
}

function readT5(f: Fields, name: string): ArchSketch {
  const layers = f.number('num_layers', 6);
  const projection = f.text('feed_forward_proj', 'relu');
  const isGated = projection.startsWith('gated-');
  const activation =
    projection === 'gated-gelu' ? 'gelu-tanh' : ACTIVATIONS.get(projection.replace(/^gated-/, ''));
  if (activation === undefined)
    throw f.fault('feed_forward_proj', 'expected relu, gelu, gated-gelu or gated-silu');
  return {
    name,
    family: 't5',
    layers,
    hidden: f.number('d_model', 512),
    heads: f.number('num_heads', 8),
    headDim: f.number('d_kv', 64),
    ffn: f.number('d_ff', 2048),
    vocab: f.number('vocab_size', 32128),
    maxPositions: f.number('n_positions', 512),
    normEpsilon: f.number('layer_norm_epsilon', 1e-6),
    activation,
    gatedFfn: isGated,
    tiedEmbeddings: f.boolean('tie_word_embeddings', true),
    seqToSeq: {
      decoderLayers: f.number('num_decoder_layers', layers),
      relativeBuckets: f.number('relative_attention_num_buckets', 32),
      relativeMaxDistance: f.number('relative_attention_max_distance', 128),
    },
  };
}

function readVit(f: Fields, name: string): ArchSketch {
  const labels = f.raw('id2label');
  const classes = typeof labels === 'object' && labels !== null ? Object.keys(labels).length : 2;
  return {
    name,
    family: 'vit',
    layers: f.number('num_hidden_layers', 12),
    hidden: f.number('hidden_size', 768),
    heads: f.number('num_attention_heads', 12),
    ffn: f.number('intermediate_size', 3072),
    normEpsilon: f.number('layer_norm_eps', 1e-12),
    activation: f.activation('hidden_act', 'gelu'),
    vision: {
      imageSize: f.number('image_size', 224),
      patchSize: f.number('patch_size', 16),
      channels: f.number('num_channels', 3),
      classes: f.number('num_labels', classes),
    },
  };
}
