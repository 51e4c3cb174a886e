/** The model's shape as Megatron-LM arguments. */
import { rotaryOf } from './rotary.js';
import { shapeOf } from './sizes.js';
import type { Notes } from './notes.js';
import type { ModelShape } from './shape.js';
import type { EmitInput } from './types.js';

/** A flag and its values; a value `{ask, why}` is a shell variable that must be set. */
export type Argument = readonly [flag: string, ...values: (string | number | Asked)[]];

export interface Asked {
  readonly variable: string;
  readonly what: string;
}

const ask = (variable: string, what: string): Asked => ({ variable, what });

/** Arguments that give the model its shape. */
export function megatronModel(input: EmitInput, notes: Notes): Argument[] {
  const { plan, model } = input;
  const shape = shapeOf(input);
  if (model !== null && shape === null) {
    notes.blocks(
      'a model without attention',
      'pretrain_gpt.py trains transformers; give it a model of its own',
    );
  }
  if (shape !== null && !shape.decoderOnly)
    notes.blocks(
      'a model that is no causal decoder',
      'pretrain_gpt.py trains decoders only; the arguments of parallelism hold for a script of your own',
    );
  const args: Argument[] = [
    ['--num-layers', shape?.layers ?? (plan.model.layers || ask('NUM_LAYERS', 'number of layers'))],
    ['--hidden-size', shape?.hidden ?? ask('HIDDEN_SIZE', 'width of the residual stream')],
    [
      '--ffn-hidden-size',
      shape?.ffn ?? shape?.experts?.ffn ?? ask('FFN_HIDDEN_SIZE', 'width of the feed-forward layer'),
    ],
    ...attentionArguments(shape),
    ['--seq-length', plan.sequenceLength],
    ['--max-position-embeddings', Math.max(plan.sequenceLength, shape?.maxPositions ?? 0)],
    ...positionArguments(input, shape),
    ...layerArguments(shape, notes),
    ...expertArguments(shape, plan.degrees),
    ['--vocab-size', shape?.vocab ?? ask('VOCAB_SIZE', 'entries of the vocabulary')],
  ];
  if (shape !== null && !shape.tied) args.push(['--untie-embeddings-and-output-weights']);
  if (shape?.tied === true && plan.degrees.pp > 1)
    notes.differs(
      'embedding and head share their weight',
      'the first and the last stage hold a copy each and add up gradients',
    );
  return args;
}

function attentionArguments(shape: ModelShape | null): Argument[] {
  const attention = shape?.attention ?? null;
  if (attention === null) return [['--num-attention-heads', ask('NUM_ATTENTION_HEADS', 'attention heads')]];
  const { heads, kvHeads, headDim, valueDim, latent } = attention;
  const args: Argument[] = [['--num-attention-heads', heads]];
  if (latent !== null) {
    args.push(['--multi-latent-attention']);
    if (latent.queryRank > 0) args.push(['--q-lora-rank', latent.queryRank]);
    return [
      ...args,
      ['--kv-lora-rank', latent.kvRank],
      ['--qk-head-dim', latent.plainDim],
      ['--qk-pos-emb-head-dim', latent.rotaryDim],
      ['--v-head-dim', valueDim],
    ];
  }
  if (headDim * heads !== shape!.hidden) args.push(['--kv-channels', headDim]);
  if (kvHeads !== heads) args.push(['--group-query-attention'], ['--num-query-groups', kvHeads]);
  return args;
}

const POSITIONS = {
  learned: 'learned_absolute',
  rotary: 'rope',
  relative: 'relative',
  none: 'none',
} as const;

function positionArguments({ model }: EmitInput, shape: ModelShape | null): Argument[] {
  if (shape === null) return [];
  const args: Argument[] = [['--position-embedding-type', POSITIONS[shape.positions]]];
  if (shape.positions !== 'rotary') return args;
  const rotary = model === null ? null : rotaryOf(model.proto);
  args.push(['--rotary-base', rotary?.base ?? ask('ROTARY_BASE', 'base of the rotary positions')]);
  const headDim = shape.attention?.latent?.rotaryDim ?? shape.attention?.headDim ?? 0;
  if (rotary !== null && rotary.dim < headDim) args.push(['--rotary-percent', rotary.dim / headDim]);
  if (shape.attention?.latent != null) {
    args.push(['--rope-type', 'rope'], ['--rotary-scaling-factor', 1.0]);
  } else if (rotary !== null && rotary.scaling > 1)
    args.push(['--use-rope-scaling'], ['--rope-scaling-factor', rotary.scaling]);
  return args;
}

function layerArguments(shape: ModelShape | null, notes: Notes): Argument[] {
  if (shape === null) return [];
  const args: Argument[] = [];
  if (shape.normalization !== null) args.push(['--normalization', shape.normalization]);
  if (shape.activation === 'gated-silu') args.push(['--swiglu']);
  else if (shape.activation !== 'gelu')
    notes.differs(`activation ${shape.activation}`, 'pretrain_gpt.py has GeLU and SwiGLU; this runs GeLU');
  if (shape.queryNorm) args.push(['--qk-layernorm']);
  if (!shape.mlpBias) args.push(['--disable-bias-linear']);
  if (!shape.mlpBias && shape.queryBias) args.push(['--add-qkv-bias']);
  return args;
}

function expertArguments(shape: ModelShape | null, { ep, etp }: EmitInput['plan']['degrees']): Argument[] {
  if (shape !== null && shape.experts === null) return [];
  const experts = shape?.experts ?? null;
  if (experts === null)
    return ep * etp > 1
      ? [
          ['--num-experts', ask('NUM_EXPERTS', 'experts of a layer')],
          ['--moe-router-topk', ask('ROUTER_TOPK', 'experts that a token is sent to')],
        ]
      : [];
  const frequency = layerFrequency(experts.layers);
  return [
    ['--num-experts', experts.experts],
    ['--moe-router-topk', experts.topk ?? ask('ROUTER_TOPK', 'experts that a token is sent to')],
    ['--moe-ffn-hidden-size', experts.ffn],
    ...(experts.sharedFfn > 0
      ? [['--moe-shared-expert-intermediate-size', experts.sharedFfn] as Argument]
      : []),
    ...(frequency === '1' ? [] : [['--moe-layer-freq', frequency] as Argument]),
    ['--moe-grouped-gemm'],
    ['--moe-token-dispatcher-type', 'alltoall'],
  ];
}

/** `([0]*3+[1]*58)`: which layers have experts. */
function layerFrequency(layers: readonly boolean[]): string {
  if (layers.every((has) => has)) return '1';
  const runs: { has: boolean; count: number }[] = [];
  for (const has of layers) {
    const last = runs[runs.length - 1];
    if (last?.has === has) last.count++;
    else runs.push({ has, count: 1 });
  }
  return `(${runs.map(({ has, count }) => `[${has ? 1 : 0}]*${count}`).join('+')})`;
}
