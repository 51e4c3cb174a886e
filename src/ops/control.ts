/** Control flow: types of the subgraphs' outputs, merged or stacked. Their bodies are costed from the inferred subgraph. */
import { DType } from '../model/dtype.js';
import type { GraphProto } from '../model/types.js';
import * as dim from './dim.js';
import type { Dim, InferContext, OpFamily, OpRule, Shape, ValueType } from './types.js';

/** A type that both are: dimensions that differ become unknown. */
export function mergeTypes(ctx: InferContext, a: ValueType | null, b: ValueType | null): ValueType | null {
  if (a === null || b === null) return a ?? b;
  if (a.kind !== b.kind) {
    if (a.kind === 'optional') return { kind: 'optional', elem: mergeTypes(ctx, a.elem, b) };
    if (b.kind === 'optional') return { kind: 'optional', elem: mergeTypes(ctx, a, b.elem) };
    return ctx.fail(`branches return a ${a.kind} and a ${b.kind}`);
  }
  if ((a.kind === 'sequence' && b.kind === 'sequence') || (a.kind === 'optional' && b.kind === 'optional')) {
    return { kind: a.kind, elem: mergeTypes(ctx, a.elem, b.elem) };
  }
  if (a.kind === 'tensor' && b.kind === 'tensor') {
    return {
      kind: 'tensor',
      dtype: a.dtype === DType.UNDEFINED ? b.dtype : a.dtype,
      shape: mergeShapes(ctx, a.shape, b.shape),
    };
  }
  return a;
}

function mergeShapes(ctx: InferContext, a: Shape | null, b: Shape | null): Shape | null {
  if (a === null || b === null || a.length !== b.length) return null;
  return a.map((d, i) => (d === b[i] ? d : ctx.freshDim()));
}

const NO_WORK = { flop: 0, kernel: 'other' } as const;

const ifThenElse: OpRule = {
  infer(ctx) {
    const branches = [requiredGraph(ctx, 'then_branch'), requiredGraph(ctx, 'else_branch')];
    const condition = ctx.value(0)?.elements[0];
    const outputs = branches.map((g) => ctx.subgraph(g, []));
    for (let i = 0; i < ctx.outputCount; i++) {
      const [then, otherwise] = [outputs[0][i] ?? null, outputs[1][i] ?? null];
      // A condition that shapes decide leaves one branch.
      const type =
        typeof condition === 'number'
          ? condition !== 0
            ? then
            : otherwise
          : mergeTypes(ctx, then, otherwise);
      if (type !== null) ctx.setOutput(i, type);
    }
  },
  work: () => NO_WORK,
};

function requiredGraph(ctx: InferContext, name: string): GraphProto {
  return ctx.attrs.graph(name) ?? ctx.fail(`${ctx.opType} without its graph \`${name}\``);
}

/**
 * Loop: state of varying shape loses the dimensions that the body changes; scan outputs are stacked in front.
 * The body may end the loop early, so that even a known trip count does not tell how many are stacked.
 */
const loop: OpRule = {
  infer(ctx) {
    const body = requiredGraph(ctx, 'body');
    const carried = ctx.inputCount - 2;
    const scalar = (dtype: DType): ValueType => ({ kind: 'tensor', dtype, shape: [] });
    const state: (ValueType | null)[] = [];
    for (let i = 0; i < carried; i++) state.push(ctx.type(i + 2));
    let outputs = ctx.subgraph(body, [scalar(DType.INT64), scalar(DType.BOOL), ...state]);
    // A second pass with what changed made unknown: the fixed point of this lattice needs no third.
    const settled = state.map((t, i) => settle(ctx, t, outputs[i + 1] ?? null));
    if (settled.some((t, i) => t !== state[i])) {
      outputs = ctx.subgraph(body, [scalar(DType.INT64), scalar(DType.BOOL), ...settled]);
    }
    for (let i = 0; i < ctx.outputCount; i++) {
      const type = outputs[i + 1] ?? null;
      if (i < carried) {
        const t = settled[i] ?? type;
        if (t !== null) ctx.setOutput(i, t);
      } else if (type?.kind === 'tensor') {
        const shape = type.shape === null ? null : [ctx.freshDim(), ...type.shape];
        ctx.setTensor(i, type.dtype, shape);
      }
    }
  },
  work: () => NO_WORK,
};

/** `before` when the body keeps the type, else with the changed dimensions unknown. */
function settle(ctx: InferContext, before: ValueType | null, after: ValueType | null): ValueType | null {
  if (before?.kind !== 'tensor' || after?.kind !== 'tensor') return mergeLoose(before, after);
  if (before.shape === null || after.shape?.length !== before.shape.length) {
    return before.shape === null ? before : { ...before, shape: null };
  }
  const next = after.shape;
  if (before.shape.every((d, i) => d === next[i])) return before;
  return { ...before, shape: before.shape.map((d, i) => (d === next[i] ? d : ctx.freshDim())) };
}

/** Sequences that start empty take the element type the body gives them. */
function mergeLoose(before: ValueType | null, after: ValueType | null): ValueType | null {
  if (before === null) return after;
  if (before.kind === 'sequence' && before.elem === null && after?.kind === 'sequence') return after;
  return before;
}

/** Scan (opset 9): inputs are states then scanned tensors; opset 8 has a leading batch axis and a lengths input. */
const scan: OpRule = {
  infer(ctx) {
    const body = requiredGraph(ctx, 'body');
    const legacy = ctx.version < 9;
    const scanned = ctx.attrs.int('num_scan_inputs', 0);
    const first = legacy ? 1 : 0;
    const states = ctx.inputCount - first - scanned;
    const lead = legacy ? 1 : 0;
    let length: Dim | null = null;
    let batch: Dim | null = null;
    const formal: (ValueType | null)[] = [];
    for (let i = 0; i < states + scanned; i++) {
      const type = ctx.type(i + first);
      if (type?.kind !== 'tensor' || type.shape === null) {
        formal.push(type);
        continue;
      }
      const shape = [...type.shape];
      if (legacy) batch = shape[0] ?? batch;
      if (i < states) {
        formal.push({ ...type, shape: shape.slice(lead) });
        continue;
      }
      const given = ctx.attrs.ints('scan_input_axes')?.[i - states] ?? 0;
      const axis = legacy ? 1 : given < 0 ? given + shape.length : given;
      if (!(axis >= 0 && axis < shape.length))
        ctx.fail(`scan axis ${String(given)} of ${dim.shapeText(type.shape)}`);
      length ??= shape[axis];
      shape.splice(axis, 1);
      formal.push({ ...type, shape: shape.slice(lead) });
    }
    const outputs = ctx.subgraph(body, formal);
    for (let i = 0; i < ctx.outputCount; i++) {
      const type = outputs[i] ?? null;
      if (type?.kind !== 'tensor' || type.shape === null) {
        if (type !== null) ctx.setOutput(i, type);
        continue;
      }
      const shape: Dim[] = [...type.shape];
      if (i >= states) {
        const given = ctx.attrs.ints('scan_output_axes')?.[i - states] ?? 0;
        shape.splice(given < 0 ? given + shape.length + 1 : given, 0, length ?? ctx.freshDim());
      }
      if (legacy) shape.unshift(batch ?? ctx.freshDim());
      ctx.setTensor(i, type.dtype, shape);
    }
  },
  work: () => NO_WORK,
};

export const family: OpFamily = { domain: '', rules: { If: ifThenElse, Loop: loop, Scan: scan } };
