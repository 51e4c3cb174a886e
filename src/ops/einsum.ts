/**
 * Einsum: every letter of the equation is a factor. Letters of the output are parallel, the others are summed over.
 * FLOP: the operands are contracted from left to right, each step 2 FLOP per point of its index space when it sums or
 * multiplies (as numpy's unoptimised path).
 */
import { broadcastDim } from './broadcast.js';
import { needsGrad } from './defaults.js';
import { dimText, firstDtype } from './expect.js';
import { FactorBuilder, type Layout } from './factor_builder.js';
import type { Dim, InferContext, OpInstance, OpRule, Shape } from './types.js';

interface Equation {
  /** Indices per operand; an ellipsis has become the indices `0`, `1`, ... counted from the right of the batch. */
  readonly terms: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/**
 * @param ranks of the operands
 * @returns a message when the equation does not fit them
 */
function parse(text: string, ranks: readonly number[]): Equation | string {
  const equation = text.replace(/\s+/g, '');
  const arrow = equation.indexOf('->');
  const left = (arrow < 0 ? equation : equation.slice(0, arrow)).split(',');
  if (left.length !== ranks.length)
    return `equation "${text}" has ${String(left.length)} operands, the node ${String(ranks.length)} inputs`;
  let batchRank = 0;
  for (let i = 0; i < left.length; i++)
    if (left[i].includes('...')) batchRank = Math.max(batchRank, ranks[i] - (left[i].length - 3));
  const terms: string[][] = [];
  for (let i = 0; i < left.length; i++) {
    const term = left[i];
    const at = term.indexOf('...');
    const letters = at < 0 ? [...term] : [...term.slice(0, at), ...term.slice(at + 3)];
    const free = ranks[i] - letters.length;
    if (letters.some((c) => !/[A-Za-z]/.test(c))) return `equation "${text}" is malformed`;
    if (at < 0 ? free !== 0 : free < 0)
      return `term "${term}" of the equation does not fit an operand of rank ${String(ranks[i])}`;
    if (at >= 0) letters.splice(at, 0, ...batchIndices(free));
    terms.push(letters);
  }
  return { terms, output: outputIndices(equation, arrow, terms, batchRank) };
}

/** Names of broadcast indices, the last always `0`. */
function batchIndices(count: number): string[] {
  return Array.from({ length: count }, (_, k) => String(count - 1 - k));
}

function outputIndices(
  equation: string,
  arrow: number,
  terms: readonly string[][],
  batchRank: number,
): string[] {
  if (arrow >= 0) {
    const right = equation.slice(arrow + 2);
    const at = right.indexOf('...');
    if (at < 0) return [...right];
    return [...right.slice(0, at), ...batchIndices(batchRank), ...right.slice(at + 3)];
  }
  const count = new Map<string, number>();
  for (const t of terms) for (const c of t) count.set(c, (count.get(c) ?? 0) + 1);
  const letters = [...count.keys()].filter((c) => count.get(c) === 1 && /[A-Za-z]/.test(c)).sort();
  return [...batchIndices(batchRank), ...letters];
}

function inferEinsum(ctx: InferContext): void {
  const dtype = firstDtype(ctx, 0, 1);
  const shapes: Shape[] = [];
  for (let i = 0; i < ctx.inputCount; i++) {
    const shape = ctx.shape(i);
    if (shape === null) {
      ctx.setTensor(0, dtype, null);
      return;
    }
    shapes.push(shape);
  }
  const text = ctx.attrs.string('equation', '');
  const equation = parse(
    text,
    shapes.map((s) => s.length),
  );
  if (typeof equation === 'string') ctx.fail(equation);
  const size = new Map<string, Dim>();
  equation.terms.forEach((term, i) =>
    term.forEach((index, k) => {
      const d = shapes[i][k];
      const seen = size.get(index) ?? 1;
      const both = broadcastDim(seen, d);
      if (both === null)
        ctx.fail(`index ${index} of equation "${text}": expected ${dimText(seen)}, found ${dimText(d)}`);
      size.set(index, both);
    }),
  );
  const shape: Dim[] = [];
  for (const index of equation.output) {
    const d = size.get(index);
    if (d === undefined) ctx.fail(`output index ${index} of equation "${text}" is in no operand`);
    shape.push(d);
  }
  ctx.setTensor(0, dtype, shape);
}

function sized(op: OpInstance): { equation: Equation; size: Map<string, number> } | null {
  const shapes: (readonly number[])[] = [];
  for (let i = 0; i < op.inputCount; i++) shapes.push(op.inputShape(i) ?? []);
  const equation = parse(
    op.attrs.string('equation', ''),
    shapes.map((s) => s.length),
  );
  if (typeof equation === 'string') return null;
  const size = new Map<string, number>();
  equation.terms.forEach((term, i) =>
    term.forEach((index, k) => size.set(index, Math.max(size.get(index) ?? 1, shapes[i][k]))),
  );
  return { equation, size };
}

function einsumFlop(op: OpInstance): number {
  const s = sized(op);
  if (s === null) return 0;
  const { terms, output } = s.equation;
  const points = (indices: Iterable<string>): number => {
    let n = 1;
    for (const c of indices) n *= s.size.get(c) ?? 1;
    return n;
  };
  if (terms.length === 1) return new Set(terms[0]).size > output.length ? points(new Set(terms[0])) : 0;
  let flop = 0;
  let held = new Set(terms[0]);
  for (let i = 1; i < terms.length; i++) {
    const joined = new Set([...held, ...terms[i]]);
    const later = new Set([...output, ...terms.slice(i + 1).flat()]);
    const kept = new Set([...joined].filter((c) => later.has(c)));
    // Without a sum it is a product of elements: one FLOP a point.
    flop += (kept.size < joined.size ? 2 : 1) * points(joined);
    held = kept;
  }
  return flop;
}

export const einsum: OpRule = {
  infer: inferEinsum,
  work(op) {
    const s = sized(op);
    const flop = einsumFlop(op);
    if (s === null) return { flop, kernel: 'other' };
    const sums = [...s.size.keys()].some((c) => !s.equation.output.includes(c));
    if (s.equation.terms.length === 1) return { flop, kernel: sums ? 'reduce' : 'move' };
    return { flop, kernel: sums ? 'gemm' : 'elementwise' };
  },
  factors(op) {
    const b = new FactorBuilder(op);
    const s = sized(op);
    if (s === null) return b.rule([], []);
    const id = new Map<string, number>();
    for (const [index, n] of s.size) {
      const repeated = s.equation.terms.some((t) => t.indexOf(index) !== t.lastIndexOf(index));
      id.set(
        index,
        b.add(n, repeated ? 'whole' : s.equation.output.includes(index) ? 'parallel' : 'contraction'),
      );
    }
    const layout = (term: readonly string[]): Layout => term.map((c) => [id.get(c)!]);
    let activations = 0;
    for (let i = 0; i < op.inputCount; i++) if (!op.inputIsParameter(i)) activations++;
    return b.rule(s.equation.terms.map(layout), [layout(s.equation.output)], activations === 1);
  },
  backward(op) {
    const flop = einsumFlop(op);
    const inputs: number[] = [];
    for (let i = 0; i < op.inputCount; i++) if (needsGrad(op, i)) inputs.push(i);
    if (inputs.length === 0) return null;
    return {
      grads: inputs.map((input) => ({ input, flop })),
      // Each gradient reads all other operands.
      savesInputs: Array.from({ length: op.inputCount }, (_, i) => i)
        .filter((i) => op.inputShape(i) !== null)
        .filter((i) => inputs.some((g) => g !== i)),
      savesOutputs: [],
    };
  },
};
