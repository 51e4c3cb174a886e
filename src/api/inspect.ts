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
import type { Inspection, TensorLine } from '../report/inspectionTable.js';
import { PartitionError } from '../util/errors.js';

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
  // Parameters and layers are a matter of structure: with sizes still open, any sizes that go together show them.
  const structure = analyzed ?? assumeSizes(model, shared, inferred);
  const work = analyzed === null ? null : sumWork(analyzed);
  const initializers = [...inferred.initializers.values()];
  const weights = parameterSums(initializers, structure);
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
    flopConvention: structure?.segmentation.blocks.some((b) => b.causal) ? 'causal' : 'full',
    forwardFlopFull: work?.forwardFull ?? null,
    backwardFlop: work?.backward ?? null,
    flopNote: costed.note,
    batch: analyzed?.graph.referenceBatch ?? null,
    sequenceLength: analyzed?.graph.sequenceLength ?? null,
    ops: model.graph?.node.length ?? 0,
    opCounts: countOps(model),
    unknownOps: inferred.unknownOps,
    functions: model.functions.length,
    layers: structure?.segmentation.layers ?? 0,
    layerClasses: structure?.segmentation.classCount ?? 0,
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

/** Sizes of open symbols when only the structure matters; one symbol may be the sum of two others (cached and new tokens). */
const ASSUMED_SIZE = 64;
const MOST_SYMBOLS = 8;

/** The graph at made-up sizes; `null` when no combination tried goes together. */
function assumeSizes(
  model: ModelProto,
  options: Parameters<typeof analyze>[1] & object,
  inferred: Inferred,
): AnalyzedGraph | null {
  const open = inferred.symbols.map((s) => s.name).filter((name) => options.bind?.[name] === undefined);
  if (open.length === 0 || open.length > MOST_SYMBOLS) return null;
  for (const larger of [null, ...open]) {
    const bind: Record<string, number> = { ...options.bind };
    for (const name of open) bind[name] = name === larger ? 2 * ASSUMED_SIZE : ASSUMED_SIZE;
    try {
      return analyze(model, { ...options, bind });
    } catch (e) {
      if (!(e instanceof PartitionError)) throw e;
    }
  }
  return null;
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
