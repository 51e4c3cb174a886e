/** Hugging Face Accelerate: FSDP2 with a device mesh, or Megatron-LM where there is a pipeline or experts. */
import { stringify } from 'yaml';
import { hostsOf } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked } from './shell.js';
import { isSequenceParallel, layersOf, noteRankMap, noteTraining, recomputeOf } from './sizes.js';
import { layerCounts } from './stageLayers.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

export const accelerate: EmitTarget = {
  name: 'accelerate',
  toolVersion: 'Accelerate 1.15.0.dev0 (16cb6eb8), PyTorch 2.6 or later',
  about: 'YAML configuration: FSDP2, or Megatron-LM where there is a pipeline or experts',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteTraining(input, notes, 'Accelerate', ['nvidia', 'amd']);
    noteRankMap(plan, notes);
    const hosts = hostsOf(plan, input.cluster);
    if (hosts === null)
      notes.differs('hosts of a cluster that is not known', 'num_machines is 1; write yours');
    else if (hosts.perHost === 0)
      notes.blocks('hosts of unlike size', 'Accelerate starts as many processes on every host');
    const needsMegatron = plan.degrees.pp > 1 || plan.degrees.ep * plan.degrees.etp > 1;
    const document = {
      compute_environment: 'LOCAL_MACHINE',
      ...(needsMegatron ? megatronFields(input, notes) : fsdpFields(input, notes)),
      mixed_precision: mixedPrecision(input, notes),
      num_machines: hosts?.devices.length ?? 1,
      num_processes: plan.cluster.devices,
      machine_rank: 0,
      main_training_function: 'main',
      rdzv_backend: 'static',
      same_network: true,
      downcast_bf16: 'no',
      use_cpu: false,
      debug: false,
    };
    notes.differs(
      `microbatches of ${plan.microbatch} sequences, ${plan.microbatches} of them`,
      needsMegatron
        ? 'set the batch size in the data loader of the script'
        : `set the batch size to ${plan.microbatch} and gradient_accumulation_steps to ${plan.microbatches} in the script`,
    );
    const header = commented(headerLines(accelerate, input, notes));
    const script = [
      '#!/usr/bin/env bash\n',
      header,
      'set -euo pipefail\n\n',
      asked('TRAIN_SCRIPT', 'your training script, which uses accelerate.Accelerator'),
      (hosts?.devices.length ?? 2) > 1
        ? asked('NODE_RANK', 'number of this host, from 0') + asked('MASTER_ADDR', 'address of host 0')
        : 'NODE_RANK=0\nMASTER_ADDR=${MASTER_ADDR:-127.0.0.1}\n',
      'HERE=$(cd "$(dirname "$0")" && pwd)\n',
      'exec accelerate launch --config_file "$HERE/accelerate.yaml" --machine_rank "$NODE_RANK" \\\n',
      '  --main_process_ip "$MASTER_ADDR" --main_process_port "${MASTER_PORT:-29500}" "$TRAIN_SCRIPT" "$@"\n',
    ].join('');
    return {
      files: [
        { name: 'accelerate.yaml', content: header + stringify(document, { lineWidth: 0, version: '1.1' }) },
        { name: 'accelerate.sh', content: script, executable: true },
      ],
      notExpressed: notes.all,
    };
  },
};

function fsdpFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { plan } = input;
  const { tp, cp, dpReplicate, dpShard, dp } = plan.degrees;
  if (plan.zeroStage === 0 && tp * cp === 1) return { distributed_type: dp > 1 ? 'MULTI_GPU' : 'NO' };
  let replicate = plan.zeroStage === 0 ? dp : dpReplicate;
  let shard = plan.zeroStage === 0 ? 1 : dpShard;
  if (tp * cp > 1 && replicate > 1 && shard === 1) {
    notes.differs(
      'replicas that shard nothing, with tensor or context parallelism',
      'Accelerate asks for a shard degree above 1: they shard',
    );
    shard = replicate;
    replicate = 1;
  } else if (plan.zeroStage === 0 && dp > 1)
    notes.differs('replicas that shard nothing', 'FSDP2 with replicas only');
  if (plan.zeroStage === 1 || plan.zeroStage === 2)
    notes.differs(
      `ZeRO stage ${plan.zeroStage}`,
      'FSDP2 shards parameters too, and keeps them after the forward pass',
    );
  if (cp > 1)
    notes.differs(
      plan.contextExchange === 'all-to-all'
        ? 'heads exchanged for sequence'
        : 'context parallelism in a ring',
      'FSDP2 in Accelerate gathers keys and values (allgather)',
    );
  if (isSequenceParallel(plan))
    notes.differs('sequence parallelism', "the model's tp_plan decides the layout between layers");
  const { policy, isUniform, outside } = recomputeOf(input);
  if (outside || !isUniform)
    notes.differs(
      'recomputation that differs between parts of the model',
      `all wrapped layers do as most: ${policy}`,
    );
  if (policy === 'selective')
    notes.differs(
      'selective recomputation',
      'Accelerate recomputes whole layers or nothing; this keeps everything',
    );
  return {
    distributed_type: 'FSDP',
    fsdp_config: {
      fsdp_version: 2,
      fsdp_reshard_after_forward: plan.zeroStage === 3,
      fsdp_auto_wrap_policy: 'TRANSFORMER_BASED_WRAP',
      fsdp_state_dict_type: 'SHARDED_STATE_DICT',
      fsdp_offload_params: false,
      fsdp_cpu_ram_efficient_loading: true,
      fsdp_activation_checkpointing: policy === 'full',
    },
    parallelism_config: {
      parallelism_config_dp_replicate_size: replicate,
      parallelism_config_dp_shard_size: shard,
      parallelism_config_tp_size: tp,
      parallelism_config_cp_size: cp,
      ...(cp > 1
        ? { parallelism_config_cp_backend: 'torch', parallelism_config_cp_comm_strategy: 'allgather' }
        : {}),
    },
  };
}

function megatronFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { plan } = input;
  const { tp, pp, cp, ep, etp, vpp, dp } = plan.degrees;
  if (vpp > 1)
    notes.differs(`${vpp} chunks a rank (interleaved)`, 'the configuration has no key for it; this is 1F1B');
  else if (pp > 1 && plan.schedule !== '1f1b')
    notes.differs(`schedule ${plan.schedule}`, 'Megatron-Core runs 1F1B');
  const layers = layersOf(input);
  const counts = layers === null ? null : layerCounts(layers);
  if (pp > 1 && (counts === null || counts.some((c) => c !== counts[0])))
    notes.differs('stages of unlike numbers of layers', 'layers are dealt out evenly');
  if (plan.zeroStage >= 2)
    notes.differs(`ZeRO stage ${plan.zeroStage}`, "Megatron-LM's distributed optimizer is stage 1");
  const { policy, isUniform } = recomputeOf(input);
  if (!isUniform)
    notes.differs('recomputation that differs between layers', `all layers do as most: ${policy}`);
  return {
    distributed_type: 'MEGATRON_LM',
    megatron_lm_config: {
      megatron_lm_tp_degree: tp,
      megatron_lm_pp_degree: pp,
      megatron_lm_num_micro_batches: plan.microbatches,
      megatron_lm_sequence_parallelism: isSequenceParallel(plan),
      megatron_lm_use_distributed_optimizer: plan.zeroStage > 0 && dp > 1,
      megatron_lm_gradient_clipping: 1.0,
      ...(cp > 1 ? { megatron_lm_context_parallel_size: cp } : {}),
      ...(ep > 1 ? { megatron_lm_expert_model_parallel_size: ep } : {}),
      ...(ep * etp > 1 ? { megatron_lm_expert_tensor_parallel_size: etp } : {}),
      ...(policy === 'none'
        ? { megatron_lm_recompute_activations: false }
        : policy === 'selective'
          ? { megatron_lm_recompute_activations: true, megatron_lm_recompute_granularity: 'selective' }
          : {
              megatron_lm_recompute_granularity: 'full',
              megatron_lm_recompute_method: 'uniform',
              megatron_lm_recompute_num_layers: 1,
            }),
    },
  };
}

function mixedPrecision({ plan }: EmitInput, notes: Notes): string {
  const { precision } = plan;
  if (precision === 'tf32')
    notes.differs('precision tf32', 'set it in PyTorch: torch.set_float32_matmul_precision("high")');
  if (precision === 'fp4') notes.differs('precision fp4', 'Accelerate has fp8 at most');
  if (precision === 'fp32' || precision === 'tf32') return 'no';
  return precision === 'fp4' ? 'fp8' : precision;
}
