/** Megatron-LM's own rules on its arguments (arguments.py and the configurations of Megatron-Core 0.20), as a plain judge. */

/** Flags of the version and how many values each takes; -1: one or more. */
const FLAGS: Readonly<Record<string, number>> = {
  '--tensor-model-parallel-size': 1,
  '--pipeline-model-parallel-size': 1,
  '--num-layers-per-virtual-pipeline-stage': 1,
  '--pipeline-model-parallel-layout': 1,
  '--context-parallel-size': 1,
  '--cp-comm-type': -1,
  '--expert-model-parallel-size': 1,
  '--expert-tensor-parallel-size': 1,
  '--sequence-parallel': 0,
  '--use-tp-pp-dp-mapping': 0,
  '--use-distributed-optimizer': 0,
  '--num-distributed-optimizer-instances': 1,
  '--overlap-grad-reduce': 0,
  '--overlap-param-gather': 0,
  '--use-megatron-fsdp': 0,
  '--data-parallel-sharding-strategy': 1,
  '--outer-dp-sharding-strategy': 1,
  '--ckpt-format': 1,
  '--micro-batch-size': 1,
  '--global-batch-size': 1,
  '--train-iters': 1,
  '--lr': 1,
  '--bf16': 0,
  '--fp16': 0,
  '--fp8-format': 1,
  '--fp8-recipe': 1,
  '--fp4-format': 1,
  '--fp4-recipe': 1,
  '--recompute-granularity': 1,
  '--recompute-method': 1,
  '--recompute-num-layers': 1,
  '--recompute-modules': -1,
  '--num-layers': 1,
  '--hidden-size': 1,
  '--ffn-hidden-size': 1,
  '--num-attention-heads': 1,
  '--kv-channels': 1,
  '--group-query-attention': 0,
  '--num-query-groups': 1,
  '--seq-length': 1,
  '--max-position-embeddings': 1,
  '--position-embedding-type': 1,
  '--rotary-base': 1,
  '--rotary-percent': 1,
  '--use-rope-scaling': 0,
  '--rope-scaling-factor': 1,
  '--rope-type': 1,
  '--rotary-scaling-factor': 1,
  '--swiglu': 0,
  '--normalization': 1,
  '--qk-layernorm': 0,
  '--disable-bias-linear': 0,
  '--add-qkv-bias': 0,
  '--untie-embeddings-and-output-weights': 0,
  '--vocab-size': 1,
  '--num-experts': 1,
  '--moe-router-topk': 1,
  '--moe-ffn-hidden-size': 1,
  '--moe-shared-expert-intermediate-size': 1,
  '--moe-layer-freq': 1,
  '--moe-grouped-gemm': 0,
  '--moe-token-dispatcher-type': 1,
  '--multi-latent-attention': 0,
  '--q-lora-rank': 1,
  '--kv-lora-rank': 1,
  '--qk-head-dim': 1,
  '--qk-pos-emb-head-dim': 1,
  '--v-head-dim': 1,
};

export type MegatronArguments = ReadonlyMap<string, readonly string[]>;

/** The arguments of a script's arrays. */
export function megatronArguments(script: string): MegatronArguments {
  const found = new Map<string, string[]>();
  for (const [, body] of script.matchAll(/^[A-Z]+_ARGS=\(\n([^)]*(?:'[^']*'[^)]*)*)^\)$/gm))
    for (const line of body.trim().split('\n')) {
      const [flag, ...values] = [...line.trim().matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
        (m) => m[1] ?? m[2] ?? m[3],
      );
      found.set(flag, values);
    }
  return found;
}

/** Stages of a layout: how many layers each holds. */
export function parseLayout(layout: string): { layers: number[]; faults: string[] } {
  const faults: string[] = [];
  let text = layout.replaceAll(',', '');
  text = text.replace(/\(([^()]*)\)\*(\d+)/g, (_, group: string, n: string) => group.repeat(Number(n)));
  text = text.replace(/([Etm L])\*(\d+)/g, (_, c: string, n: string) => c.repeat(Number(n)));
  if (!/^[EtmL|]*$/.test(text)) faults.push(`unknown letters in the layout ${layout}`);
  if (!/^E[^E]*$/.test(text)) faults.push('E must be first, once');
  if (!/^[^L]*L$/.test(text)) faults.push('L must be last, once');
  return { layers: text.split('|').map((stage) => (stage.match(/t/g) ?? []).length), faults };
}

/** Everything that Megatron would refuse; `world` devices. */
export function megatronFaults(args: MegatronArguments, world: number): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, message: string): void => {
    if (!holds) faults.push(message);
  };
  for (const [flag, values] of args) {
    const arity = FLAGS[flag];
    if (arity === undefined) faults.push(`unknown flag ${flag}`);
    else
      need(
        arity < 0 ? values.length > 0 : values.length === arity,
        `${flag} takes ${arity} values, found ${values.join(' ')}`,
      );
  }
  const has = (flag: string): boolean => args.has(flag);
  const number = (flag: string, otherwise: number): number => {
    const value = args.get(flag)?.[0];
    return value === undefined || value.startsWith('$') ? otherwise : Number(value);
  };
  const tp = number('--tensor-model-parallel-size', 1);
  const pp = number('--pipeline-model-parallel-size', 1);
  const cp = number('--context-parallel-size', 1);
  const ep = number('--expert-model-parallel-size', 1);
  const etp = number('--expert-tensor-parallel-size', tp);
  const layers = number('--num-layers', NaN);
  need(world % (tp * pp * cp) === 0, `${world} devices are no multiple of tp pp cp`);
  need(world % (etp * ep * pp) === 0, `${world} devices are no multiple of etp ep pp`);
  const dp = world / (tp * pp * cp);
  const gbs = number('--global-batch-size', NaN);
  const mbs = number('--micro-batch-size', NaN);
  need(gbs % (mbs * dp) === 0, `global batch ${gbs} is no multiple of ${mbs} x ${dp}`);
  const microbatches = gbs / (mbs * dp);
  const layout = args.get('--pipeline-model-parallel-layout')?.[0];
  const perVirtual = number('--num-layers-per-virtual-pipeline-stage', 0);
  need(!(layout !== undefined && perVirtual > 0), 'layout excludes layers per virtual stage');
  let vpp = 1;
  if (layout !== undefined) {
    const parsed = parseLayout(layout);
    faults.push(...parsed.faults);
    need(parsed.layers.length % pp === 0, `${parsed.layers.length} stages on pp = ${pp}`);
    need(
      parsed.layers.reduce((a, b) => a + b, 0) === layers,
      `the layout holds ${parsed.layers.join()} of ${layers} layers`,
    );
    vpp = parsed.layers.length / pp;
  } else {
    need(layers % pp === 0, `${layers} layers on pp = ${pp}`);
    if (perVirtual > 0) {
      need((layers / pp) % perVirtual === 0, `${layers / pp} layers a rank in chunks of ${perVirtual}`);
      vpp = layers / pp / perVirtual;
    }
  }
  if (vpp > 1) {
    need(pp > 1, 'interleaving needs pp > 1');
    need(
      pp <= microbatches && (microbatches % pp === 0 || microbatches % pp >= pp),
      `${microbatches} microbatches interleaved over ${pp}`,
    );
  }
  const heads = number('--num-attention-heads', tp);
  const groups = number('--num-query-groups', heads);
  need(heads % tp === 0, `${heads} heads over tp = ${tp}`);
  need(groups % tp === 0 || tp % groups === 0, `${groups} groups over tp = ${tp}`);
  need(
    has('--kv-channels') || has('--multi-latent-attention') || number('--hidden-size', heads) % heads === 0,
    'hidden size is no multiple of the heads',
  );
  need(
    !(has('--multi-latent-attention') && has('--group-query-attention')),
    'latent attention excludes groups',
  );
  need(cp === 1 || number('--seq-length', 0) % (2 * cp) === 0, 'sequence is no multiple of 2 cp');
  need(
    number('--max-position-embeddings', 0) >= number('--seq-length', Infinity),
    'positions end before the sequence',
  );
  need(ep === 1 || has('--num-experts'), 'expert parallelism needs experts');
  need(number('--num-experts', ep) % ep === 0, 'experts are no multiple of ep');
  need(
    !has('--overlap-param-gather') || (has('--use-distributed-optimizer') && has('--overlap-grad-reduce')),
    'overlapped gathers need the distributed optimizer and overlapped reductions',
  );
  const granularity = args.get('--recompute-granularity')?.[0];
  if (granularity === 'full')
    need(
      has('--recompute-method') && has('--recompute-num-layers'),
      'full recomputation needs method and layers',
    );
  else
    need(
      !has('--recompute-method') && !has('--recompute-num-layers'),
      'selective recomputation forbids method and layers',
    );
  need(
    !(args.get('--recompute-modules') ?? []).includes('moe_act') || has('--moe-grouped-gemm'),
    'moe_act needs grouped products',
  );
  need(!has('--sequence-parallel') || tp > 1, 'sequence parallelism needs tp > 1');
  if (has('--use-tp-pp-dp-mapping') && pp > 1)
    need(world / (etp * ep * pp) === dp, 'this rank order needs as many replicas of experts');
  need(!(has('--bf16') && has('--fp16')), 'one precision at a time');
  return faults;
}
