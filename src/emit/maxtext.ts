/** MaxText: YAML with the mesh inside a slice (ici) and between slices (dcn). */
import { stringify } from 'yaml';
import { hostsOf } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { layersOf, noteCuts, noteTraining, recomputeOf, shapeOf, vendorOf } from './sizes.js';
import { layerCounts } from './stageLayers.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

export const maxtext: EmitTarget = {
  name: 'maxtext',
  toolVersion: 'MaxText 0.2.4 (e591f30cb)',
  about: 'YAML configuration with ici and dcn parallelism, mesh order and remat policy',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    noteTraining(input, notes, 'MaxText', ['google', 'nvidia', 'amd']);
    if (input.plan.mesh.rankToDevice !== null)
      notes.differs('an irregular map of ranks to devices', 'JAX lays the mesh out on the hardware itself');
    const document = {
      ...modelFields(input, notes),
      ...meshFields(input, notes),
      ...batchFields(input, notes),
      ...pipelineFields(input, notes),
      ...rematFields(input, notes),
      ...precisionFields(input, notes),
      hardware: vendorOf(input) === 'google' || vendorOf(input) === null ? 'tpu' : 'gpu',
    };
    const unknown = Object.entries(document).filter(([, value]) => value === null);
    const kept = Object.fromEntries(Object.entries(document).filter(([, value]) => value !== null));
    const content = [
      commented([
        ...headerLines(maxtext, input, notes),
        '',
        'python3 -m maxtext.trainers.pre_train.train maxtext.yml run_name=NAME base_output_directory=DIR steps=N',
        ...unknown.map(([key]) => `and ${key}=..., which neither plan nor model says`),
      ]),
      stringify({ base_config: 'base.yml', ...kept }, { lineWidth: 0, version: '1.1' }),
    ].join('');
    return { files: [{ name: 'maxtext.yml', content }], notExpressed: notes.all };
  },
};

/** Null where it is not known: said in the comment, not in the file. */
function modelFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const shape = shapeOf(input);
  if (shape === null) {
    notes.differs(
      'the shape of the model',
      'not known without the model, or it has no attention; name one with model_name=...',
    );
    return {};
  }
  if (!shape.decoderOnly) notes.blocks('a model that is no causal decoder', 'MaxText trains decoders only');
  const { attention, experts } = shape;
  return {
    override_model_config: true,
    base_num_decoder_layers: shape.layers,
    base_emb_dim: shape.hidden,
    base_num_query_heads: attention?.heads ?? null,
    base_num_kv_heads: attention?.kvHeads ?? null,
    head_dim: attention?.headDim ?? null,
    base_mlp_dim: shape.ffn ?? experts?.ffn ?? null,
    vocab_size: shape.vocab,
    mlp_activations:
      shape.activation === 'gated-silu'
        ? ['silu', 'linear']
        : shape.activation === 'gated-gelu'
          ? ['gelu', 'linear']
          : [shape.activation === 'other' ? 'gelu' : shape.activation],
    logits_via_embedding: shape.tied,
    ...(attention?.latent == null
      ? {}
      : {
          attention_type: 'mla',
          q_lora_rank: attention.latent.queryRank,
          kv_lora_rank: attention.latent.kvRank,
          qk_nope_head_dim: attention.latent.plainDim,
          qk_rope_head_dim: attention.latent.rotaryDim,
          v_head_dim: attention.valueDim,
        }),
    ...(experts === null
      ? {}
      : {
          num_experts: experts.experts,
          num_experts_per_tok: experts.topk,
          base_moe_mlp_dim: experts.ffn,
          ...(experts.sharedFfn > 0
            ? { shared_experts: Math.max(1, Math.round(experts.sharedFfn / experts.ffn)) }
            : {}),
          ...(experts.layers[0] ? {} : { first_num_dense_layers: experts.layers.indexOf(true) }),
        }),
  };
}

type MaxAxis = 'data' | 'fsdp' | 'context' | 'tensor' | 'tensor_sequence' | 'expert' | 'pipeline';

/** In rank order, innermost first: what of the plan's mesh is which axis of MaxText. */
function maxAxes(input: EmitInput, notes: Notes): { axis: MaxAxis; size: number }[] {
  const { plan } = input;
  const { tp, cp, ep, etp, dpShard, dpReplicate, pp } = plan.degrees;
  const shards = plan.zeroStage === 0 ? 'data' : 'fsdp';
  if (plan.zeroStage === 1 || plan.zeroStage === 2)
    notes.differs(`ZeRO stage ${plan.zeroStage}`, 'MaxText shards parameters too (fsdp axis)');
  if (plan.sequenceParallel === false && tp > 1)
    notes.differs('tensor parallelism without sequence parallelism', 'XLA decides the layout between layers');
  let rest = dpShard;
  let outer = dpReplicate;
  let expert = 1;
  if (ep > 1) {
    // MaxText's expert axis is one of the mesh and carries the batch elsewhere.
    const fromShard = greatestCommonDivisor(ep, dpShard);
    if (dpReplicate % (ep / fromShard) === 0 && (etp === tp || tp === 1)) {
      expert = ep;
      rest = dpShard / fromShard;
      outer = dpReplicate / (ep / fromShard);
    } else
      notes.blocks(
        `ep = ${ep}, etp = ${etp} over dp = ${dpReplicate * dpShard}, tp = ${tp}`,
        "MaxText's expert axis is a part of data parallelism, and experts are split over the tensor axis",
      );
  } else if (etp !== tp && shapeOf(input)?.experts != null)
    notes.differs(`experts split over etp = ${etp}`, `MaxText splits them over the tensor axis, ${tp} ways`);
  const inner: { axis: MaxAxis; size: number }[] = [
    { axis: 'tensor', size: tp },
    { axis: 'context', size: cp },
  ];
  const data: { axis: MaxAxis; size: number }[] = [
    { axis: 'expert', size: expert },
    { axis: shards, size: rest },
    { axis: 'data', size: outer },
  ];
  const names = plan.mesh.axes.map((a) => a.name);
  const pipeline = { axis: 'pipeline' as const, size: pp };
  return names.indexOf('pp') < names.indexOf('dpShard')
    ? [...inner, pipeline, ...data]
    : [...inner, ...data, pipeline];
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Axes fill a slice from the inside; the one that does not fit is divided between ici and dcn. */
function meshFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { plan } = input;
  const perSlice = sliceSize(input, notes);
  const slices = plan.cluster.devices / perSlice;
  const ici: Partial<Record<MaxAxis, number>> = {};
  const dcn: Partial<Record<MaxAxis, number>> = {};
  let room = perSlice;
  for (const { axis, size } of maxAxes(input, notes)) {
    const inside = greatestCommonDivisor(size, room);
    room /= inside;
    ici[axis] = (ici[axis] ?? 1) * inside;
    dcn[axis] = (dcn[axis] ?? 1) * (size / inside);
  }
  if (room > 1)
    notes.blocks(
      `a mesh of ${plan.cluster.devices} devices`,
      `no part of its axes fills a slice of ${perSlice} devices`,
    );
  notes.differs(
    'the order of the mesh axes on the topology',
    'JAX lays the axes out itself, within a slice as its links allow; which are inside a slice is as planned',
  );
  const names = ['data', 'fsdp', 'context', 'tensor', 'expert', 'pipeline'] as const;
  return {
    mesh_axes: MESH_AXES,
    num_slices: slices,
    ...Object.fromEntries(names.map((n) => [`ici_${n}_parallelism`, ici[n] ?? 1])),
    ...Object.fromEntries(names.map((n) => [`dcn_${n}_parallelism`, dcn[n] ?? 1])),
    ...(plan.degrees.cp > 1
      ? { context_parallel_strategy: plan.contextExchange === 'all-to-all' ? 'ulysses' : 'ring' }
      : {}),
  };
}

/** As in base.yml: outermost first. */
const MESH_AXES = [
  'diloco',
  'data',
  'stage',
  'fsdp',
  'fsdp_transpose',
  'context',
  'context_usp_ulysses',
  'context_autoregressive',
  'tensor',
  'tensor_sequence',
  'expert',
  'autoregressive',
];

/** Devices that one fast network joins: a pod of TPUs, a host of GPUs. */
function sliceSize({ plan, cluster }: EmitInput, notes: Notes): number {
  const { devices } = plan.cluster;
  if (cluster === null) {
    notes.differs('slices of a cluster that is not known', 'all devices stand in one slice');
    return devices;
  }
  const levels = cluster.levels;
  const torus = levels.filter((l) => l.kind === 'torus').pop();
  const hosts = hostsOf(plan, cluster);
  const size = Math.min(devices, torus?.size ?? (hosts?.perHost || levels[0].size));
  if (devices % size === 0) return size;
  notes.blocks(`${devices} devices in slices of ${size}`, 'MaxText takes equal slices');
  return devices;
}

function batchFields({ plan }: EmitInput, notes: Notes): Record<string, unknown> {
  const { pp } = plan.degrees;
  const accumulation = pp > 1 ? 1 : plan.microbatches;
  const perDevice = plan.globalBatch / (plan.cluster.devices * accumulation);
  if (pp > 1 && plan.microbatches % pp !== 0)
    notes.blocks(
      `${plan.microbatches} microbatches over ${pp} stages`,
      'MaxText asks for a multiple of the stages (num_pipeline_microbatches)',
    );
  return {
    per_device_batch_size: perDevice,
    gradient_accumulation_steps: accumulation,
    max_target_length: plan.sequenceLength,
  };
}

function pipelineFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { plan } = input;
  const { pp, vpp } = plan.degrees;
  if (pp === 1) return {};
  notes.differs(
    `schedule ${plan.schedule}`,
    'MaxText runs all forward passes before the backward passes; keep an eye on memory',
  );
  const layers = layersOf(input);
  noteCuts(layers, notes);
  const counts = layers === null ? null : layerCounts(layers);
  const total = layers?.layers ?? plan.model.layers;
  const perStage = total / (pp * vpp);
  if (counts !== null && counts.some((c) => c !== counts[0]))
    notes.differs(
      'stages of unlike numbers of layers',
      'MaxText deals out equal numbers; embedding and head stand outside of the pipeline',
    );
  if (!Number.isInteger(perStage) || perStage < 1)
    notes.blocks(`${total} layers on ${pp * vpp} virtual stages`, 'MaxText asks for a multiple');
  return {
    num_pipeline_microbatches: plan.microbatches,
    num_pipeline_repeats: vpp,
    num_layers_per_pipeline_stage: Math.max(1, Math.floor(perStage)),
  };
}

function rematFields(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { policy, isUniform, outside } = recomputeOf(input);
  if (outside) notes.differs('recomputation of the embedding or the head', 'MaxText recomputes layers only');
  if (!isUniform)
    notes.differs('recomputation that differs between layers', `all layers do as most: ${policy}`);
  if (policy === 'full') return { remat_policy: 'full' };
  if (policy === 'none')
    notes.differs(
      'no recomputation',
      'remat_policy minimal keeps the results of all products and recomputes the rest',
    );
  return { remat_policy: 'minimal' };
}

function precisionFields({ plan }: EmitInput, notes: Notes): Record<string, unknown> {
  const { precision } = plan;
  if (precision === 'fp16')
    notes.blocks('precision fp16', 'MaxText does not scale the loss; this is bfloat16');
  if (precision === 'tf32') notes.differs('precision tf32', 'set jax_default_matmul_precision=tensorfloat32');
  const dtype = precision === 'fp32' || precision === 'tf32' ? 'float32' : 'bfloat16';
  const quantization =
    precision === 'fp8' ? { quantization: 'fp8' } : precision === 'fp4' ? { quantization: 'fp4' } : {};
  return { dtype, weight_dtype: 'float32', ...quantization };
}
