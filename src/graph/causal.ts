/**
 * Tells which tensors are causal masks: by where they come from, not by what they are called. A mask is born triangular as
 * Trilu, as a comparison of key positions (along the last dimension) with query positions (along the one before), or as a
 * constant table; logic, selection and arithmetic with anything else keep it so.
 *
 * For booleans the sense matters: ALLOW is true where the key may be seen, so `and` keeps it causal and `or` does not;
 * BLOCK is the opposite. Additive masks and products have no sense.
 */
import { DType, isFloat } from '../model/dtype.js';
import type { Attributes, KnownValue, Shape } from '../ops/types.js';

/** What the analysis reads; value ids index all tensors of the graph, folded ones included. */
export interface MaskGraph {
  readonly valueCount: number;
  /** In topological order. */
  readonly nodes: readonly {
    readonly opType: string;
    readonly domain: string;
    readonly attrs: Attributes;
    readonly inputs: readonly number[];
    readonly outputs: readonly number[];
  }[];
  shape(value: number): Shape | null;
  dtype(value: number): DType;
  known(value: number): KnownValue | null;
  /**
   * Elements of a constant too large to be known; `null` when it is no constant, `undefined` when it is one whose data is not
   * at hand.
   */
  table(value: number): ArrayLike<number> | null | undefined;
}

const NONE = 0;
const ALLOW = 1;
const BLOCK = 2;
/** Triangular, sense unknown or not boolean. */
const TRIANGLE = 3;

const CARRIERS: ReadonlySet<string> = new Set([
  'Cast', 'CastLike', 'Identity', 'Expand', 'Reshape', 'Unsqueeze', 'Squeeze', 'Slice', 'Tile', 'Concat', 'Dropout',
  'Mul', 'Add', 'Sub', 'Div', 'Min', 'Max', 'Neg', 'Clip', 'ScatterND', 'ScatterElements', 'Gather', 'Flatten', 'Pad',
]); // prettier-ignore

/** Per value: 1 when it is a causal mask. */
export function findTriangular(graph: MaskGraph): Uint8Array {
  const state = new Uint8Array(graph.valueCount);
  // 1: holds positions 0, 1, 2, ... along one dimension (possibly shifted).
  const positions = new Uint8Array(graph.valueCount);
  const checked = new Uint8Array(graph.valueCount);
  const inspect = (v: number): void => {
    if (v < 0 || checked[v]) return;
    checked[v] = 1;
    const known = graph.known(v);
    if (known === null) {
      if (state[v] === NONE) state[v] = largeTableState(graph, v);
      return;
    }
    if (state[v] === NONE) state[v] = tableState(known);
    if (isConsecutive(known)) positions[v] = 1;
  };
  for (const { opType, domain, inputs, outputs, attrs } of graph.nodes) {
    for (const v of inputs) inspect(v);
    const out = outputs[0];
    if (out === undefined || out < 0 || domain !== '') continue;
    const a = inputs[0] ?? -1;
    const b = inputs[1] ?? -1;
    const stateOf = (v: number): number => (v < 0 ? NONE : state[v]);
    const isPosition = (v: number): boolean => v >= 0 && positions[v] === 1;
    switch (opType) {
      case 'Range':
        positions[out] = 1;
        break;
      case 'CumSum':
        positions[out] = 1;
        break;
      case 'Trilu': {
        const upper = attrs.int('upper', 1) === 1;
        if (graph.dtype(out) === DType.BOOL) state[out] = upper ? BLOCK : ALLOW;
        else state[out] = TRIANGLE;
        break;
      }
      case 'LessOrEqual':
      case 'Less':
      case 'GreaterOrEqual':
      case 'Greater': {
        if (isPosition(a) && isPosition(b)) state[out] = compareState(graph, opType, a, b);
        else if (stateOf(a) === TRIANGLE || stateOf(b) === TRIANGLE) state[out] = TRIANGLE;
        break;
      }
      case 'Equal':
        if (stateOf(a) !== NONE || stateOf(b) !== NONE) state[out] = TRIANGLE;
        break;
      case 'And':
      case 'BitwiseAnd':
        state[out] = has(state, inputs, ALLOW) || has(state, inputs, TRIANGLE) || NONE;
        break;
      case 'Or':
      case 'BitwiseOr':
        state[out] = has(state, inputs, BLOCK) || has(state, inputs, TRIANGLE) || NONE;
        break;
      case 'Not':
        state[out] = stateOf(a) === ALLOW ? BLOCK : stateOf(a) === BLOCK ? ALLOW : stateOf(a);
        break;
      case 'Where': {
        // A triangle as condition makes a triangle; selected values stay one where the condition only adds padding.
        const branch = has(state, inputs.slice(1), TRIANGLE) || has(state, inputs.slice(1), ALLOW);
        if (stateOf(a) !== NONE) state[out] = TRIANGLE;
        else if (branch !== NONE) state[out] = branch;
        break;
      }
      default:
        if (!CARRIERS.has(opType)) break;
        for (const v of inputs) {
          if (stateOf(v) !== NONE) {
            const senseKept = graph.dtype(out) === DType.BOOL && graph.dtype(v) === DType.BOOL;
            state[out] = senseKept ? state[v] : TRIANGLE;
          }
          if (
            isPosition(v) &&
            !isFloat(graph.dtype(v)) &&
            opType !== 'Mul' &&
            opType !== 'Gather' &&
            opType !== 'Concat'
          )
            positions[out] = 1;
        }
        // What has no two trailing dimensions to be triangular in is no mask.
        if ((graph.shape(out)?.length ?? 2) < 2) state[out] = NONE;
    }
    inspect(out);
  }
  const result = new Uint8Array(graph.valueCount);
  for (let v = 0; v < graph.valueCount; v++) if (state[v] !== NONE) result[v] = 1;
  return result;
}

/** `kind` when any input has it, else NONE. */
function has(state: Uint8Array, inputs: readonly number[], kind: number): number {
  for (const v of inputs) if (v >= 0 && state[v] === kind) return kind;
  return NONE;
}

/** Sense of a comparison of positions, one of which runs along the last dimension (keys), the other before it (queries). */
function compareState(graph: MaskGraph, opType: string, a: number, b: number): number {
  const keysFirst = runsAlongLast(graph.shape(a)) && !runsAlongLast(graph.shape(b));
  const keysSecond = runsAlongLast(graph.shape(b)) && !runsAlongLast(graph.shape(a));
  if (!keysFirst && !keysSecond) return NONE;
  const less = opType === 'Less' || opType === 'LessOrEqual';
  return less === keysFirst ? ALLOW : BLOCK;
}

function runsAlongLast(shape: Shape | null): boolean {
  return shape !== null && shape.length > 0 && shape[shape.length - 1] !== 1;
}

/**
 * A constant mask beyond the size that inference follows. Where its data is not at hand (weights left out of the file), a
 * square boolean table can hardly be anything but causal: one that is the same for all samples and hides nothing would be
 * pointless.
 */
function largeTableState(graph: MaskGraph, v: number): number {
  const shape = graph.shape(v);
  const rank = shape?.length ?? 0;
  if (shape === null || rank < 2 || shape[rank - 1] !== shape[rank - 2] || shape[rank - 1] === 1) return NONE;
  for (let d = 0; d < rank - 2; d++) if (shape[d] !== 1) return NONE;
  const dtype = graph.dtype(v);
  const table = graph.table(v);
  if (table === null) return NONE;
  if (table === undefined) return dtype === DType.BOOL ? TRIANGLE : NONE;
  return isTriangle(table, shape[rank - 1] as number) ? TRIANGLE : NONE;
}

function isTriangle(elements: ArrayLike<number>, columns: number): boolean {
  const low = elements[0];
  const high = elements[1];
  if (low === high) return false;
  for (let i = 0; i < elements.length; i++) {
    const column = i % columns;
    if (elements[i] !== (column <= (i - column) / columns ? low : high)) return false;
  }
  return true;
}

/** A constant whose trailing two dimensions form a triangle: equal below and on the diagonal, something else above it. */
function tableState(value: KnownValue): number {
  const { dims, elements, dtype } = value;
  const rank = dims.length;
  if (rank < 2) return NONE;
  const rows = dims[rank - 2];
  const columns = dims[rank - 1];
  if (rows < 2 || rows !== columns) return NONE;
  const low = elements[0];
  const high = elements[1];
  if (low === high) return NONE;
  for (let i = 0; i < elements.length; i++) {
    const column = i % columns;
    const row = Math.floor(i / columns) % rows;
    const shifted = column <= row ? low : high;
    if (elements[i] !== shifted) return NONE;
  }
  if (dtype !== DType.BOOL) return TRIANGLE;
  return low === 1 ? ALLOW : BLOCK;
}

function isConsecutive(value: KnownValue): boolean {
  const { elements } = value;
  if (elements.length < 2 || isFloat(value.dtype)) return false;
  const first = elements[0];
  if (typeof first !== 'number') return false;
  for (let i = 1; i < elements.length; i++) if (elements[i] !== first + i) return false;
  return true;
}
