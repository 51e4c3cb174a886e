import { expect } from 'chai';
import { PartitionError } from '../../src/util/errors.js';
import { configFromHuggingFace, parameterCount } from '../../src/zoo/index.js';

const LLAMA = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000.0,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};

/** Published config.json files, cut to the fields that size the model, and the checkpoint's parameter count. */
const FILES: readonly (readonly [object, number])[] = [
  [
    { model_type: 'gpt2', n_embd: 1600, n_layer: 48, n_head: 25, n_positions: 1024, vocab_size: 50257 },
    1557611200,
  ],
  [LLAMA, 8030261248],
  [
    {
      ...LLAMA,
      model_type: 'mistral',
      vocab_size: 32000,
      sliding_window: 4096,
      rope_theta: 10000,
    },
    7241732096,
  ],
  [
    {
      ...LLAMA,
      model_type: 'mixtral',
      vocab_size: 32000,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      sliding_window: null,
    },
    46702792704,
  ],
  [
    {
      model_type: 'qwen3',
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      vocab_size: 151936,
      tie_word_embeddings: true,
      rope_parameters: { rope_theta: 1000000, rope_type: 'default' },
    },
    596049920,
  ],
  [
    {
      model_type: 'qwen3_moe',
      hidden_size: 2048,
      intermediate_size: 6144,
      moe_intermediate_size: 768,
      num_hidden_layers: 48,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      head_dim: 128,
      vocab_size: 151936,
      num_experts: 128,
      num_experts_per_tok: 8,
      decoder_sparse_step: 1,
      mlp_only_layers: [],
      norm_topk_prob: true,
    },
    30532122624,
  ],
  [
    {
      model_type: 'deepseek_v3',
      hidden_size: 7168,
      intermediate_size: 18432,
      moe_intermediate_size: 2048,
      num_hidden_layers: 61,
      num_attention_heads: 128,
      num_key_value_heads: 128,
      vocab_size: 129280,
      q_lora_rank: 1536,
      kv_lora_rank: 512,
      qk_nope_head_dim: 128,
      qk_rope_head_dim: 64,
      v_head_dim: 128,
      n_routed_experts: 256,
      n_shared_experts: 1,
      num_experts_per_tok: 8,
      first_k_dense_replace: 3,
      n_group: 8,
      topk_group: 4,
      norm_topk_prob: true,
      routed_scaling_factor: 2.5,
    },
    671026419200,
  ],
  [
    {
      model_type: 'bert',
      architectures: ['BertModel'],
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      vocab_size: 30522,
      type_vocab_size: 2,
      max_position_embeddings: 512,
      hidden_act: 'gelu',
    },
    335141888,
  ],
  [
    {
      model_type: 't5',
      d_model: 1024,
      d_kv: 128,
      d_ff: 65536,
      num_layers: 24,
      num_heads: 128,
      vocab_size: 32128,
    },
    11307321344,
  ],
  [
    {
      model_type: 'vit',
      hidden_size: 768,
      intermediate_size: 3072,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      image_size: 224,
      patch_size: 16,
      num_labels: 1000,
    },
    86567656,
  ],
];

/** The error for a config file, as one line. */
function refusal(json: unknown): string {
  try {
    configFromHuggingFace(json, 'config.json');
  } catch (e) {
    if (!(e instanceof PartitionError)) throw e;
    expect(e.code).to.equal('input');
    return e.line();
  }
  throw new Error('expected an error');
}

describe('Hugging Face configs', () => {
  for (const [json, parameters] of FILES) {
    const modelType = (json as { model_type: string }).model_type;
    it(`of ${modelType} give the checkpoint's parameter count`, () => {
      const config = configFromHuggingFace(json, 'config.json');
      expect(parameterCount(config).total).to.equal(parameters);
      expect(config.source).to.equal('config.json');
    });
  }

  it('carry what changes the graph but not the count', () => {
    const mistral = configFromHuggingFace({ ...LLAMA, model_type: 'mistral', sliding_window: 4096 }, 'f');
    expect(mistral.slidingWindow).to.equal(4096);
    const qwen = configFromHuggingFace(FILES[4][0], 'f');
    expect(qwen).to.include({ qkNorm: true, ropeTheta: 1000000, tiedEmbeddings: true });
    const gated = configFromHuggingFace(
      { model_type: 't5', feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
      'f',
    );
    expect(gated).to.include({ gatedFfn: true, activation: 'gelu-tanh', tiedEmbeddings: false });
    const biased = configFromHuggingFace({ ...LLAMA, attention_bias: true, mlp_bias: true }, 'f');
    expect(parameterCount(biased).total - 8030261248).to.equal(32 * (4096 * 2 + 1024 * 2 + 14336 * 2 + 4096));
  });

  it('choose the head of BERT by the saved class', () => {
    const bert = FILES[7][0];
    const head = (architectures: unknown): string =>
      configFromHuggingFace({ ...bert, architectures }, 'f').bert!.head;
    expect([undefined, ['BertForMaskedLM'], ['BertForPreTraining']].map(head)).to.deep.equal([
      'pooler',
      'mlm',
      'pretraining',
    ]);
  });

  it('count the classes of ViT by its labels', () => {
    const config = configFromHuggingFace(
      { model_type: 'vit', id2label: { 0: 'cat', 1: 'dog', 2: 'owl' } },
      'f',
    );
    expect(config.vision!.classes).to.equal(3);
  });

  it('are refused by the name of the field that is wrong', () => {
    expect(refusal({ model_type: 'mamba' }))
      .to.include('config.json: model_type')
      .and.include('"mamba"')
      .and.include('llama');
    expect(refusal({ hidden_size: 1 })).to.include('model_type');
    expect(refusal({ ...LLAMA, hidden_size: undefined }))
      .to.include('hidden_size')
      .and.include('nothing');
    expect(refusal({ ...LLAMA, hidden_size: '4096' }))
      .to.include('hidden_size')
      .and.include('"4096"');
    expect(refusal({ ...LLAMA, hidden_size: -4096 }))
      .to.include('hidden')
      .and.include('-4096');
    expect(refusal({ ...LLAMA, num_attention_heads: 7, num_key_value_heads: 7 })).to.include('4096');
    expect(refusal({ ...LLAMA, tie_word_embeddings: 'no' })).to.include('tie_word_embeddings');
    expect(refusal({ ...LLAMA, hidden_act: 'softplus' }))
      .to.include('hidden_act')
      .and.include('gelu');
    expect(refusal({ ...FILES[5][0], decoder_sparse_step: 2 })).to.include('decoder_sparse_step');
    expect(refusal({ ...FILES[5][0], mlp_only_layers: [3] })).to.include('mlp_only_layers');
    expect(refusal({ ...FILES[5][0], num_experts_per_tok: 500 }))
      .to.include('topk')
      .and.include('128');
  });

  it('are refused when they are not an object', () => {
    for (const json of [null, [], 'llama', 3]) expect(refusal(json)).to.include('expected a JSON object');
  });
});
