/** Arithmetic and activations, element by element (default domain). */
import { DType, isFloat } from '../model/dtype.js';
import { alignDims, broadcastFactors } from './broadcast.js';
import { gradInputs, needsGrad, outputElements } from './defaults.js';
import * as dim from './dim.js';
import * as fold from './fold_math.js';
import { binary, pointwiseBackward, unary, variadic } from './pointwise.js';
import type { BackwardRule, Dim, OpFamily, OpInstance, OpRule } from './types.js';

/** d(xy) = y dx + x dy: an operand is read again only when the other one's gradient is wanted. */
function productBackward(op: OpInstance): BackwardRule | null {
  const grads = gradInputs(op);
  if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
  const flop = outputElements(op);
  const saved: number[] = [];
  if (needsGrad(op, 1)) saved.push(0);
  if (needsGrad(op, 0)) saved.push(1);
  return { grads: grads.map((input) => ({ input, flop })), savesInputs: saved, savesOutputs: [] };
}

/** d(x/y) = dx/y - (x/y) dy/y: the divisor always, the dividend only for the divisor's gradient. */
function quotientBackward(op: OpInstance): BackwardRule | null {
  const grads = gradInputs(op);
  if (grads.length === 0 || !isFloat(op.outputDtype(0))) return null;
  const flop = outputElements(op);
  return {
    grads: grads.map((input) => ({ input, flop: input === 0 ? flop : 3 * flop })),
    savesInputs: needsGrad(op, 1) ? [0, 1] : [1],
    savesOutputs: [],
  };
}

/** A partial sum may pass a product with something that is no activation: a weight or a constant. */
function isScaling(op: OpInstance): boolean {
  const fixed = (i: number): boolean => op.inputIsParameter(i) || op.inputValue(i) !== null;
  return fixed(0) || fixed(1);
}

/** max, min: the gradient goes where the comparison says; both operands are compared again. */
const selecting = (f: typeof fold.max): OpRule => variadic({ saves: 'inputs', fold: f });

/** An activation whose gradient reads its input. */
const fromInput = (flop: number): OpRule => unary({ flop, saves: 'inputs' });
/** An activation whose gradient reads its output. */
const fromOutput = (flop: number): OpRule => unary({ flop, saves: 'output' });

const clip: OpRule = {
  infer(ctx) {
    const lowest = clipBound(ctx.attrs.has('min') ? ctx.attrs.float('min', 0) : null, ctx.value(1));
    const highest = clipBound(ctx.attrs.has('max') ? ctx.attrs.float('max', 0) : null, ctx.value(2));
    const x = ctx.value(0);
    const unknownBound = (ctx.hasInput(1) && lowest === null) || (ctx.hasInput(2) && highest === null);
    if (x === null || unknownBound) return ctx.setTensor(0, ctx.dtype(0), ctx.shape(0));
    const elements = x.elements.map((e) => {
      const raised = lowest === null ? e : dim.max(e, lowest);
      return highest === null ? raised : dim.min(raised, highest);
    });
    ctx.setTensor(0, ctx.dtype(0), ctx.shape(0), { ...x, elements });
  },
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'elementwise' }),
  factors: (op) => broadcastFactors(op),
  backward: (op) => firstOnly(op, 1),
};

function clipBound(attribute: number | null, input: { elements: readonly Dim[] } | null): number | null {
  const e = input?.elements[0];
  return typeof e === 'number' ? e : attribute;
}

/** Gradient with respect to input 0 only, which is saved. */
function firstOnly(op: OpInstance, flop: number): BackwardRule | null {
  if (!needsGrad(op, 0)) return null;
  return { grads: [{ input: 0, flop: flop * outputElements(op) }], savesInputs: [0], savesOutputs: [] };
}

/** The slope is stretched to the input, never the other way round. Opset 1-6 aligned it with the channel axis. */
const prelu: OpRule = {
  infer: (ctx) => ctx.setTensor(0, ctx.dtype(0), ctx.shape(0)),
  work: (op) => ({ flop: 2 * outputElements(op), kernel: 'elementwise' }),
  factors(op) {
    const rule = broadcastFactors(op);
    const [x, slope] = [op.inputShape(0) ?? [], op.inputShape(1)];
    if (slope === null || slope.length > 1 || x.length < 2 || slope[0] !== x[1] || op.version >= 7)
      return rule;
    return { ...rule, inputs: [alignDims(x, x), [[1]]] };
  },
  backward: (op) => pointwiseBackward(op, 'inputs', 2),
};

export const family: OpFamily = {
  domain: '',
  rules: {
    Add: binary({ fold: fold.add, linear: true }),
    Sub: binary({ fold: fold.sub, linear: true }),
    Mul: binary({ fold: fold.mul, isLinear: isScaling, backward: productBackward }),
    Div: binary({
      fold: fold.div,
      isLinear: (op) => op.inputIsParameter(1) || op.inputValue(1) !== null,
      backward: quotientBackward,
    }),
    Mod: binary({ fold: (x, y, _, ctx) => fold.mod(x, y, ctx.attrs.int('fmod', 0) === 1), noGradient: true }),
    Pow: binary({
      fold: fold.pow,
      backward: (op) => {
        const rule = firstOnly(op, 2);
        if (rule === null || !needsGrad(op, 1)) return rule;
        const flop = 2 * outputElements(op);
        return {
          grads: [...rule.grads, { input: 1, flop }],
          savesInputs: [0, 1],
          savesOutputs: [0],
        };
      },
    }),
    BitShift: binary({ noGradient: true }),
    Sum: variadic({ saves: 'nothing', linear: true, fold: fold.add }),
    Mean: variadic({
      saves: 'nothing',
      linear: true,
      fold: fold.add,
      finish: (x, n) => fold.div(x, n, DType.FLOAT),
    }),
    Max: selecting(fold.max),
    Min: selecting(fold.min),

    Neg: unary({ saves: 'nothing', linear: true, fold: (x) => dim.neg(x) }),
    Abs: unary({
      fold: (x) => (typeof x === 'number' ? Math.abs(x) : dim.isNonNegative(x) ? x : null),
    }),
    Sign: unary({ noGradient: true, fold: fold.onNumbers(Math.sign) }),
    Floor: unary({ noGradient: true, fold: fold.rounding(Math.floor) }),
    Ceil: unary({ noGradient: true, fold: fold.rounding(Math.ceil) }),
    Round: unary({ noGradient: true, fold: fold.rounding(fold.roundHalfEven) }),
    Reciprocal: unary({ saves: 'output', fold: fold.onNumbers((x) => 1 / x) }),
    Sqrt: unary({ saves: 'output', fold: fold.onNumbers(Math.sqrt) }),
    Exp: unary({ saves: 'output', fold: fold.onNumbers(Math.exp) }),
    Log: unary({ fold: fold.onNumbers(Math.log) }),
    Sin: unary({ fold: fold.onNumbers(Math.sin) }),
    Cos: unary({ fold: fold.onNumbers(Math.cos) }),
    Tan: unary({ saves: 'output' }),
    Asin: unary({}),
    Acos: unary({}),
    Atan: unary({}),
    Sinh: unary({}),
    Cosh: unary({}),
    Asinh: unary({}),
    Acosh: unary({}),
    Atanh: unary({}),
    Erf: unary({}),

    Relu: unary({ saves: 'output', fold: (x) => dim.max(x, 0) }),
    Tanh: fromOutput(1),
    Sigmoid: fromOutput(3),
    LeakyRelu: fromOutput(2),
    ThresholdedRelu: fromOutput(1),
    HardSigmoid: fromOutput(3),
    Elu: fromOutput(3),
    Selu: fromOutput(4),
    Celu: fromInput(4),
    Softplus: fromInput(3),
    Softsign: fromInput(3),
    Shrink: fromInput(2),
    Gelu: fromInput(8),
    Swish: fromInput(4),
    Mish: fromInput(6),
    HardSwish: fromInput(5),
    Clip: clip,
    PRelu: prelu,
    Affine: unary({ flop: 2, saves: 'nothing' }),
    ScaledTanh: fromOutput(3),
    ParametricSoftplus: fromInput(4),
    Scale: unary({ saves: 'nothing', linear: true }),
  },
};
