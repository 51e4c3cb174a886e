/** Rules of the other launchers on their configurations, from their sources at the versions that the targets name. */
import { parse } from 'yaml';
import type { Plan } from '../../src/plan/types.js';

type Fields = Record<string, unknown>;

/** A subset of TOML that is JSON beside its sections: what the target writes. @throws for anything else */
export function parseToml(text: string): Record<string, Fields> {
  const sections: Record<string, Fields> = {};
  let current: Fields = {};
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i].trim();
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[([\w.]+)\]$/.exec(line);
    if (header !== null) {
      if (header[1] in sections) throw new Error(`section ${header[1]} twice`);
      current = sections[header[1]] = {};
      continue;
    }
    const field = /^(\w+) = (.*)$/.exec(line);
    if (field === null) throw new Error(`no TOML: ${line}`);
    let value = field[2];
    while (value.startsWith('[') && !value.endsWith(']')) value += lines[++i].trim();
    if (value === '[') while (!lines[i].startsWith(']')) value += lines[++i].trim();
    if (field[1] in current) throw new Error(`${field[1]} twice`);
    current[field[1]] = JSON.parse(value.replace(/,\]$/, ']')) as unknown;
  }
  return sections;
}

const TITAN_KEYS: Readonly<Record<string, readonly string[]>> = {
  model: ['converters'],
  training: [
    'local_batch_size',
    'global_batch_size',
    'seq_len',
    'dtype',
    'mixed_precision_param',
    'mixed_precision_reduce',
  ],
  parallelism: [
    'data_parallel_replicate_degree',
    'data_parallel_shard_degree',
    'fsdp_reshard_after_forward',
    'tensor_parallel_degree',
    'context_parallel_degree',
    'context_parallel_rotate_method',
    'expert_parallel_degree',
    'expert_tensor_parallel_degree',
    'pipeline_parallel_degree',
    'pipeline_parallel_schedule',
    'pipeline_parallel_microbatch_size',
    'module_fqns_per_model_part',
  ],
  activation_checkpoint: ['mode', 'selective_ac_option'],
  'quantize.linear.float8': ['recipe_name', 'filter_fqns'],
};

export function torchtitanFaults(text: string, plan: Plan): string[] {
  const faults: string[] = [];
  const sections = parseToml(text);
  for (const [name, fields] of Object.entries(sections))
    for (const key of Object.keys(fields))
      if (!TITAN_KEYS[name]?.includes(key)) faults.push(`unknown option ${name}.${key}`);
  const p = sections['parallelism'] as Record<string, number>;
  const t = sections['training'] as Record<string, number>;
  const dp = p['data_parallel_replicate_degree'] * p['data_parallel_shard_degree'];
  const [tp, cp, pp, ep] = ['tensor', 'context', 'pipeline', 'expert'].map((n) => p[`${n}_parallel_degree`]);
  if (dp * cp * tp * pp !== plan.cluster.devices) faults.push(`degrees multiply to ${dp * cp * tp * pp}`);
  if ((p['data_parallel_shard_degree'] * cp * tp) % ep !== 0 && (dp * cp * tp) % ep !== 0)
    faults.push(`ep = ${ep}`);
  if (t['global_batch_size'] % (t['local_batch_size'] * dp) !== 0)
    faults.push('global batch is no multiple of local');
  if (t['seq_len'] % (tp * (cp > 1 ? 2 * cp : 1)) !== 0) faults.push('sequence does not divide');
  if (pp > 1) {
    const parts =
      (sections['parallelism'] as { module_fqns_per_model_part?: string[][] }).module_fqns_per_model_part ??
      [];
    const modules = parts.flat();
    const layers = modules.filter((m) => m.startsWith('layers.'));
    if (parts.length % pp !== 0) faults.push(`${parts.length} parts on ${pp} ranks`);
    if (layers.some((m, i) => m !== `layers.${i}`)) faults.push('layers are out of order');
    if (modules[0] !== 'tok_embeddings' || modules.slice(-2).join() !== 'norm,output')
      faults.push('ends of the model');
    const microbatches = t['local_batch_size'] / p['pipeline_parallel_microbatch_size'];
    if (!Number.isInteger(microbatches)) faults.push('microbatches');
    const schedule = String(p['pipeline_parallel_schedule']);
    if (schedule === '1F1B' && microbatches < parts.length) faults.push('1F1B with too few microbatches');
    if (schedule !== 'Interleaved1F1B' && parts.length !== pp) faults.push('one stage a rank');
  }
  return faults;
}

export function deepspeedFaults(text: string, hostfile: string, plan: Plan): string[] {
  const faults: string[] = [];
  const config = JSON.parse(text) as Record<string, number> & {
    zero_optimization: { stage: number };
    tensor_parallel?: { autotp_size: number };
    expert_parallel?: { autoep_size: number };
  };
  const known =
    /^(train_batch_size|train_micro_batch_size_per_gpu|gradient_accumulation_steps|zero_optimization|bf16|fp16|activation_checkpointing|pipeline|tensor_parallel|expert_parallel)$/;
  faults.push(...Object.keys(config).filter((key) => !known.test(key)));
  const { pp, tp, cp } = plan.degrees;
  const world = plan.cluster.devices / (pp * tp * cp);
  const {
    train_batch_size: total,
    train_micro_batch_size_per_gpu: micro,
    gradient_accumulation_steps: steps,
  } = config;
  if (total !== micro * steps * world) faults.push(`${total} is not ${micro} x ${steps} x ${world}`);
  if (pp > 1 && config.zero_optimization.stage >= 2) faults.push('ZeRO 2 in a pipeline');
  if (
    config.expert_parallel !== undefined &&
    (plan.cluster.devices / pp) % config.expert_parallel.autoep_size !== 0
  )
    faults.push('ep does not divide');
  const slots = hostfile.split('\n').filter((l) => l !== '' && !l.startsWith('#'));
  if (slots.some((l) => !/^\S+ slots=\d+$/.test(l))) faults.push('hostfile');
  if (new Set(slots.map((l) => l.split(' ')[0])).size !== slots.length) faults.push('a host twice');
  if (slots.reduce((sum, l) => sum + Number(l.split('=')[1]), 0) !== plan.cluster.devices)
    faults.push('slots');
  return faults;
}

export function maxtextFaults(text: string, plan: Plan): string[] {
  const faults: string[] = [];
  const config = parse(text, { version: '1.1' }) as Record<string, number>;
  const axes = ['data', 'fsdp', 'context', 'tensor', 'expert', 'pipeline'];
  const product = (kind: string): number => axes.reduce((p, a) => p * config[`${kind}_${a}_parallelism`], 1);
  const slices = config['num_slices'];
  if (product('ici') * slices !== plan.cluster.devices)
    faults.push(`ici multiplies to ${product('ici')} of ${plan.cluster.devices} / ${slices}`);
  if (product('dcn') !== slices) faults.push(`dcn multiplies to ${product('dcn')} of ${slices}`);
  const batch =
    config['per_device_batch_size'] * plan.cluster.devices * config['gradient_accumulation_steps'];
  if (Math.abs(batch - plan.globalBatch) > 1e-6 * batch) faults.push(`global batch ${batch}`);
  const stages = config['ici_pipeline_parallelism'] * config['dcn_pipeline_parallelism'];
  if (stages > 1) {
    if (config['num_pipeline_microbatches'] % stages !== 0)
      faults.push('microbatches are no multiple of stages');
    const layers = config['base_num_decoder_layers'];
    if (
      layers !== undefined &&
      stages * config['num_pipeline_repeats'] * config['num_layers_per_pipeline_stage'] !== layers
    )
      faults.push('layers of the pipeline');
  }
  return faults;
}

export function accelerateFaults(text: string, plan: Plan): string[] {
  const faults: string[] = [];
  const config = parse(text, { version: '1.1' }) as Record<string, Record<string, number>>;
  if (Number(config['num_processes']) !== plan.cluster.devices) faults.push('processes');
  if (plan.cluster.devices % Number(config['num_machines']) !== 0) faults.push('machines');
  if ((config['downcast_bf16'] as unknown) !== 'no') faults.push('downcast_bf16 is a word');
  const mesh = config['parallelism_config'] as Record<string, number> | undefined;
  if (mesh !== undefined) {
    const of = (name: string): number => mesh[`parallelism_config_${name}_size`];
    const product = of('dp_replicate') * of('dp_shard') * of('tp') * of('cp');
    if (product !== plan.cluster.devices) faults.push(`sizes multiply to ${product}`);
    if (of('tp') * of('cp') > 1 && of('dp_replicate') > 1 && of('dp_shard') === 1)
      faults.push('copies beside tp');
  }
  const megatron = config['megatron_lm_config'] as Record<string, number> | undefined;
  if (megatron !== undefined) {
    const model =
      megatron['megatron_lm_tp_degree'] *
      megatron['megatron_lm_pp_degree'] *
      (megatron['megatron_lm_context_parallel_size'] ?? 1);
    if (plan.cluster.devices % model !== 0) faults.push('model-parallel ranks');
  }
  if (mesh === undefined && megatron === undefined && plan.degrees.tp * plan.degrees.pp * plan.degrees.cp > 1)
    faults.push('nothing splits the model');
  return faults;
}
