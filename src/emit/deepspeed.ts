/** DeepSpeed: configuration in JSON, a hostfile, and where there is a pipeline the topology that has to be built in code. */
import { hostsOf, pipelineIsInside } from './hosts.js';
import type { Hosts } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked } from './shell.js';
import { layersOf, noteCuts, noteRankMap, noteTraining, recomputeOf, shapeOf } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted, EmittedFile } from './types.js';

export const deepspeed: EmitTarget = {
  name: 'deepspeed',
  toolVersion: 'DeepSpeed 0.19.6 (edaa72212)',
  about: 'configuration in JSON, hostfile, start script, pipeline topology',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    noteTraining(input, notes, 'DeepSpeed', ['nvidia', 'amd']);
    noteRankMap(input.plan, notes);
    const config = configuration(input, notes);
    const hosts = hostsOf(input.plan, input.cluster);
    if (hosts === null)
      notes.differs(
        'hosts of a cluster that is not known',
        'the hostfile has one line; write your hosts into it',
      );
    const pipeline = input.plan.degrees.pp > 1 ? topology(input, notes) : null;
    const files: EmittedFile[] = [
      { name: 'ds_config.json', content: `${JSON.stringify(config, null, 2)}\n` },
      {
        name: 'hostfile',
        content: commented(headerLines(deepspeed, input, notes)) + hostLines(input, hosts),
      },
      { name: 'deepspeed.sh', content: script(input, notes), executable: true },
    ];
    if (pipeline !== null) files.push({ name: 'pipeline.py', content: pipeline });
    return { files, notExpressed: notes.all };
  },
};

function configuration(input: EmitInput, notes: Notes): Record<string, unknown> {
  const { plan } = input;
  const { dp, cp, tp, pp, ep, etp } = plan.degrees;
  if (cp > 1)
    notes.blocks(
      `context parallelism over ${cp} ranks`,
      plan.contextExchange === 'all-to-all'
        ? 'DeepSpeed-Ulysses is called in the model (deepspeed.sequence.layer.DistributedAttention), the configuration has no key for it'
        : 'DeepSpeed has no ring attention; Ulysses exchanges heads for sequence, in the model',
    );
  if (pp > 1 && tp > 1)
    notes.differs(
      'tensor parallelism inside a pipeline',
      'layers must be split by the model itself; the topology in pipeline.py has their groups',
    );
  if (tp > 1 && pp === 1) {
    const heads = shapeOf(input)?.attention?.heads;
    if (heads !== undefined && heads % tp !== 0)
      notes.blocks(`${heads} heads over tp = ${tp}`, 'AutoTP asks for a multiple of tp');
  }
  if (etp > 1) notes.blocks(`experts split over etp = ${etp}`, 'DeepSpeed keeps experts whole');
  return {
    train_batch_size: plan.globalBatch,
    train_micro_batch_size_per_gpu: plan.microbatch,
    gradient_accumulation_steps: plan.globalBatch / (plan.microbatch * dp),
    zero_optimization: zero(input, notes),
    ...precision(input, notes),
    activation_checkpointing: { partition_activations: tp > 1 },
    ...(pp > 1 ? { pipeline: { activation_checkpoint_interval: checkpointInterval(input, notes) } } : {}),
    ...(tp > 1 && pp === 1 ? { tensor_parallel: { autotp_size: tp } } : {}),
    ...(ep > 1 ? { expert_parallel: { enabled: true, autoep_size: ep } } : {}),
    ...(pp === 1 ? withoutPipeline(input, notes) : {}),
  };
}

function withoutPipeline(input: EmitInput, notes: Notes): Record<string, never> {
  const { policy, isUniform } = recomputeOf(input);
  if (policy !== 'none' || !isUniform)
    notes.differs(
      `recomputation ${isUniform ? policy : 'that differs between layers'}`,
      'call deepspeed.checkpointing.checkpoint in the model, or gradient_checkpointing_enable()',
    );
  return {};
}

function checkpointInterval(input: EmitInput, notes: Notes): number {
  const { policy, isUniform, outside } = recomputeOf(input);
  if (outside)
    notes.differs('recomputation of the embedding or the head', 'an interval of 1 takes them in too');
  if (!isUniform)
    notes.differs('recomputation that differs between layers', `all layers do as most: ${policy}`);
  if (policy === 'selective')
    notes.differs(
      'selective recomputation',
      'DeepSpeed recomputes whole layers of a pipeline or nothing; this keeps everything',
    );
  return policy === 'full' ? 1 : 0;
}

function zero({ plan }: EmitInput, notes: Notes): Record<string, unknown> {
  const { pp, dp, dpReplicate, dpShard } = plan.degrees;
  let stage: number = dp > 1 ? plan.zeroStage : 0;
  if (pp > 1 && stage >= 2) {
    notes.differs(
      `ZeRO stage ${stage} with a pipeline`,
      "DeepSpeed's pipeline engine takes stage 1 at most: more memory than planned",
    );
    stage = 1;
  }
  if (stage > 0 && dpReplicate > 1 && dpShard > 1)
    notes.differs(
      `states sharded over ${dpShard} of ${dp} ranks`,
      stage === 3
        ? 'states are sharded over all, and zero_hpz_partition_size keeps a second copy of the parameters nearby'
        : 'DeepSpeed shards them over all data-parallel ranks',
    );
  return {
    stage,
    ...(stage === 3 && dpReplicate > 1 && dpShard > 1 ? { zero_hpz_partition_size: dpShard } : {}),
    ...(stage > 0 ? { overlap_comm: true, contiguous_gradients: true, reduce_scatter: true } : {}),
  };
}

function precision({ plan }: EmitInput, notes: Notes): Record<string, unknown> {
  if (plan.precision === 'fp16') return { fp16: { enabled: true, loss_scale: 0 } };
  if (plan.precision === 'fp32' || plan.precision === 'tf32') {
    if (plan.precision === 'tf32')
      notes.differs('precision tf32', 'set it in PyTorch: torch.set_float32_matmul_precision("high")');
    return {};
  }
  if (plan.precision !== 'bf16')
    notes.differs(
      `precision ${plan.precision}`,
      'the model must use such layers (Transformer Engine); the rest is bf16',
    );
  return { bf16: { enabled: true } };
}

function hostLines({ plan }: EmitInput, hosts: Hosts | null): string {
  const devices = hosts?.devices ?? [plan.cluster.devices];
  return devices.map((slots, h) => `host-${h} slots=${slots}\n`).join('');
}

function script(input: EmitInput, notes: Notes): string {
  return [
    '#!/usr/bin/env bash\n',
    commented(headerLines(deepspeed, input, notes)),
    'set -euo pipefail\n\n',
    asked('TRAIN_SCRIPT', 'your training script, which calls deepspeed.initialize'),
    'HERE=$(cd "$(dirname "$0")" && pwd)\n',
    '# The hostfile numbers hosts host-0, host-1, ...: write your own names, in this order.\n',
    'exec deepspeed --hostfile "${HOSTFILE:-$HERE/hostfile}" --master_port "${MASTER_PORT:-29500}" \\\n',
    '  "$TRAIN_SCRIPT" --deepspeed --deepspeed_config "$HERE/ds_config.json" "$@"\n',
  ].join('');
}

/** DeepSpeed takes a pipeline's stages from code. */
function topology(input: EmitInput, notes: Notes): string {
  const { plan } = input;
  const { pp, vpp, dp, tp, cp } = plan.degrees;
  const layers = layersOf(input);
  noteCuts(layers, notes);
  if (vpp > 1) notes.differs(`${vpp} chunks a rank (interleaved)`, 'DeepSpeed runs one stage a rank, 1F1B');
  else if (plan.schedule !== '1f1b') notes.differs(`schedule ${plan.schedule}`, 'DeepSpeed runs 1F1B');
  if (pipelineIsInside(plan))
    notes.differs(
      'pipeline ranks inside data parallelism (axis order tp-cp-pp-dp)',
      'the topology lays them out in that order; the launcher must number hosts in order',
    );
  const axes = pipelineIsInside(plan) ? ['data', 'pipe', 'model'] : ['pipe', 'data', 'model'];
  const dims: Record<string, number> = { pipe: pp, data: dp, model: tp * cp };
  notes.differs(
    'stage boundaries of the plan',
    layers === null
      ? 'not known without the model; layers are dealt out by their parameters'
      : 'PipelineModule takes none: pipeline.py sets them on the module (parts) through its own partitioning hook',
  );
  const parts = layers === null ? null : stageParts(layers.firstLayer, pp, vpp);
  return [
    commented(headerLines(deepspeed, input, notes)),
    `"""Pipeline of ${pp} stages for deepspeed.pipe.PipelineModule."""\n`,
    'from deepspeed.runtime.pipe.module import PipelineModule\n',
    'from deepspeed.runtime.pipe.topology import ProcessTopology\n\n',
    `AXES = ${JSON.stringify(axes)}\n`,
    `DIMS = ${JSON.stringify(axes.map((a) => dims[a]))}\n`,
    '# First transformer layer of every stage, and their number at the end.\n',
    `FIRST_LAYER = ${parts === null ? 'None' : JSON.stringify(parts)}\n\n\n`,
    PIPELINE_CLASS,
  ].join('');
}

/** A rank's chunks become one stage of as many layers. */
function stageParts(firstLayer: readonly number[], pp: number, vpp: number): number[] {
  const parts = [0];
  for (let r = 0; r < pp; r++) {
    let count = 0;
    for (let chunk = 0; chunk < vpp; chunk++) {
      const v = chunk * pp + r;
      count += firstLayer[v + 1] - firstLayer[v];
    }
    parts.push(parts[r] + count);
  }
  return parts;
}

const PIPELINE_CLASS = `class PlannedPipeline(PipelineModule):
    """PipelineModule with the plan's boundaries.

    layers: embedding layers, then the transformer layers, then the head.
    before: how many entries of layers stand before the first transformer layer.
    """

    def __init__(self, layers, before=1, **kwargs):
        self._before = before
        super().__init__(layers=layers, topology=ProcessTopology(axes=AXES, dims=DIMS), **kwargs)

    def _partition_layers(self, method="parameters"):
        if FIRST_LAYER is None:
            return super()._partition_layers(method=method)
        parts = [0] + [self._before + first for first in FIRST_LAYER[1:-1]] + [len(self._layer_specs)]
        stage = self._topo.get_coord(self.global_rank).pipe
        self.parts = parts
        self._set_bounds(start=parts[stage], stop=parts[stage + 1])
`;
