/** torchtitan: a TOML job configuration and the script that starts it. */
import { hostsOf, pipelineIsInside } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked, torchrunLines } from './shell.js';
import {
  isSequenceParallel,
  layersOf,
  noteCuts,
  noteRankMap,
  noteTraining,
  recomputeOf,
  shapeOf,
} from './sizes.js';
import type { StageLayers } from './stageLayers.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

type TomlValue = string | number | boolean | readonly TomlValue[];
type Section = readonly [name: string, fields: Readonly<Record<string, TomlValue>>];

export const torchtitan: EmitTarget = {
  name: 'torchtitan',
  toolVersion: 'torchtitan 0.2.2',
  about: 'TOML job configuration, and a script that starts it',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    noteTraining(input, notes, 'torchtitan', ['nvidia', 'amd']);
    noteRankMap(input.plan, notes);
    const sections = jobSections(input, notes);
    const run = torchrunLines(input, notes, hostsOf(input.plan, input.cluster));
    const shape = shapeOf(input);
    const sizes =
      shape === null
        ? []
        : [
            '',
            `The flavor must have ${shape.layers} layers of width ${shape.hidden ?? '?'}, ${shape.attention?.heads ?? '?'} heads` +
              ` (${shape.attention?.kvHeads ?? '?'} for keys and values), and ${shape.vocab ?? '?'} entries in its vocabulary.`,
          ];
    const header = commented([...headerLines(torchtitan, input, notes), ...sizes]);
    const script = [
      '#!/usr/bin/env bash\n',
      header,
      'set -euo pipefail\n\n',
      asked('TITAN_MODEL', 'name of the model in torchtitan, such as llama3'),
      asked('TITAN_FLAVOR', 'flavor of the model, such as 8B'),
      asked('TRAIN_STEPS', 'steps to train'),
      asked('LR', 'peak learning rate'),
      run.variables,
      '\n',
      'CONFIG=${CONFIG:-"$(cd "$(dirname "$0")" && pwd)/torchtitan.toml"}\n\n',
      `${run.command} -m torchtitan.train --job.config_file "$CONFIG" \\\n`,
      '  --model.name "$TITAN_MODEL" --model.flavor "$TITAN_FLAVOR" \\\n',
      '  --training.steps "$TRAIN_STEPS" --optimizer.lr "$LR" "$@"\n',
    ].join('');
    return {
      files: [
        { name: 'torchtitan.toml', content: header + toml(sections) },
        { name: 'torchtitan.sh', content: script, executable: true },
      ],
      notExpressed: notes.all,
    };
  },
};

function jobSections(input: EmitInput, notes: Notes): Section[] {
  const { plan } = input;
  const { pp } = plan.degrees;
  const parallelism = parallelismFields(input, notes);
  const precision = precisionFields(input, notes);
  return [
    [
      'training',
      {
        // Without a pipeline, microbatches are steps of gradient accumulation.
        local_batch_size: pp > 1 ? plan.microbatch * plan.microbatches : plan.microbatch,
        global_batch_size: plan.globalBatch,
        seq_len: plan.sequenceLength,
        ...precision.training,
      },
    ],
    ['parallelism', parallelism],
    ['activation_checkpoint', checkpointFields(input, notes)],
    ...precision.sections,
  ];
}

function parallelismFields(input: EmitInput, notes: Notes): Record<string, TomlValue> {
  const { plan } = input;
  const { tp, cp, ep, etp, dp } = plan.degrees;
  const fields: Record<string, TomlValue> = { ...dataParallelFields(input, notes) };
  if (pipelineIsInside(plan))
    notes.differs(
      'pipeline ranks inside data parallelism (axis order tp-cp-pp-dp)',
      'torchtitan lays out pp outermost: stages stand further apart than planned',
    );
  if (tp > 1 && !isSequenceParallel(plan))
    notes.differs(
      'tensor parallelism without sequence parallelism',
      'torchtitan 0.2.2 always splits the sequence too',
    );
  const heads = shapeOf(input)?.attention;
  if (heads != null && heads.kvHeads % tp !== 0)
    notes.blocks(`${heads.kvHeads} key-value heads over tp = ${tp}`, 'torchtitan asks for a multiple of tp');
  const parts = tp * (cp > 1 ? 2 * cp : 1);
  if (plan.sequenceLength % parts !== 0)
    notes.blocks(
      `sequences of ${plan.sequenceLength} over tp = ${tp}, cp = ${cp}`,
      `torchtitan asks for a multiple of ${parts}`,
    );
  fields['tensor_parallel_degree'] = tp;
  fields['context_parallel_degree'] = cp;
  if (cp > 1) {
    fields['context_parallel_rotate_method'] =
      plan.contextExchange === 'all-to-all' ? 'alltoall' : 'allgather';
    if (plan.contextExchange === 'all-to-all')
      notes.differs(
        'heads exchanged for sequence',
        'torchtitan sends keys and values around by all-to-all; heads stay',
      );
    else notes.differs('context parallelism in a ring', 'torchtitan gathers keys and values at once');
  }
  fields['expert_parallel_degree'] = ep;
  if (ep * etp > 1) {
    fields['expert_tensor_parallel_degree'] = etp;
    const ranks = (dp * cp * tp) / (etp === tp ? tp : 1);
    if (etp !== 1 && etp !== tp)
      notes.blocks(
        `experts split over etp = ${etp} and the rest over tp = ${tp}`,
        'torchtitan has etp = 1 or etp = tp',
      );
    else if (ranks % ep !== 0)
      notes.blocks(`ep = ${ep} over ${ranks} ranks`, 'torchtitan takes expert ranks from dp, cp and tp');
  }
  return { ...fields, ...pipelineFields(input, notes) };
}

/** FSDP2 shards parameters, gradients and states alike. */
function dataParallelFields({ plan }: EmitInput, notes: Notes): Record<string, TomlValue> {
  const { dpReplicate, dpShard, dp, cp, ep } = plan.degrees;
  const fsdp = 'torchtitan shards parameters too (FSDP2)';
  if (dp * cp === 1) return { data_parallel_replicate_degree: 1, data_parallel_shard_degree: 1 };
  if (plan.zeroStage === 0) {
    if (cp > 1 || ep > 1) {
      notes.differs(
        'replicas that shard nothing',
        `${fsdp} where there are context- or expert-parallel ranks`,
      );
      return {
        data_parallel_replicate_degree: 1,
        data_parallel_shard_degree: dp,
        fsdp_reshard_after_forward: 'never',
      };
    }
    return { data_parallel_replicate_degree: dp, data_parallel_shard_degree: 1 };
  }
  if (plan.zeroStage === 1) notes.differs('ZeRO stage 1', `${fsdp}, and keeps them after the forward pass`);
  if (plan.zeroStage === 2) notes.differs('ZeRO stage 2', `${fsdp}, and keeps them after the forward pass`);
  return {
    data_parallel_replicate_degree: dpReplicate,
    data_parallel_shard_degree: dpShard,
    fsdp_reshard_after_forward: plan.zeroStage === 3 ? 'always' : 'never',
  };
}

function pipelineFields(input: EmitInput, notes: Notes): Record<string, TomlValue> {
  const { plan } = input;
  const { pp, vpp } = plan.degrees;
  if (pp === 1) return { pipeline_parallel_degree: 1 };
  const layers = layersOf(input);
  noteCuts(layers, notes);
  if (layers === null)
    notes.blocks(
      `${pp * vpp} stages of unknown layers`,
      input.model === null
        ? 'the layers are not known without the model; give it with --model'
        : 'the model has no layers that could be dealt out',
    );
  return {
    pipeline_parallel_degree: pp,
    pipeline_parallel_schedule: scheduleName(input, notes),
    pipeline_parallel_microbatch_size: plan.microbatch,
    ...(layers === null ? {} : { module_fqns_per_model_part: moduleNames(layers) }),
  };
}

function scheduleName({ plan }: EmitInput, notes: Notes): string {
  const { pp, vpp } = plan.degrees;
  if (plan.schedule === 'gpipe') return 'GPipe';
  if (plan.schedule === 'interleaved') return 'Interleaved1F1B';
  if (plan.microbatches < pp * vpp) {
    notes.differs(
      `schedule ${plan.schedule} with ${plan.microbatches} microbatches on ${pp} stages`,
      'torchtitan runs 1F1B only with as many microbatches as stages; this runs GPipe, whose step is as long',
    );
    return 'GPipe';
  }
  if (plan.schedule === 'zb-h1')
    notes.differs(
      'schedule zb-h1',
      'torchtitan has no zero-bubble schedule of one stage a rank; this runs 1F1B',
    );
  return '1F1B';
}

/** torchtitan's own module names: what its decoders call embedding, layers, norm and head. */
function moduleNames({ firstLayer }: StageLayers): string[][] {
  const stages = firstLayer.length - 1;
  return Array.from({ length: stages }, (_, v) => [
    ...(v === 0 ? ['tok_embeddings'] : []),
    ...Array.from({ length: firstLayer[v + 1] - firstLayer[v] }, (_item, l) => `layers.${firstLayer[v] + l}`),
    ...(v === stages - 1 ? ['norm', 'output'] : []),
  ]);
}

function checkpointFields(input: EmitInput, notes: Notes): Record<string, TomlValue> {
  const { policy, isUniform, outside } = recomputeOf(input);
  if (outside)
    notes.differs('recomputation of the embedding or the head', 'torchtitan recomputes layers only');
  if (!isUniform)
    notes.differs('recomputation that differs between layers', `all layers do as most: ${policy}`);
  if (policy !== 'selective') return { mode: policy };
  notes.differs(
    'selective recomputation',
    'torchtitan keeps every second product and attention, and recomputes the rest',
  );
  return { mode: 'selective', selective_ac_option: 'op' };
}

function precisionFields(
  { plan }: EmitInput,
  notes: Notes,
): { training: Record<string, TomlValue>; sections: Section[] } {
  const mixed = (param: string): Record<string, TomlValue> => ({
    dtype: 'float32',
    mixed_precision_param: param,
    mixed_precision_reduce: 'float32',
  });
  const { precision } = plan;
  if (precision === 'fp16') {
    notes.blocks(
      'precision fp16',
      'torchtitan trains in bfloat16 or float32, without loss scaling; this is bfloat16',
    );
    return { training: mixed('bfloat16'), sections: [] };
  }
  if (precision === 'fp32' || precision === 'tf32') {
    if (precision === 'tf32')
      notes.differs('precision tf32', 'set it in PyTorch: torch.set_float32_matmul_precision("high")');
    return { training: mixed('float32'), sections: [] };
  }
  if (precision === 'fp4')
    notes.differs('precision fp4', 'torchtitan 0.2.2 has float8 products; this is float8');
  if (precision === 'bf16') return { training: mixed('bfloat16'), sections: [] };
  return {
    training: mixed('bfloat16'),
    sections: [
      ['model', { converters: ['quantize.linear.float8'] }],
      ['quantize.linear.float8', { recipe_name: 'rowwise', filter_fqns: ['output'] }],
    ],
  };
}

function toml(sections: readonly Section[]): string {
  return sections
    .map(([name, fields]) => {
      const lines = Object.entries(fields).map(([key, value]) => `${key} = ${tomlValue(value, 0)}\n`);
      return `\n[${name}]\n${lines.join('')}`;
    })
    .join('');
}

/** Basic strings have JSON's escapes; a list of lists takes a line for each. */
function tomlValue(value: TomlValue, depth: number): string {
  if (!Array.isArray(value)) return JSON.stringify(value);
  const items = (value as readonly TomlValue[]).map((v) => tomlValue(v, depth + 1));
  return depth === 0 && Array.isArray(value[0])
    ? `[\n${items.map((i) => `  ${i},\n`).join('')}]`
    : `[${items.join(', ')}]`;
}
