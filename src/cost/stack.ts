/**
 * Stack profiles: what the software does with the hardware. A training framework, at a release, fuses some kernels, hides
 * some communication and spends some host time; a profile says how much in a few numbers, each with its origin
 * (`src/data/stacks`). Nothing of this kind is a constant in code.
 */
import { presetFolder, readYaml, resolvePreset } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import { mergeOverlay } from '../cluster/overlay.js';
import type { Calibration, Overlay } from '../cluster/overlay.js';
import type { Device, Level, SourcedFigure } from '../cluster/types.js';

/**
 * What selective recomputation drops and makes again: attention's inside (Megatron), what memory-bound kernels made, or all
 * but attention and every second matmul (torchtitan).
 */
export type SelectiveRecompute = 'attention' | 'pointwise' | 'matmul';

export interface StackProfile {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** `fused`: scores never leave the core (FlashAttention); `unfused`: score matrices are written, masked, softmaxed, dropped. */
  readonly attention: 'fused' | 'unfused';
  readonly selectiveRecompute: SelectiveRecompute;
  /** What travels to experts: a copy of a token for each of its experts, or one for each fast domain that holds some (DeepEP). */
  readonly expertDispatch: 'per-expert' | 'per-domain';
  /** Whether a token's expert weights scale what goes into the experts' last product, or what comes out, which is then kept. */
  readonly expertWeights: 'folded' | 'outside';
  /** Whether a sequence shard that was gathered for a product is gathered again in the backward pass, or kept whole for it. */
  readonly gatheredInputs: 'again' | 'kept';
  /** Share of the device's matmul rate that a job sustains (power, clocks, neighbours on the memory bus). */
  readonly matrixEfficiency: number;
  /** Share of the device's fused-attention curve that the stack's kernel reaches. */
  readonly attentionEfficiency: number;
  /** Time of memory-bound blocks over that of one perfectly fused kernel. */
  readonly pointwisePasses: number;
  /** The same of the loss over the vocabulary: casts, maxima, exponentials and sums are kernels of their own in most stacks. */
  readonly lossPasses: number;
  /** Share of the matmul rate that grouped matmuls over experts reach. */
  readonly groupedEfficiency: number;
  /** Share of the device's fp8 matmul rate that a job sustains, beside `matrixEfficiency`. */
  readonly fp8Efficiency: number;
  /** Casts and scales of fp8 training: extra passes over what an fp8 matmul reads and writes. */
  readonly fp8Passes: number;
  /** Host time of one block forward, seconds: a block on the device is not over sooner. */
  readonly hostSecPerBlock: number;
  /** Time of memory-bound blocks in layers with experts (routing, permuting, weighting) over that in other layers. */
  readonly expertPasses: number;
  /** Host time of a layer with experts forward, seconds: the tokens of each are counted before kernels can be sized. */
  readonly hostSecPerExpertLayer: number;
  /** Host time of one collective inside a layer, seconds; counts towards the layer's host time. */
  readonly hostSecPerCollective: number;
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
  /** Bytes per logit at the peak of the loss: the logits, their fp32 copies, softmax and gradients alive at one time. */
  readonly logitBytes: number;
  /** The same where the classes are spread over tensor-parallel ranks; 0: as `logitBytes`. */
  readonly splitLogitBytes: number;
  /** Memory that the allocator holds beside what is live, as a share of what is allocated and freed every step. */
  readonly fragmentationShare: number;
  /** Numbers that differ on one kind of device, by preset name: a kernel written for one generation runs worse on the next. */
  readonly onDevice: Readonly<Record<string, StackNumbers>>;
}

/** The numbers of a profile, all or some. */
export type StackNumbers = Partial<
  Omit<
    StackProfile,
    | 'name'
    | 'version'
    | 'description'
    | 'attention'
    | 'selectiveRecompute'
    | 'expertWeights'
    | 'gatheredInputs'
    | 'onDevice'
  >
>;

/** The profile as it holds on a device. */
export function stackOn(stack: StackProfile, device: Pick<Device, 'name'>): StackProfile {
  const own = stack.onDevice[device.name];
  return own === undefined ? stack : { ...stack, ...own };
}

/** The profile planned for when none is named. */
export const DEFAULT_STACK = 'megatron';

const read = new Map<string, StackProfile>();

/**
 * A profile that ships, under a calibration if any, or a YAML file of the same form.
 *
 * @throws PartitionError usage for an unknown name, input for a bad file
 */
export function loadStack(
  nameOrPath: string = DEFAULT_STACK,
  sources: SourcedFigure[] = [],
  calibration?: Calibration,
): StackProfile {
  if (/\.ya?ml$/i.test(nameOrPath)) return readStack(readYaml(nameOrPath), nameOrPath, nameOrPath, sources);
  const name = resolvePreset('stacks', nameOrPath, '--stack');
  if (calibration !== undefined && calibration.stacks.size > 0)
    return readStack(stackDocument(name, calibration.stacks), name, calibration.file, sources);
  let known = read.get(name);
  if (known === undefined || sources.length > 0) {
    const folder = presetFolder('stacks');
    known = readStack(stackDocument(name), name, folder.path(name), sources);
    read.set(name, known);
  }
  return known;
}

/** A shipped profile as written, what it extends filled in, a calibration's numbers laid over each. */
export function stackDocument(
  name: string,
  overlays: ReadonlyMap<string, Overlay> = NO_OVERLAYS,
): Readonly<Record<string, unknown>> {
  const own = presetFolder('stacks').document(name) as Readonly<Record<string, unknown>>;
  const { extends: base, ...written } = own;
  let document: Readonly<Record<string, unknown>> = written;
  if (typeof base === 'string') {
    document = mergeOverlay(stackDocument(base, overlays), { aliases: [], matches: [], ...written });
  }
  const overlay = overlays.get(name);
  return overlay === undefined ? document : mergeOverlay(document, overlay);
}

const NO_OVERLAYS: ReadonlyMap<string, Overlay> = new Map();

/** Names of the profiles that ship. */
export function listStacks(): readonly string[] {
  return presetFolder('stacks').names;
}

interface NumberField {
  readonly min?: number;
  readonly max: number;
  readonly default: number;
  readonly integer?: boolean;
  /** Unit in the file over unit in memory: microseconds are read as seconds. */
  readonly unit?: number;
  /** Name in the file where it differs. */
  readonly key?: string;
}

const FACTOR: NumberField = { min: 0.01, max: 1.5, default: 1 };
const PASSES: NumberField = { min: 0.1, max: 20, default: 1 };
const EXPOSED: NumberField = { max: 1, default: 1 };
const HIDDEN: NumberField = { max: 1, default: 0 };
const micros = (key: string): NumberField => ({ max: 60e6, default: 0, unit: 1e-6, key });

/** Absent numbers are those of a stack that fuses well, hides nothing and costs the host nothing. */
const NUMBERS = {
  matrixEfficiency: FACTOR,
  attentionEfficiency: FACTOR,
  pointwisePasses: PASSES,
  lossPasses: PASSES,
  groupedEfficiency: FACTOR,
  fp8Efficiency: FACTOR,
  fp8Passes: { max: 20, default: 0 },
  hostSecPerBlock: micros('hostUsPerBlock'),
  expertPasses: PASSES,
  hostSecPerExpertLayer: micros('hostUsPerExpertLayer'),
  hostSecPerCollective: micros('hostUsPerCollective'),
  microbatchOverheadSec: micros('microbatchOverheadUs'),
  stepOverheadSec: micros('stepOverheadUs'),
  domainBandwidthShare: FACTOR,
  networkBandwidthShare: FACTOR,
  tpExposed: EXPOSED,
  cpExposed: EXPOSED,
  epExposed: EXPOSED,
  gradientsUnderBackward: HIDDEN,
  gathersUnderForward: HIDDEN,
  gradientBytes: { max: 4, default: 0, integer: true },
  expertImbalance: { min: 1, max: 64, default: 1 },
  optimizerPasses: PASSES,
  logitBytes: { min: 2, max: 40, default: 10 },
  splitLogitBytes: { max: 40, default: 0 },
  fragmentationShare: { max: 1, default: 0.05 },
} satisfies Record<string, NumberField>;

type NumberName = keyof typeof NUMBERS;

/** Names of the numbers, as in `StackProfile`. */
export const STACK_NUMBERS = Object.keys(NUMBERS) as readonly NumberName[];

/** Bounds and unit of a number, for what fits or edits profiles. */
export function stackNumber(name: NumberName): { min: number; max: number; key: string; unit: number } {
  const field: NumberField = NUMBERS[name];
  const unit = field.unit ?? 1;
  return { min: (field.min ?? 0) * unit, max: field.max * unit, key: field.key ?? name, unit };
}

/** Numbers of a map: all, absent ones by default, or those that are there. */
function readNumbers(f: Fields, mode: 'all'): Record<NumberName, number>;
function readNumbers(f: Fields, mode: 'given'): StackNumbers;
function readNumbers(f: Fields, mode: 'all' | 'given'): StackNumbers {
  const numbers: Partial<Record<NumberName, number>> = {};
  for (const name of STACK_NUMBERS) {
    const { unit = 1, key = name, ...range }: NumberField = NUMBERS[name];
    if (mode === 'given' && !f.has(key)) continue;
    numbers[name] = f.number(key, range) * unit;
  }
  return numbers;
}

/** Reads a profile; absent numbers take those of a stack that fuses well and hides nothing. */
export function readStack(
  document: unknown,
  name: string,
  file: string,
  sources: SourcedFigure[] = [],
  path = '',
): StackProfile {
  const f = Fields.of(document, file, path, sources, `stack ${name}: `);
  f.list('aliases', []);
  f.list('matches', []);
  const numbers = readNumbers(f, 'all');
  const devices = f.child('onDevice');
  const onDevice: Record<string, StackNumbers> = {};
  for (const device of devices?.names() ?? []) {
    const fields = devices!.required(device);
    onDevice[device] = readNumbers(fields, 'given');
    fields.done();
  }
  const stack: StackProfile = {
    name,
    version: f.string('version', 'any'),
    description: f.string('description', name),
    attention: f.oneOf('attention', ['fused', 'unfused'], 'fused'),
    selectiveRecompute: f.oneOf('selectiveRecompute', ['attention', 'pointwise', 'matmul'], 'attention'),
    expertDispatch: f.oneOf('expertDispatch', ['per-expert', 'per-domain'], 'per-expert'),
    expertWeights: f.oneOf('expertWeights', ['folded', 'outside'], 'folded'),
    gatheredInputs: f.oneOf('gatheredInputs', ['again', 'kept'], 'again'),
    ...numbers,
    onDevice,
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
