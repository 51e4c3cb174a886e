/** A plan's parallelism, batch, recomputation and precision as Megatron-LM arguments. */
import type { Plan } from '../plan/types.js';
import type { Argument } from './megatronModel.js';
import { pipelineIsInside } from './hosts.js';
import type { Notes } from './notes.js';
import { isSequenceParallel, layersOf, noteCuts, recomputeOf, shapeOf } from './sizes.js';
import { layerCounts } from './stageLayers.js';
import type { StageLayers } from './stageLayers.js';
import type { EmitInput } from './types.js';

export function megatronParallel(input: EmitInput, notes: Notes): Argument[] {
  const { plan } = input;
  const { tp, cp, ep, etp } = plan.degrees;
  noteDivisibility(input, notes);
  const args: Argument[] = [
    ['--tensor-model-parallel-size', tp],
    ...pipelineArguments(input, notes),
    ['--context-parallel-size', cp],
  ];
  if (cp > 1) args.push(['--cp-comm-type', plan.contextExchange === 'all-to-all' ? 'a2a' : 'p2p']);
  const shape = shapeOf(input);
  // Without the model, a plan that splits experts must have some.
  const hasExperts = shape === null ? ep * etp > 1 : shape.experts !== null;
  if (hasExperts) args.push(['--expert-model-parallel-size', ep], ['--expert-tensor-parallel-size', etp]);
  if (isSequenceParallel(plan)) args.push(['--sequence-parallel']);
  noteLayouts(plan, notes);
  if (pipelineIsInside(plan)) args.push(...rankOrder(plan, hasExperts, notes));
  return args;
}

/** Megatron's layers take activations whole or split along the sequence. */
function noteLayouts({ degrees, classes }: Plan, notes: Notes): void {
  if (degrees.tp > 1 && classes.some(({ strategy }) => strategy.startsWith('feature;')))
    notes.differs(
      'activations split along features between layers',
      'Megatron-Core passes them on whole or split along the sequence; the step takes longer than planned',
    );
}

/** `tp-cp-ep-pp-dp` works only where experts have as many replicas as the rest. */
function rankOrder({ degrees, cluster }: Plan, hasExperts: boolean, notes: Notes): Argument[] {
  const { tp, pp, ep, etp, dp } = degrees;
  const expertReplicas = cluster.devices / (etp * ep * pp);
  // Without experts, Megatron takes the expert grid to be the dense one at ep = 1 and etp = tp.
  if (expertReplicas === dp || (!hasExperts && cluster.devices / (tp * pp) === dp))
    return [['--use-tp-pp-dp-mapping']];
  notes.differs(
    'pipeline ranks inside data parallelism (axis order tp-cp-pp-dp)',
    'Megatron-Core has that order only where experts have as many replicas as dense layers; ranks are in its default order',
  );
  return [];
}

function pipelineArguments(input: EmitInput, notes: Notes): Argument[] {
  const { plan } = input;
  const { pp, vpp } = plan.degrees;
  const args: Argument[] = [['--pipeline-model-parallel-size', pp]];
  if (pp === 1) return args;
  if (plan.schedule === 'gpipe')
    notes.differs('schedule gpipe', 'Megatron-Core runs 1F1B: the same bubble, and less memory');
  if (plan.schedule === 'zb-h1')
    notes.differs(
      'schedule zb-h1',
      'Megatron-Core runs 1F1B: gradients of weights are not put off, so the step takes longer than planned',
    );
  const layers = layersOf(input);
  if (layers === null) {
    notes.blocks(
      `${pp * vpp} stages of unknown layers`,
      input.model === null
        ? 'the layers are not known without the model; give it with --model'
        : 'the model has no layers that could be dealt out',
    );
    return args;
  }
  noteCuts(layers, notes);
  const counts = layerCounts(layers);
  const equal = counts.every((count) => count === counts[0] && count > 0);
  if (!equal) args.push(['--pipeline-model-parallel-layout', pipelineLayout(layers)]);
  else if (vpp > 1) args.push(['--num-layers-per-virtual-pipeline-stage', counts[0]]);
  return args;
}

/** `Et*3|t*4|t*4|t*3L`: embedding, layers and loss of every virtual stage in model order. */
export function pipelineLayout(layers: StageLayers): string {
  const counts = layerCounts(layers);
  return counts
    .map((count, v) => {
      const body = count === 0 ? '' : count === 1 ? 't' : `t*${count}`;
      return (v === 0 ? 'E' : '') + body + (v === counts.length - 1 ? 'L' : '');
    })
    .join('|');
}

function noteDivisibility(input: EmitInput, notes: Notes): void {
  const { plan } = input;
  const { tp, cp, ep } = plan.degrees;
  const shape = shapeOf(input);
  const heads = shape?.attention?.heads;
  const groups = shape?.attention?.kvHeads;
  if (heads !== undefined && heads % tp !== 0)
    notes.blocks(`${heads} heads over tp = ${tp}`, 'Megatron-Core asks for a multiple of tp');
  else if (groups !== undefined && groups % tp !== 0 && tp % groups !== 0)
    notes.blocks(
      `${groups} key-value heads over tp = ${tp}`,
      'Megatron-Core asks for a multiple or a divisor of tp',
    );
  if (cp > 1 && plan.sequenceLength % (2 * cp) !== 0)
    notes.blocks(
      `sequences of ${plan.sequenceLength} over cp = ${cp}`,
      'Megatron-Core asks for a multiple of 2 cp',
    );
  if (shape?.experts != null && shape.experts.experts % ep !== 0)
    notes.blocks(
      `${shape.experts.experts} experts over ep = ${ep}`,
      'Megatron-Core asks for a multiple of ep',
    );
  if (ep > 1 && tp > 1 && !isSequenceParallel(plan))
    notes.differs(
      'experts and tensor parallelism without sequence parallelism',
      'Megatron-Core advises against it',
    );
}

/** Batch, data parallelism of states, recomputation and precision. */
export function megatronTraining(input: EmitInput, notes: Notes): Argument[] {
  const { plan } = input;
  return [
    ['--micro-batch-size', plan.microbatch],
    ['--global-batch-size', plan.globalBatch],
    ...stateArguments(plan, notes),
    ...recomputeArguments(input, notes),
    ...precisionArguments(plan, notes),
  ];
}

/** ZeRO 2 and 3 are Megatron-FSDP's. */
export function usesMegatronFsdp({ zeroStage, degrees }: Plan): boolean {
  return zeroStage >= 2 && degrees.dp * degrees.cp > 1;
}

function stateArguments(plan: Plan, notes: Notes): Argument[] {
  const { zeroStage, degrees } = plan;
  if (zeroStage === 0 || degrees.dp * degrees.cp === 1) return [];
  const args: Argument[] = [['--use-distributed-optimizer']];
  if (degrees.dpReplicate > 1 && degrees.dpShard * degrees.cp > 1) {
    args.push(['--num-distributed-optimizer-instances', degrees.dpReplicate]);
  } else if (degrees.dpReplicate > 1)
    notes.differs('replicas that shard nothing', 'the distributed optimizer shards over all of them');
  if (!usesMegatronFsdp(plan)) return [...args, ['--overlap-grad-reduce'], ['--overlap-param-gather']];
  return [
    ...args,
    ['--use-megatron-fsdp'],
    ['--data-parallel-sharding-strategy', zeroStage === 3 ? 'optim_grads_params' : 'optim_grads'],
    ...(degrees.dpReplicate > 1 && degrees.dpShard * degrees.cp > 1
      ? [['--outer-dp-sharding-strategy', 'no_shard'] as Argument]
      : []),
    ['--ckpt-format', 'fsdp_dtensor'],
    ['--overlap-grad-reduce'],
    ['--overlap-param-gather'],
  ];
}

function recomputeArguments(input: EmitInput, notes: Notes): Argument[] {
  const { policy, isUniform, fullPerRank, outside } = recomputeOf(input);
  if (outside)
    notes.differs('recomputation of the embedding or the head', 'Megatron-Core recomputes layers only');
  const fullMost = Math.max(...fullPerRank);
  const shared = fullPerRank.every((count) => count === fullMost);
  if (!isUniform && fullMost > 0) {
    notes.differs(
      'recomputation that differs between layers',
      shared
        ? `the first ${fullMost} layers of every stage are recomputed in full, the others keep everything`
        : `the first ${fullMost} layers of every stage are recomputed in full: as on the stage that recomputes most`,
    );
    return [
      ['--recompute-granularity', 'full'],
      ['--recompute-method', 'block'],
      ['--recompute-num-layers', fullMost],
    ];
  }
  if (!isUniform)
    notes.differs('recomputation that differs between layers', `all layers do as most: ${policy}`);
  if (policy === 'none') return [];
  if (policy === 'full')
    return [
      ['--recompute-granularity', 'full'],
      ['--recompute-method', 'uniform'],
      ['--recompute-num-layers', 1],
    ];
  const experts = shapeOf(input)?.experts != null;
  if (!experts)
    notes.differs(
      'selective recomputation of activation functions',
      'attention and norms are recomputed, they are kept',
    );
  // Delayed scaling, the default fp8 recipe, forbids both.
  const modules = input.plan.precision === 'fp8' ? [] : ['layernorm', ...(experts ? ['moe_act'] : [])];
  return [
    ['--recompute-granularity', 'selective'],
    ['--recompute-modules', 'core_attn', ...modules],
  ];
}

function precisionArguments({ precision }: Plan, notes: Notes): Argument[] {
  if (precision === 'fp16') return [['--fp16']];
  if (precision === 'fp8') return [['--bf16'], ['--fp8-format', 'hybrid'], ['--fp8-recipe', 'delayed']];
  if (precision === 'fp4') return [['--bf16'], ['--fp4-format', 'e2m1'], ['--fp4-recipe', 'nvfp4']];
  if (precision === 'bf16') return [['--bf16']];
  if (precision === 'tf32')
    notes.differs('precision tf32', 'set it in PyTorch: torch.set_float32_matmul_precision("high")');
  return [];
}
