/**
 * Recurrent networks. FLOP = 2*sequence*batch*directions*gates*hidden*(input + hidden) for the products of W and R, and
 * about 10 per gate element for activations and gating. The backward pass reads the gates' activations of every step.
 */
import { dtypeBytes } from '../model/dtype.js';
import { needsGrad } from './defaults.js';
import { dimText, ranked, unify } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import { present } from './product_rule.js';
import type { BackwardRule, Dim, FactorRule, InferContext, OpFamily, OpInstance, OpRule } from './types.js';

const GATE_FLOP = 10;

interface Cell {
  readonly gates: number;
  /** Has a cell state beside the hidden state. */
  readonly cellState: boolean;
  /** Weights are [directions, input, gates*hidden] (ORT's quantised LSTM) instead of [directions, gates*hidden, input]. */
  readonly inputFirst: boolean;
}

const RNN: Cell = { gates: 1, cellState: false, inputFirst: false };
const GRU: Cell = { gates: 3, cellState: false, inputFirst: false };
const LSTM: Cell = { gates: 4, cellState: true, inputFirst: false };
const QUANTIZED_LSTM: Cell = { ...LSTM, inputFirst: true };

function inferCell(cell: Cell): (ctx: InferContext) => void {
  return (ctx) => {
    const x = ranked(ctx, 0, 3, 3);
    const w = ranked(ctx, 1, 3, 3);
    const r = ranked(ctx, 2, 3, 3);
    const direction = ctx.attrs.string('direction', 'forward');
    if (!['forward', 'reverse', 'bidirectional'].includes(direction))
      ctx.fail(`attribute direction: expected forward, reverse or bidirectional, found ${direction}`);
    const directions: Dim = direction === 'bidirectional' ? 2 : 1;
    if (w !== null) unify(ctx, directions, w[0], 'directions of W');
    const stated = ctx.attrs.optionalInt('hidden_size');
    const recurrent = r === null ? null : cell.inputFirst ? r[1] : r[2];
    let hidden: Dim = stated ?? recurrent ?? ctx.freshDim();
    if (stated !== null && recurrent !== null)
      hidden = unify(ctx, stated, recurrent, 'hidden_size and columns of R');
    const inner = w === null ? null : cell.inputFirst ? w[1] : w[2];
    if (x !== null && inner !== null) unify(ctx, inner, x[2], 'input size');
    const gateRows = w === null ? null : cell.inputFirst ? w[2] : w[1];
    if (typeof gateRows === 'number' && typeof hidden === 'number' && gateRows !== cell.gates * hidden)
      ctx.fail(`W: expected ${String(cell.gates * hidden)} gate rows, found ${dimText(gateRows)}`);
    const batchFirst = ctx.attrs.int('layout', 0) !== 0;
    const [seq, batch] =
      x === null ? [ctx.freshDim(), ctx.freshDim()] : batchFirst ? [x[1], x[0]] : [x[0], x[1]];
    const dtype = ctx.dtype(0);
    // Opset 1..6: the whole sequence is an output only when asked for; the slot is there either way.
    if (ctx.hasOutput(0))
      ctx.setTensor(
        0,
        dtype,
        batchFirst ? [batch, seq, directions, hidden] : [seq, directions, batch, hidden],
      );
    const state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
    if (ctx.hasOutput(1)) ctx.setTensor(1, dtype, state);
    if (cell.cellState && ctx.hasOutput(2)) ctx.setTensor(2, dtype, state);
  };
}

interface Sizes {
  readonly seq: number;
  readonly batch: number;
  readonly input: number;
  readonly directions: number;
  readonly hidden: number;
}

function sizesOf(op: OpInstance, cell: Cell): Sizes {
  const x = op.inputShape(0) ?? [1, 1, 1];
  const r = op.inputShape(2) ?? [1, cell.gates, 1];
  const batchFirst = op.attrs.int('layout', 0) !== 0;
  return {
    seq: batchFirst ? x[1] : x[0],
    batch: batchFirst ? x[0] : x[1],
    input: x[2],
    directions: r[0],
    hidden: cell.inputFirst ? r[1] : r[2],
  };
}

function cellFlop(op: OpInstance, cell: Cell): number {
  const s = sizesOf(op, cell);
  const gateElements = s.seq * s.batch * s.directions * cell.gates * s.hidden;
  return gateElements * (2 * (s.input + s.hidden) + GATE_FLOP);
}

/** Batch and directions parallel; the recurrence keeps sequence and hidden units whole, and so the gates. */
function cellFactors(op: OpInstance, cell: Cell): FactorRule {
  const b = new FactorBuilder(op);
  const s = sizesOf(op, cell);
  const batchFirst = op.attrs.int('layout', 0) !== 0;
  const [seq, batch, dir] = [b.whole(s.seq), b.parallel(s.batch), b.parallel(s.directions)];
  const [input, hidden, gate] = [b.whole(s.input), b.whole(s.hidden), b.whole(cell.gates)];
  // Input to the recurrent product; another index than the hidden units it produces.
  const inner = b.whole(s.hidden);
  const state: Layout = batchFirst ? [[batch], [dir], [hidden]] : [[dir], [batch], [hidden]];
  const gates = [gate, hidden];
  const matrix = (column: number): Layout =>
    cell.inputFirst ? [[dir], [column], gates] : [[dir], gates, [column]];
  return b.rule(
    [
      batchFirst ? [[batch], [seq], [input]] : [[seq], [batch], [input]],
      matrix(input),
      matrix(inner),
      [[dir], [b.whole(2), ...gates]],
      [[batch]],
      state,
      state,
      [[dir], [b.whole(3), hidden]],
    ],
    [batchFirst ? [[batch], [seq], [dir], [hidden]] : [[seq], [dir], [batch], [hidden]], state, state],
  );
}

function cellBackward(op: OpInstance, cell: Cell): BackwardRule | null {
  const s = sizesOf(op, cell);
  const gateElements = s.seq * s.batch * s.directions * cell.gates * s.hidden;
  const products: readonly number[] = [2 * s.input, 2 * s.input, 2 * s.hidden];
  const grads: { input: number; flop: number }[] = [];
  for (const input of [0, 1, 2])
    if (needsGrad(op, input)) grads.push({ input, flop: gateElements * products[input] });
  if (grads.length === 0) return null;
  // The gradient through time repeats the recurrent product whichever input it is for.
  grads[0] = { ...grads[0], flop: grads[0].flop + gateElements * (2 * s.hidden + GATE_FLOP) };
  for (const input of [3, 5, 6, 7]) if (needsGrad(op, input)) grads.push({ input, flop: gateElements });
  const dtype = op.inputDtype(0);
  const cells = cell.cellState ? s.seq * s.batch * s.directions * s.hidden : 0;
  const outputs = op.outputShape(0) === null ? [] : [0];
  const hiddenBytes = outputs.length > 0 ? 0 : dtypeBytes(dtype, s.seq * s.batch * s.directions * s.hidden);
  return {
    grads,
    savesInputs: present(op, [0, 1, 2]),
    savesOutputs: outputs,
    extraSavedBytes: dtypeBytes(dtype, gateElements + cells) + hiddenBytes,
  };
}

function recurrent(cell: Cell): OpRule {
  return {
    infer: inferCell(cell),
    work: (op) => ({ flop: cellFlop(op, cell), kernel: 'other' }),
    factors: (op) => cellFactors(op, cell),
    backward: (op) => cellBackward(op, cell),
  };
}

export const dynamicQuantizeLstm = recurrent(QUANTIZED_LSTM);

export const family: OpFamily = {
  domain: '',
  rules: { RNN: recurrent(RNN), GRU: recurrent(GRU), LSTM: recurrent(LSTM) },
};
