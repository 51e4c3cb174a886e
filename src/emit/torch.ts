/** PyTorch: one Python file with the device mesh, the parallelize plan by module name and the cuts of the pipeline. */
import { FineMesh } from './meshAxes.js';
import { Notes, commented, headerLines } from './notes.js';
import { isSequenceParallel, noteRankMap, noteTraining, recomputeOf, shapeOf, baseType } from './sizes.js';
import { torchPlan } from './torchPlan.js';
import { TORCH_SOURCE } from './torchSource.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

export const torch: EmitTarget = {
  name: 'torch',
  toolVersion: 'PyTorch 2.6 or later (DTensor, FSDP2, torch.distributed.pipelining)',
  about: 'Python file: DeviceMesh, parallelize plan by module name, pipeline stages',
  needs: ['model'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteTraining(input, notes, 'this file', ['nvidia', 'amd']);
    noteRankMap(plan, notes);
    const mesh = new FineMesh({ ...plan, shardings: [] }, notes);
    const found = torchPlan(plan, input.model!, shapeOf(input)?.hidden ?? null, notes);
    const fields: [string, unknown][] = [
      // Outermost first, as ranks are numbered; axes of one rank are left in so that every name is there.
      ['MESH', meshOf(input, mesh)],
      ['SEQUENCE_PARALLEL', isSequenceParallel(plan)],
      ['ZERO_STAGE', plan.degrees.dp * plan.degrees.cp > 1 ? plan.zeroStage : 0],
      ['RECOMPUTE', recompute(input, notes)],
      ['DTYPE', { fp32: 'float32', fp16: 'float16', bf16: 'bfloat16' }[baseType(plan.precision)]],
      ['PIPELINE_RANKS', plan.degrees.pp],
      ['STAGES', plan.stages.length],
      ['SCHEDULE', schedule(input, notes)],
      ['GLOBAL_BATCH', plan.globalBatch],
      ['MICROBATCH', plan.microbatch],
      ['MICROBATCHES', plan.microbatches],
      ['CUTS', cuts(found.cuts, notes)],
      ['STYLES', Object.fromEntries(found.styles)],
      ['NORMS', isSequenceParallel(plan) ? found.norms : []],
      ['EXPERTS', Object.fromEntries(found.experts)],
      ['EXPERT_AXES', { ep: mesh.parts('ep') ?? [], etp: mesh.parts('etp') ?? [] }],
    ];
    noteCompute(input, notes);
    if (plan.degrees.tp > 1 && shapeOf(input)?.queryNorm === true)
      notes.differs(
        'norms of queries and keys under tensor parallelism',
        'sum the gradients of their weights over mesh["tp"]',
      );
    const content = [
      commented(headerLines(torch, input, notes)),
      '"""Parallelism of a plan for a PyTorch model: build_mesh(), parallelize(), build_pipeline()."""\n',
      ...fields.map(([name, value]) => `${name} = ${python(value, 0)}\n`),
      TORCH_SOURCE,
    ].join('');
    return { files: [{ name: 'parallelize.py', content }], notExpressed: notes.all };
  },
};

function meshOf({ plan }: EmitInput, mesh: FineMesh): [string, number][] {
  const axes = mesh.axes.map((a): [string, number] => [a.name, a.size]);
  return axes.length > 0 ? axes : [['dp_shard', plan.cluster.devices]];
}

function cuts(found: readonly (string | null)[], notes: Notes): string[] {
  const named = found.filter((c): c is string => c !== null);
  const twice = new Set(named).size !== named.length;
  if (named.length < found.length || twice)
    notes.blocks(
      'stages that begin inside a module',
      'torch.distributed.pipelining cuts at modules; CUTS lists those that have a name',
    );
  return [...new Set(named)];
}

function schedule({ plan }: EmitInput, notes: Notes): string {
  const { pp, vpp } = plan.degrees;
  if (pp === 1) return 'none';
  if (plan.schedule === 'gpipe') return 'ScheduleGPipe';
  if (plan.schedule === 'interleaved') return 'ScheduleInterleaved1F1B';
  if (plan.microbatches < pp * vpp) {
    notes.differs(
      `schedule ${plan.schedule} with ${plan.microbatches} microbatches on ${pp} stages`,
      'Schedule1F1B wants as many microbatches as stages; this is GPipe, whose step is as long',
    );
    return 'ScheduleGPipe';
  }
  if (plan.schedule === 'zb-h1')
    notes.differs(
      'schedule zb-h1',
      'the zero-bubble schedules of torch want several stages a rank; this is 1F1B',
    );
  return 'Schedule1F1B';
}

function recompute(input: EmitInput, notes: Notes): string {
  const { policy, isUniform, outside } = recomputeOf(input);
  if (outside || !isUniform)
    notes.differs(
      'recomputation that differs between parts of the model',
      `all layers do as most: ${policy}`,
    );
  if (policy === 'selective')
    notes.differs(
      'selective recomputation',
      'choose the operators with create_selective_checkpoint_contexts; this keeps everything',
    );
  return policy === 'full' ? 'full' : 'none';
}

function noteCompute({ plan }: EmitInput, notes: Notes): void {
  const { cp, ep, etp } = plan.degrees;
  if (cp > 1)
    notes.differs(
      `context parallelism over ${cp} ranks (${plan.contextExchange ?? 'ring'})`,
      'wrap the step in torch.distributed.tensor.experimental.context_parallel on mesh["cp"]',
    );
  if (ep * etp > 1) notes.differs('tokens sent to experts', 'weights are split; dispatch is the model’s');
  if (plan.zeroStage === 1)
    notes.differs('ZeRO stage 1', 'FSDP2 shards parameters too, and keeps them after the forward pass');
  if (plan.zeroStage === 2)
    notes.differs('ZeRO stage 2', 'FSDP2 shards parameters too, and keeps them after the forward pass');
  if (plan.precision === 'fp8' || plan.precision === 'fp4')
    notes.differs(`precision ${plan.precision}`, 'convert linear layers with torchao; the rest is bfloat16');
  if (plan.precision === 'tf32')
    notes.differs('precision tf32', 'set torch.set_float32_matmul_precision("high")');
}

/** A Python literal; one entry a line at the top. */
function python(value: unknown, depth: number): string {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  const isList = Array.isArray(value);
  const items = isList
    ? (value as unknown[]).map((v) => python(v, depth + 1))
    : Object.entries(value as object).map(([k, v]) => `${JSON.stringify(k)}: ${python(v, depth + 1)}`);
  const [open, close] = isList ? '[]' : '{}';
  if (depth > 0 || items.length === 0) return `${open}${items.join(', ')}${close}`;
  return `${open}\n${items.map((item) => `    ${item},\n`).join('')}${close}`;
}
