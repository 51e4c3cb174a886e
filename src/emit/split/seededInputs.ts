/**
 * Made-up inputs for a model: floats from a normal distribution; integers that index a table from its rows, all other
 * integers 1, as in a mask that lets everything through; booleans true. Symbolic dimensions get small sizes.
 */
import { DType, dtypeName, isFloat } from '../../model/index.js';
import { bind, symbolsOf } from '../../ops/dim.js';
import type { Dim, Shape, ValueType } from '../../ops/types.js';
import { PartitionError } from '../../util/errors.js';
import { Random } from '../../util/random.js';
import { elementsOf, isWide, runtimeType } from './elements.js';
import type { SplitFacts } from './facts.js';
import { toHalf } from './half.js';
import type { RuntimeTensor } from './runtime.js';

/** Sizes of symbolic dimensions that are not given: the first that is met is usually the batch. */
const FIRST_SIZE = 2;
const OTHER_SIZE = 8;

/** @throws PartitionError usage for a type that cannot be made up */
export function seededInputs(
  facts: SplitFacts,
  seed: number,
  sizes: Readonly<Record<string, number>>,
  where: string,
): Record<string, RuntimeTensor> {
  const random = new Random(seed);
  const bound = new Map<string, Dim>(Object.entries(sizes));
  bindCacheSizes(facts, bound);
  const rows = indexedRows(facts);
  const inputs: Record<string, RuntimeTensor> = {};
  for (const name of facts.inputs) {
    const type = facts.type(name);
    const dims = sizesOf(type, bound);
    const kind = type?.kind === 'tensor' ? runtimeType(type.dtype) : null;
    if (dims === null || kind === null || type?.kind !== 'tensor') {
      const what = type?.kind === 'tensor' ? dtypeName(type.dtype) : 'no tensor of known rank';
      throw new PartitionError('usage', `input "${name}" is ${what}`, where, 'give values with --inputs');
    }
    const data = elementsOf(
      kind,
      dims.reduce((a, b) => a * b, 1),
    );
    const limit = rows.get(name);
    for (let i = 0; i < data.length; i++) {
      let value = 1;
      if (isFloat(type.dtype)) value = random.normal();
      else if (limit !== undefined && type.dtype !== DType.BOOL) value = random.int(limit);
      if (type.dtype === DType.FLOAT16) value = toHalf(value);
      if (isWide(data)) data[i] = BigInt(value);
      else data[i] = value;
    }
    inputs[name] = { type: kind.name, data, dims };
  }
  return inputs;
}

function sizesOf(type: ValueType | null, bound: Map<string, Dim>): number[] | null {
  if (type?.kind !== 'tensor' || type.shape === null) return null;
  return type.shape.map((d) => {
    for (const symbol of symbolsOf(d))
      if (!bound.has(symbol)) bound.set(symbol, bound.size === 0 ? FIRST_SIZE : OTHER_SIZE);
    return Number(bind(d, bound));
  });
}

/**
 * With cached keys and values [batch, heads, past, head size] among the inputs, the mask covers past and present tokens, and a
 * head is as wide as the attention that reads the cache has it.
 */
function bindCacheSizes(facts: SplitFacts, bound: Map<string, Dim>): void {
  const shapes = facts.inputs.map((name) => {
    const type = facts.type(name);
    return { name, isFloat: type?.kind === 'tensor' && isFloat(type.dtype), shape: shapeOf(type) ?? [] };
  });
  const caches = shapes.filter((input) => input.isFloat && input.shape.length === 4);
  const tokens = shapes.filter((input) => !input.isFloat && input.shape.length === 2);
  if (caches.length < 2 || tokens.length === 0) return;
  const settle = (d: Dim, size: number): void => {
    for (const symbol of symbolsOf(d)) if (!bound.has(symbol)) bound.set(symbol, size);
  };
  const sizeOf = (d: Dim): number => Number(bind(d, bound));
  const [batch, length] = tokens[0].shape;
  // Fused attention takes several new tokens on top of a cache for one sequence only.
  settle(batch, 1);
  settle(length, OTHER_SIZE);
  for (const { name, shape } of caches) {
    settle(shape[2], OTHER_SIZE);
    const width = headSize(facts, name);
    if (width !== null) settle(shape[3], width);
  }
  for (const { shape } of tokens.slice(1)) settle(shape[1], sizeOf(caches[0].shape[2]) + sizeOf(length));
}

/** Columns of the query over its heads, for the fused attention that reads a cache. */
function headSize(facts: SplitFacts, cache: string): number | null {
  for (const { proto, inferred } of facts.nodes) {
    if (inferred === null || !proto.input.includes(cache)) continue;
    const heads = inferred.attrs.int('num_heads', 0);
    const columns = shapeOf(facts.type(proto.input[0]))?.at(-1);
    if (heads === 0 || typeof columns !== 'number') continue;
    const isPacked = (proto.input[1] ?? '') === '';
    return columns / (isPacked ? heads + 2 * inferred.attrs.int('kv_num_heads', heads) : heads);
  }
  return null;
}

function shapeOf(type: ValueType | null): Shape | null {
  return type?.kind === 'tensor' ? type.shape : null;
}

/** Operators between an input and the table that it indexes. */
const CARRIERS: ReadonlySet<string> = new Set([
  'Cast',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Identity',
]);

/** Fewest rows of the tables that an integer input indexes. */
function indexedRows(facts: SplitFacts): Map<string, number> {
  const origin = new Map<string, string>(facts.inputs.map((name) => [name, name]));
  const rows = new Map<string, number>();
  for (const { proto, inferred } of facts.nodes) {
    if (inferred === null || inferred.domain !== '') continue;
    const carried = origin.get(proto.input[0] ?? '');
    if (carried !== undefined && CARRIERS.has(inferred.opType)) origin.set(proto.output[0], carried);
    const input = origin.get(proto.input[1] ?? '');
    const table = facts.type(proto.input[0] ?? '');
    if (inferred.opType !== 'Gather' || input === undefined || table?.kind !== 'tensor') continue;
    const axis = inferred.attrs.int('axis', 0);
    const size = table.shape?.at(axis);
    if (typeof size === 'number') rows.set(input, Math.min(size, rows.get(input) ?? Infinity));
  }
  return rows;
}
