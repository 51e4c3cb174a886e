// Written by partition emit --target shardy, for Shardy a0277a83 (dialect sdy), StableHLO types.
// Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
//
// The plan asks what these files do not say:
// - pipeline of 4 stages, schedule 1f1b: a function per stage, each on a mesh of its own devices; the schedule is the runtime’s
// - recomputation: the program decides; shardings do not say
// - ZeRO stage 1: shardings are those of compute; states at rest are the optimizer’s
// - devices of the ranks: device numbers count the devices of one stage, in the order of its ranks
module @plan {
  sdy.mesh @mesh = <["dp_shard"=2, "tp"=2]>
  func.func private @stage_0(
      tensor<4x1024xi64> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}]>}, // input_ids
      tensor<4x1024xi64> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}]>}, // attention_mask
      tensor<128256x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.embed_tokens.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.0.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.0.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.0.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.0.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.0.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.0.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.0.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.0.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>} // model.layers.0.mlp.down_proj.weight
    ) -> (
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_1_output_0
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_output_0
      tensor<4x1x1024x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}, {}]>}, // /model/mask/Where_output_0
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>} // /model/layers.0/Add_1_output_0
    )
  func.func private @stage_1(
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_1_output_0
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_output_0
      tensor<4x1x1024x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}, {}]>}, // /model/mask/Where_output_0
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>}, // /model/layers.0/Add_1_output_0
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.1.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.1.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.1.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.1.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.1.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.1.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.1.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.1.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.1.mlp.down_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.2.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.2.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.2.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.2.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.2.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.2.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.2.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.2.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>} // model.layers.2.mlp.down_proj.weight
    ) -> (
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>} // /model/layers.2/Add_1_output_0
    )
  func.func private @stage_2(
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_1_output_0
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_output_0
      tensor<4x1x1024x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}, {}]>}, // /model/mask/Where_output_0
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>}, // /model/layers.2/Add_1_output_0
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.3.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.3.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.3.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.3.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.3.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.3.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.3.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.3.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.3.mlp.down_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.4.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.4.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.4.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.4.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.4.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.4.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.4.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.4.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>} // model.layers.4.mlp.down_proj.weight
    ) -> (
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>} // /model/layers.4/Add_1_output_0
    )
  func.func private @stage_3(
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_1_output_0
      tensor<1x1x1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}, {}, {}]>}, // /model/rotary_emb/Unsqueeze_output_0
      tensor<4x1x1024x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}, {}]>}, // /model/mask/Where_output_0
      tensor<4x1024x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {}]>}, // /model/layers.4/Add_1_output_0
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.5.input_layernorm.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.5.self_attn.k_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.5.self_attn.q_proj.weight
      tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.5.self_attn.v_proj.weight
      tensor<512x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.5.self_attn.o_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.layers.5.post_attention_layernorm.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.5.mlp.gate_proj.weight
      tensor<512x1408xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>}, // model.layers.5.mlp.up_proj.weight
      tensor<1408x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"tp"}, {}]>}, // model.layers.5.mlp.down_proj.weight
      tensor<512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}, // model.norm.weight
      tensor<512x128256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"tp"}]>} // lm_head.weight
    ) -> (
      tensor<4x1024x128256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}, {"tp"}]>}, // logits
      tensor<4x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"dp_shard"}, {}]>} // loss
    )
}
