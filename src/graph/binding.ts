/**
 * Which input dimensions are the batch and the sequence, and what symbols are bound to before inference. The batch is
 * dimension 0 of the data inputs and is bound to one sample when it is symbolic: costs are rescaled later. The sequence is
 * dimension 1 of the token inputs (integers of rank 2), else of a float input of rank 3.
 */
import { DType, isFloat } from '../model/dtype.js';
import type { GraphProto, ModelProto, ValueInfoProto } from '../model/types.js';
import { PartitionError } from '../util/errors.js';
import { AXIS_BATCH, AXIS_SEQUENCE } from './types.js';

export interface BindingOptions {
  readonly bind?: Readonly<Record<string, number>>;
  /** Length of the sequence axis where it is symbolic. */
  readonly seq?: number;
  readonly where?: string;
}

export interface Binding {
  /** The model, with names given to input dimensions that have neither size nor name. */
  readonly model: ModelProto;
  readonly bind: Readonly<Record<string, number>>;
  readonly referenceBatch: number;
  /** Symbol of the sequence axis that still needs a value, if any. */
  readonly sequenceSymbol: string | null;
  /** Input name, dimension, axis. */
  readonly seeds: readonly { readonly input: string; readonly dim: number; readonly axis: number }[];
  /** Input and dimension whose size is the sequence length; `null` when there is no sequence axis. */
  readonly sequenceOf: { readonly input: string; readonly dim: number } | null;
  /** Cached keys and values are among the inputs. */
  readonly hasCache: boolean;
}

interface Input {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly (number | string)[];
}

/** A name that stands for one number, not an expression such as `past + seq`. */
const PLAIN_SYMBOL = /^[A-Za-z_][\w.]*$/;

export function chooseBinding(model: ModelProto, options: BindingOptions): Binding {
  const named = nameDimensions(model);
  const inputs = dataInputs(named.graph);
  const bind: Record<string, number> = { ...options.bind };
  checkNames(inputs, bind, options.where ?? null);
  const tokens = inputs.filter((x) => isToken(x));
  const main =
    tokens[0] ??
    inputs.find((x) => isFloat(x.dtype) && x.dims.length >= 2) ??
    inputs.find((x) => x.dims.length >= 1);
  if (main === undefined)
    return {
      model: named,
      bind,
      referenceBatch: 1,
      sequenceSymbol: null,
      seeds: [],
      sequenceOf: null,
      hasCache: false,
    };
  const hasCache =
    tokens.length > 0 && inputs.filter((x) => isFloat(x.dtype) && x.dims.length >= 4).length >= 2;

  const batch = main.dims[0];
  if (typeof batch === 'string') bind[batch] ??= 1;
  const referenceBatch = typeof batch === 'number' ? batch : bind[batch];
  const seeds: { input: string; dim: number; axis: number }[] = [];
  for (const x of inputs) {
    const first = x.dims[0];
    if (first === undefined) continue;
    const other =
      typeof first === 'string' && first !== batch && PLAIN_SYMBOL.test(first) && x.dims.length >= 2;
    if (other && typeof first === 'string') bind[first] ??= referenceBatch;
    const size = typeof first === 'string' ? bind[first] : first;
    if (first === batch || other || (size === referenceBatch && x.dims.length >= 2))
      seeds.push({ input: x.name, dim: 0, axis: AXIS_BATCH });
  }

  const holder = tokens[0] ?? (isFloat(main.dtype) && main.dims.length === 3 ? main : undefined);
  let sequenceSymbol: string | null = null;
  if (holder !== undefined) {
    const length = holder.dims[1];
    const alike = tokens.length > 0 ? tokens : [holder];
    for (const x of alike) {
      const dim = x.dims[1];
      const plain = typeof dim === 'string' && PLAIN_SYMBOL.test(dim);
      // With a cache the mask covers past and present: a length of its own.
      if (plain && options.seq !== undefined && (dim === length || !hasCache)) bind[dim] ??= options.seq;
      if (dim === length || (!hasCache && plain)) seeds.push({ input: x.name, dim: 1, axis: AXIS_SEQUENCE });
    }
    if (typeof length === 'string' && bind[length] === undefined) sequenceSymbol = length;
  }
  return {
    model: named,
    bind,
    referenceBatch,
    sequenceSymbol,
    seeds,
    sequenceOf: holder === undefined ? null : { input: holder.name, dim: 1 },
    hasCache,
  };
}

function isToken(x: Input): boolean {
  return x.dims.length === 2 && (x.dtype === DType.INT64 || x.dtype === DType.INT32);
}

/** Inputs that no initializer gives a value. */
function dataInputs(graph: GraphProto | undefined): Input[] {
  const given = new Set<string>();
  for (const t of graph?.initializer ?? []) given.add(t.name ?? '');
  const inputs: Input[] = [];
  for (const info of graph?.input ?? []) {
    const tensor = info.type?.tensorType;
    if (tensor?.shape === undefined || given.has(info.name ?? '')) continue;
    const dims = tensor.shape.dim.map((d) =>
      d.dimValue !== undefined ? Number(d.dimValue) : (d.dimParam ?? ''),
    );
    inputs.push({ name: info.name ?? '', dtype: tensor.elemType ?? DType.UNDEFINED, dims });
  }
  return inputs;
}

/** Gives `<input>_dim<k>` to input dimensions with neither size nor name, so that they can be bound. */
function nameDimensions(model: ModelProto): ModelProto {
  const graph = model.graph;
  if (graph === undefined) return model;
  let changed = false;
  const input = graph.input.map((info): ValueInfoProto => {
    const tensor = info.type?.tensorType;
    if (tensor?.shape === undefined || info.type === undefined) return info;
    const bare = tensor.shape.dim.some((d) => d.dimValue === undefined && (d.dimParam ?? '') === '');
    if (!bare) return info;
    changed = true;
    const dim = tensor.shape.dim.map((d, k) =>
      d.dimValue === undefined && (d.dimParam ?? '') === ''
        ? { ...d, dimParam: `${info.name ?? 'input'}_dim${String(k)}` }
        : d,
    );
    return { ...info, type: { ...info.type, tensorType: { ...tensor, shape: { ...tensor.shape, dim } } } };
  });
  return changed ? { ...model, graph: { ...graph, input } } : model;
}

/** A bound name must occur in the model's inputs. */
function checkNames(
  inputs: readonly Input[],
  bind: Readonly<Record<string, number>>,
  where: string | null,
): void {
  const names = new Set<string>();
  for (const x of inputs)
    for (const d of x.dims) {
      if (typeof d !== 'string') continue;
      names.add(d);
      for (const word of d.match(/[A-Za-z_][\w.]*/g) ?? []) names.add(word);
    }
  for (const [name, value] of Object.entries(bind)) {
    if (!names.has(name))
      throw new PartitionError(
        'usage',
        `no input dimension is called '${name}'`,
        where,
        names.size === 0
          ? 'all input dimensions are numbers: drop --bind'
          : `the model has ${[...names].join(', ')}`,
      );
    if (!Number.isSafeInteger(value) || value < 0)
      throw new PartitionError(
        'usage',
        `--bind ${name} expects a whole number, found ${String(value)}`,
        where,
      );
  }
}
