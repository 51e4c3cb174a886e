/** What is in a model: read, checked, inferred, and costed as far as its shapes are known. */
import { analyze, inferModel, parameterCount, TensorRole } from '../graph/index.js';
import type { Graph, Inferred, Segmentation } from '../graph/index.js';
import type { ModelProto, TensorProto } from '../model/index.js';
import {
  checkModel,
  dtypeBits,
  dtypeName,
  isExternal,
  isFloat,
  readModel,
  tensorElementCount,
} from '../model/index.js';
import type { ValueType } from '../ops/types.js';
import { PartitionError } from '../util/errors.js';
import { formatBytes, formatSi, formatTable } from '../util/format.js';
import { oneLine } from '../util/errors.js';

export interface InspectOptions {
  readonly seq?: number | undefined;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly strict?: boolean | undefined;
  /** List every tensor instead of counting them. */
  readonly tensors?: boolean | undefined;
}

interface AnalyzedGraph {
  readonly graph: Graph;
  readonly segmentation: Segmentation;
}

/** A tensor's name, type and shape; a dimension is a number, or text when symbolic; `null` when the rank is unknown. */
export interface TensorLine {
  readonly name: string;
  readonly dtype: string;
  readonly shape: (number | string)[] | null;
}

export interface Inspection {
  readonly model: string;
  readonly producer: string;
  readonly irVersion: number;
  /** Opset of the default domain, and of every domain imported. */
  readonly opset: number;
  readonly opsets: Record<string, number>;
  /** Trainable elements; weights that nothing reads are not counted once the graph is known. */
  readonly parameters: number;
  readonly parameterBytes: number;
  /** FLOP of one forward pass of one batch as bound; `null` while symbols are unbound (see `flopNote`). */
  readonly forwardFlop: number | null;
  /** How attention is counted: causal masks halve it. */
  readonly flopConvention: 'causal' | 'full';
  /** The same with attention counted in full. */
  readonly forwardFlopFull: number | null;
  readonly backwardFlop: number | null;
  readonly flopNote: string | null;
  readonly batch: number | null;
  readonly sequenceLength: number | null;
  /** Nodes as written in the main graph, and how many of each operator. */
  readonly ops: number;
  readonly opCounts: Record<string, number>;
  readonly unknownOps: readonly { readonly op: string; readonly count: number }[];
  readonly functions: number;
  readonly layers: number;
  readonly layerClasses: number;
  readonly inputs: readonly TensorLine[];
  readonly outputs: readonly TensorLine[];
  readonly symbols: readonly string[];
  readonly notInferred: readonly string[];
  readonly externalFiles: readonly string[];
  readonly tensors: number | readonly TensorLine[];
  readonly warnings: readonly string[];
}

/**
 * Looks into a model file.
 *
 * @throws PartitionError input when it cannot be read or contradicts itself
 */
export function inspectModel(path: string, options: InspectOptions = {}): Inspection {
  const model = readModel(path);
  const diagnostics = checkModel(model, path);
  const shared = {
    where: path,
    ...(options.bind === undefined ? {} : { bind: options.bind }),
    ...(options.strict === undefined ? {} : { strict: options.strict }),
  };
  const inferred = inferModel(model, shared);
  const costed = costGraph(model, options.seq === undefined ? shared : { ...shared, seq: options.seq });
  const { analyzed } = costed;
  const work = analyzed === null ? null : sumWork(analyzed);
  const initializers = [...inferred.initializers.values()];
  const weights = parameterSums(initializers, analyzed);
  // Values after the main graph's are those inside functions and subgraphs.
  const lines = inferred.values
    .slice(0, inferred.mainCount)
    .flatMap((name, v) => (name === '' ? [] : [tensorLine(inferred, v)]));
  return {
    model: path,
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
    irVersion: Number(model.irVersion ?? 0),
    opset: inferred.opset,
    opsets: Object.fromEntries(
      model.opsetImport.map((o) => [
        o.domain === '' || o.domain === undefined ? 'ai.onnx' : o.domain,
        Number(o.version ?? 0),
      ]),
    ),
    ...weights,
    forwardFlop: work?.forward ?? null,
    flopConvention: analyzed?.segmentation.blocks.some((b) => b.causal) ? 'causal' : 'full',
    forwardFlopFull: work?.forwardFull ?? null,
    backwardFlop: work?.backward ?? null,
    flopNote: costed.note,
    batch: analyzed?.graph.referenceBatch ?? null,
    sequenceLength: analyzed?.graph.sequenceLength ?? null,
    ops: model.graph?.node.length ?? 0,
    opCounts: countOps(model),
    unknownOps: inferred.unknownOps,
    functions: model.functions.length,
    layers: analyzed?.segmentation.layers ?? 0,
    layerClasses: analyzed?.segmentation.classCount ?? 0,
    inputs: inferred.graphInputs.map((v) => tensorLine(inferred, v)),
    outputs: inferred.graphOutputs.map((v) => tensorLine(inferred, v)),
    symbols: inferred.symbols.map((s) => s.name),
    notInferred: inferred.notInferred,
    externalFiles: externalFiles(initializers),
    tensors: options.tensors ? lines : lines.length,
    warnings: [
      ...new Set([
        ...diagnostics.map((d) => d.message),
        ...inferred.warnings,
        ...(analyzed?.graph.warnings ?? []),
      ]),
    ],
  };
}

/** The analysed graph, or why its work cannot be counted yet. A broken model still throws. */
function costGraph(
  model: ModelProto,
  options: Parameters<typeof analyze>[1],
): { analyzed: AnalyzedGraph | null; note: string | null } {
  try {
    return { analyzed: analyze(model, options), note: null };
  } catch (e) {
    if (e instanceof PartitionError && e.code !== 'input') return { analyzed: null, note: e.line() };
    throw e;
  }
}

function sumWork({ segmentation }: AnalyzedGraph): {
  forward: number;
  forwardFull: number;
  backward: number;
} {
  let forward = 0;
  let backward = 0;
  for (const block of segmentation.blocks) {
    forward += block.flop;
    backward += block.gradInputFlop + block.gradWeightFlop;
  }
  const halved = segmentation.blocks.reduce((sum, b) => (b.causal ? sum + b.flop : sum), 0);
  return { forward, forwardFull: forward + halved, backward };
}

function parameterSums(
  initializers: readonly TensorProto[],
  analyzed: AnalyzedGraph | null,
): { parameters: number; parameterBytes: number } {
  if (analyzed !== null) {
    const { graph } = analyzed;
    let bytes = 0;
    for (let t = 0; t < graph.tensorCount; t++) {
      if (graph.tensorRole[t] === TensorRole.PARAMETER && graph.storage[t] === t)
        bytes += graph.tensorBytes[t];
    }
    return { parameters: parameterCount(graph), parameterBytes: bytes };
  }
  let parameters = 0;
  let parameterBytes = 0;
  for (const tensor of initializers) {
    const dtype = tensor.dataType ?? 0;
    if (!isFloat(dtype)) continue;
    const count = Number(tensorElementCount(tensor));
    parameters += count;
    parameterBytes += (count * dtypeBits(dtype)) / 8;
  }
  return { parameters, parameterBytes };
}

function countOps(model: ModelProto): Record<string, number> {
  const counts = new Map<string, number>();
  for (const node of model.graph?.node ?? []) {
    const domain = node.domain ?? '';
    const op =
      domain === '' || domain === 'ai.onnx' ? (node.opType ?? '') : `${domain}::${node.opType ?? ''}`;
    counts.set(op, (counts.get(op) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)));
}

function externalFiles(initializers: readonly TensorProto[]): string[] {
  const files = new Set<string>();
  for (const tensor of initializers) {
    if (!isExternal(tensor)) continue;
    const location = tensor.externalData.find((e) => e.key === 'location')?.value;
    if (location !== undefined) files.add(location);
  }
  return [...files].sort();
}

function tensorLine(inferred: Inferred, v: number): TensorLine {
  const { dtype, shape } = describeType(inferred.promised.get(v) ?? inferred.type[v] ?? null);
  return { name: inferred.values[v], dtype, shape };
}

function describeType(type: ValueType | null): { dtype: string; shape: (number | string)[] | null } {
  if (type === null) return { dtype: 'UNDEFINED', shape: null };
  if (type.kind === 'tensor' || type.kind === 'sparse') {
    const shape = type.shape === null ? null : type.shape.map((d) => (typeof d === 'number' ? d : d.text));
    return { dtype: dtypeName(type.dtype), shape };
  }
  return { dtype: type.kind, shape: null };
}

/** The inspection as people read it. */
export function inspectionTable(i: Inspection): string {
  const shape = (t: TensorLine): string =>
    `${oneLine(t.name, 60)} ${t.dtype}[${t.shape === null ? '?' : t.shape.map((d) => oneLine(String(d), 40)).join(', ')}]`;
  const flop =
    i.forwardFlop === null
      ? `unknown: ${i.flopNote ?? ''}`
      : `${formatSi(i.forwardFlop, 'FLOP')} at batch ${i.batch}, ${i.sequenceLength} tokens (attention counted ${i.flopConvention === 'causal' ? `causal; ${formatSi(i.forwardFlopFull ?? 0, 'FLOP')} in full` : 'in full'})`;
  const rows: string[][] = [
    ['model', oneLine(i.model)],
    ['producer', oneLine(i.producer || 'not stated')],
    [
      'IR / opsets',
      `${i.irVersion} / ${Object.entries(i.opsets)
        .map(([d, v]) => `${oneLine(d, 40)} ${v}`)
        .join(', ')}`,
    ],
    ['parameters', `${formatSi(i.parameters)} (${i.parameters}), ${formatBytes(i.parameterBytes)} as stored`],
    ['forward', flop],
    [
      'layers',
      i.layers === 0
        ? 'no repeated layers found'
        : `${i.layers} equal layers, ${i.layerClasses} kinds of segment`,
    ],
    [
      'inputs',
      i.inputs.slice(0, 4).map(shape).join('; ') +
        (i.inputs.length > 4 ? `; ${i.inputs.length - 4} more` : ''),
    ],
    [
      'outputs',
      i.outputs.slice(0, 4).map(shape).join('; ') +
        (i.outputs.length > 4 ? `; ${i.outputs.length - 4} more` : ''),
    ],
    [
      'operators',
      `${i.ops} nodes: ${Object.entries(i.opCounts)
        .slice(0, 12)
        .map(([op, n]) => `${oneLine(op, 40)} ${n}`)
        .join(', ')}`,
    ],
  ];
  if (i.symbols.length > 0) rows.push(['symbols', i.symbols.map((s) => oneLine(s, 40)).join(', ')]);
  if (i.externalFiles.length > 0)
    rows.push([
      'external data',
      i.externalFiles
        .slice(0, 3)
        .map((f) => oneLine(f))
        .join(', '),
    ]);
  if (i.unknownOps.length > 0)
    rows.push([
      'not known',
      i.unknownOps.map((u) => `${oneLine(u.op, 60)} x${u.count} (costed by bytes)`).join(', '),
    ]);
  if (i.notInferred.length > 0)
    rows.push(['not inferred', `${i.notInferred.length} tensors, first ${oneLine(i.notInferred[0], 60)}`]);
  const table = formatTable(rows, 2);
  if (typeof i.tensors === 'number') return table;
  return `${table}\n\n${i.tensors.map(shape).join('\n')}`;
}
