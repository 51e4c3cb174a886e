/**
 * Stack profiles: what the software does with the hardware. A training framework, at a release, fuses some kernels, hides
 * some communication and spends some host time; a profile says how much in a few numbers, each with its origin
 * (`src/data/stacks`). Nothing of this kind is a constant in code.
 */
import { presetFolder, readYaml, resolvePreset } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import type { Device, Level, SourcedFigure } from '../cluster/types.js';

/** What selective recomputation drops and makes again: attention's inside (Megatron) or what memory-bound kernels made. */
export type SelectiveRecompute = 'attention' | 'pointwise';

export interface StackProfile {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** `fused`: scores never leave the core (FlashAttention); `unfused`: score matrices are written, masked, softmaxed, dropped. */
  readonly attention: 'fused' | 'unfused';
  readonly selectiveRecompute: SelectiveRecompute;
  /** Share of the device's matmul rate that a job sustains (power, clocks, neighbours on the memory bus). */
  readonly matrixEfficiency: number;
  /** Share of the device's fused-attention curve that the stack's kernel reaches. */
  readonly attentionEfficiency: number;
  /** Time of memory-bound blocks over that of one perfectly fused kernel. */
  readonly pointwisePasses: number;
  /** Share of the matmul rate that grouped matmuls over experts reach. */
  readonly groupedEfficiency: number;
  /** Share of the device's fp8 matmul rate that a job sustains, beside `matrixEfficiency`. */
  readonly fp8Efficiency: number;
  /** Casts and scales of fp8 training: extra passes over what an fp8 matmul reads and writes. */
  readonly fp8Passes: number;
  /** Host time of one block forward, seconds: a block on the device is not over sooner. */
  readonly hostSecPerBlock: number;
  /** Host time of one microbatch on one stage, and of one step, seconds: nothing hides it. */
  readonly microbatchOverheadSec: number;
  readonly stepOverheadSec: number;
  /** Share of the benchmark bandwidth that collectives reach inside a job: innermost level, and levels above it. */
  readonly domainBandwidthShare: number;
  readonly networkBandwidthShare: number;
  /** Share of the tensor-parallel collectives' time that is exposed (1: no chunked overlap). */
  readonly tpExposed: number;
  /** Share of the context-parallel exchange that is exposed: a ring hides behind the attention of the block before. */
  readonly cpExposed: number;
  /** Share of the expert dispatch and combine that is exposed. */
  readonly epExposed: number;
  /** Share of one microbatch's backward time under which gradients can be reduced (the last bucket cannot hide). */
  readonly gradientsUnderBackward: number;
  /** Share of one microbatch's forward time under which parameters can be gathered (the first layer cannot hide). */
  readonly gathersUnderForward: number;
  /** Bytes of a gradient element as it is reduced; 0 = by precision and ZeRO stage. */
  readonly gradientBytes: number;
  /** Tokens of the busiest expert rank over the mean. */
  readonly expertImbalance: number;
  /** Passes over the optimizer's state in one update: 1 when fused. */
  readonly optimizerPasses: number;
}

/** The profile planned for when none is named. */
export const DEFAULT_STACK = 'megatron';

const read = new Map<string, StackProfile>();

/** A profile that ships, or a YAML file of the same form. @throws PartitionError usage for an unknown name, input for a bad file */
export function loadStack(nameOrPath: string = DEFAULT_STACK, sources: SourcedFigure[] = []): StackProfile {
  if (/\.ya?ml$/i.test(nameOrPath)) return readStack(readYaml(nameOrPath), nameOrPath, nameOrPath, sources);
  const name = resolvePreset('stacks', nameOrPath, '--stack');
  let known = read.get(name);
  if (known === undefined || sources.length > 0) {
    const folder = presetFolder('stacks');
    known = readStack(folder.document(name), name, folder.path(name), sources);
    read.set(name, known);
  }
  return known;
}

/** Names of the profiles that ship. */
export function listStacks(): readonly string[] {
  return presetFolder('stacks').names;
}

/** Reads a profile; absent numbers take those of a stack that fuses well and hides nothing. */
export function readStack(
  document: unknown,
  name: string,
  file: string,
  sources: SourcedFigure[] = [],
): StackProfile {
  const f = Fields.of(document, file, '', sources, `stack ${name}: `);
  f.list('aliases', []);
  f.list('matches', []);
  const share = (field: string, fallback: number): number =>
    f.number(field, { min: 0, max: 1, default: fallback });
  const seconds = (field: string): number => f.number(field, { max: 60e6, default: 0 }) * 1e-6;
  const stack: StackProfile = {
    name,
    version: f.string('version', 'any'),
    description: f.string('description', name),
    attention: f.oneOf('attention', ['fused', 'unfused'], 'fused'),
    selectiveRecompute: f.oneOf('selectiveRecompute', ['attention', 'pointwise'], 'attention'),
    matrixEfficiency: f.number('matrixEfficiency', { min: 0.01, max: 1.5, default: 1 }),
    attentionEfficiency: f.number('attentionEfficiency', { min: 0.01, max: 1.5, default: 1 }),
    pointwisePasses: f.number('pointwisePasses', { min: 0.1, max: 20, default: 1 }),
    groupedEfficiency: f.number('groupedEfficiency', { min: 0.01, max: 1.5, default: 1 }),
    fp8Efficiency: f.number('fp8Efficiency', { min: 0.01, max: 1.5, default: 1 }),
    fp8Passes: f.number('fp8Passes', { max: 20, default: 0 }),
    hostSecPerBlock: seconds('hostUsPerBlock'),
    microbatchOverheadSec: seconds('microbatchOverheadUs'),
    stepOverheadSec: seconds('stepOverheadUs'),
    domainBandwidthShare: f.number('domainBandwidthShare', { min: 0.01, max: 1.5, default: 1 }),
    networkBandwidthShare: f.number('networkBandwidthShare', { min: 0.01, max: 1.5, default: 1 }),
    tpExposed: share('tpExposed', 1),
    cpExposed: share('cpExposed', 1),
    epExposed: share('epExposed', 1),
    gradientsUnderBackward: share('gradientsUnderBackward', 0),
    gathersUnderForward: share('gathersUnderForward', 0),
    gradientBytes: f.number('gradientBytes', { max: 4, integer: true, default: 0 }),
    expertImbalance: f.number('expertImbalance', { min: 1, max: 64, default: 1 }),
    optimizerPasses: f.number('optimizerPasses', { min: 0.1, max: 20, default: 1 }),
  };
  f.done();
  return stack;
}

/** Levels of a network as collectives find them inside a job. */
export function levelsInJob(levels: readonly Level[], stack: StackProfile): readonly Level[] {
  if (stack.domainBandwidthShare === 1 && stack.networkBandwidthShare === 1) return levels;
  return levels.map((level, l) => {
    const share = l === 0 && level.kind !== 'nic' ? stack.domainBandwidthShare : stack.networkBandwidthShare;
    return { ...level, bytesPerSecPerDevice: level.bytesPerSecPerDevice * share };
  });
}

/** A device with the rates that its matrix units sustain under a stack. */
export function deviceInJob(device: Device, stack: StackProfile): Device {
  const narrow: readonly string[] = ['fp8', 'fp4'];
  const rates = { ...device.achievableFlopPerSec };
  for (const precision of Object.keys(rates) as (keyof typeof rates)[]) {
    const fp8 = narrow.includes(device.runsAs[precision]) ? stack.fp8Efficiency : 1;
    rates[precision] *= stack.matrixEfficiency * fp8;
  }
  const { attention } = device;
  return {
    ...device,
    achievableFlopPerSec: rates,
    attention: {
      ...attention,
      forwardFraction: attention.forwardFraction * stack.attentionEfficiency,
      backwardFraction: attention.backwardFraction * stack.attentionEfficiency,
    },
  };
}
