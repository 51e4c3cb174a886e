/** One sub-model of one rank as an ONNX model. */
import { isExternal } from '../../model/index.js';
import type { ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto } from '../../model/index.js';
import type { ValueType } from '../../ops/types.js';
import { calledFunctions } from './facts.js';
import type { SplitFacts } from './facts.js';
import type { Program } from './program.js';
import type { Piece } from './schedule.js';
import type { WeightBytes } from './weights.js';
import { weightBytes } from './weights.js';

export interface PieceModel {
  readonly model: ModelProto;
  /** The initializers that came from bytes, in order; those of strings and such are in the model already. */
  readonly weights: readonly { readonly name: string; readonly bytes: WeightBytes }[];
  readonly initializerBytes: number;
}

/**
 * The sub-model without the contents of its initializers, and those contents.
 *
 * @param keepReferences external tensors that are whole stay references to their file
 */
export function pieceModel(
  facts: SplitFacts,
  program: Program,
  piece: Piece,
  rank: number,
  modelPath: string,
  keepReferences: boolean,
): PieceModel {
  const { model, graph } = facts;
  const weights: { name: string; bytes: WeightBytes }[] = [];
  const asWritten: TensorProto[] = [];
  let initializerBytes = 0;
  for (const name of piece.weights) {
    const source = program.weights.get(name)!;
    if (keepReferences && source.kind === 'tensor' && source.sharding === null && isExternal(source.tensor)) {
      asWritten.push(source.tensor);
      continue;
    }
    const bytes = weightBytes(source, rank, program.tp, modelPath);
    if (bytes !== null) {
      weights.push({ name, bytes });
      initializerBytes += bytes.sizeBytes;
    } else if (source.kind !== 'integers') asWritten.push(source.tensor);
  }
  const names = new UniqueNames();
  const node = piece.nodes.map(({ proto }): NodeProto => {
    const name = names.of(proto);
    return name === proto.name ? proto : { ...proto, name };
  });
  const mentioned = new Set([...piece.inputs, ...piece.outputs, ...piece.weights]);
  for (const { proto } of piece.nodes) for (const name of proto.output) mentioned.add(name);
  const edge = new Set([...piece.inputs, ...piece.outputs]);
  const input = piece.inputs.map((name) => valueInfo(facts, program, name));
  // Before IR version 4 every initializer is an input too.
  const irVersion = Number(model.irVersion ?? 0);
  const info = new Map(graph.input.map((value) => [value.name ?? '', value]));
  if (irVersion > 0 && irVersion < 4)
    for (const { name, bytes } of weights)
      input.push(info.get(name) ?? { ...NO_INFO, name, type: tensorType(bytes.dtype, bytes.dims) });
  return {
    weights,
    initializerBytes,
    model: {
      ...model,
      trainingInfo: [],
      functions: calledFunctions(model, node),
      graph: {
        ...graph,
        name: `${graph.name ?? 'graph'}.stage${String(piece.stage)}`,
        node,
        input,
        output: piece.outputs.map((name) => valueInfo(facts, program, name)),
        initializer: asWritten,
        sparseInitializer: graph.sparseInitializer.filter((t) => needed(piece, t.values?.name ?? '')),
        valueInfo: graph.valueInfo.filter(
          (value) => mentioned.has(value.name ?? '') && !edge.has(value.name ?? ''),
        ),
        quantizationAnnotation: graph.quantizationAnnotation.filter((a) => mentioned.has(a.tensorName ?? '')),
      },
    },
  };
}

function needed(piece: Piece, name: string): boolean {
  return piece.nodes.some((node) => node.reads.includes(name));
}

const NO_INFO = { metadataProps: [] };

/** The model's own declaration of a value that is whole, else what is inferred. */
function valueInfo(facts: SplitFacts, program: Program, name: string): ValueInfoProto {
  const declared = [...facts.graph.input, ...facts.graph.output].find((value) => value.name === name);
  if (declared !== undefined) return declared;
  const type = program.type(name);
  return { ...NO_INFO, name, ...(type === null ? {} : { type: typeProto(type) }) };
}

function typeProto(type: ValueType): TypeProto {
  if (type.kind === 'tensor') return tensorType(type.dtype, type.shape);
  if (type.kind === 'sequence')
    return { sequenceType: type.elem === null ? {} : { elemType: typeProto(type.elem) } };
  if (type.kind === 'optional')
    return { optionalType: type.elem === null ? {} : { elemType: typeProto(type.elem) } };
  return {};
}

function tensorType(
  elemType: number,
  shape: readonly (number | { readonly text: string })[] | null,
): TypeProto {
  if (shape === null) return { tensorType: { elemType } };
  const dim = shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d.text }));
  return { tensorType: { elemType, shape: { dim } } };
}

/** Node names: the model's own where they are unique, else numbered; unnamed nodes are called after their operator. */
class UniqueNames {
  private readonly taken = new Set<string>();

  of(proto: NodeProto): string {
    const own = proto.name ?? '';
    const base = own === '' ? (proto.opType ?? 'node') : own;
    let name = base;
    for (let i = 1; this.taken.has(name); i++) name = `${base}_${String(i)}`;
    this.taken.add(name);
    return name;
  }
}
