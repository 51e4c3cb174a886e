/**
 * Symbolic dimensions: integer polynomials over named symbols and over floor-division, modulo, minimum and maximum of
 * such polynomials. Interned: two dimensions are equal exactly when they are `===`, so comparing shapes costs nothing.
 *
 * Every symbol stands for a dimension and is therefore taken to be >= 0; polynomials with negative coefficients may be
 * negative. Arithmetic on plain numbers never allocates.
 */
import {
  collect,
  divideTerm,
  fromAtom,
  functionAtom,
  intern,
  keyOf,
  makeTerm,
  multiplyTerms,
  termsOf,
  type Atom,
  type AtomKind,
  type Polynomial,
  type Term,
} from './polynomial.js';
import type { Dim, Shape } from './types.js';

export { symbol } from './polynomial.js';

// ---------------------------------------------------------------------------------------------------------------
// Arithmetic

export function add(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  if (b === 0) return a;
  return collect([...termsOf(a), ...termsOf(b)]);
}

export function neg(a: Dim): Dim {
  return typeof a === 'number' ? 0 - a : mul(a, -1);
}

export function sub(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (a === b) return 0;
  return add(a, neg(b));
}

export function mul(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 1) return b;
  if (b === 1) return a;
  if (a === 0 || b === 0) return 0;
  const product: Term[] = [];
  for (const x of termsOf(a)) for (const y of termsOf(b)) product.push(multiplyTerms(x, y));
  return collect(product);
}

/** Product of dimensions; 1 for none. */
export function product(dims: Shape, from = 0, to = dims.length): Dim {
  let p: Dim = 1;
  for (let i = from; i < to; i++) p = mul(p, dims[i]);
  return p;
}

/** `a / b` when b divides a for every value of the symbols (b not zero), else `null`. */
export function divideExact(a: Dim, b: Dim): Dim | null {
  if (b === 0) return null;
  if (typeof a === 'number' && typeof b === 'number') return a % b === 0 ? a / b : null;
  if (a === b) return 1;
  if (a === 0) return 0;
  const divisor = termsOf(b);
  const lead = divisor[0];
  const quotient: Term[] = [];
  let rest = a;
  // Polynomial long division; a quotient of more terms than this does not occur in shapes.
  for (let step = 0; step < 32 && rest !== 0; step++) {
    const q = divideTerm(termsOf(rest)[0], lead);
    if (q === null) return null;
    quotient.push(q);
    rest = sub(rest, mul(intern([q]), b));
  }
  return rest === 0 ? collect(quotient) : null;
}

/** Largest integer <= a / b. @throws Error on a zero divisor (callers check) */
export function floorDiv(a: Dim, b: Dim): Dim {
  if (b === 0) throw new Error('internal: division of a dimension by zero');
  if (typeof a === 'number' && typeof b === 'number') return Math.floor(a / b);
  if (b === 1) return a;
  const exact = divideExact(a, b);
  if (exact !== null) return exact;
  // floor((n*x + r) / n) = x + floor(r / n): pull out what divides, so that equal quotients have equal texts.
  const whole: Term[] = [];
  const rest: Term[] = [];
  const divisor = termsOf(b);
  if (divisor.length === 1) {
    for (const t of termsOf(a)) {
      const q = divideTerm(t, divisor[0]);
      if (q === null) rest.push(t);
      else whole.push(q);
    }
  } else rest.push(...termsOf(a));
  const [numerator, denominator] = cancel(collect(rest), b);
  const remainder =
    typeof numerator === 'number' && typeof denominator === 'number'
      ? Math.floor(numerator / denominator)
      : functionAtom('floorDiv', numerator, denominator);
  return add(collect(whole), remainder);
}

/** Divides both by the atoms and the integer they all share. */
function cancel(a: Dim, b: Dim): [Dim, Dim] {
  const terms = [...termsOf(a), ...termsOf(b)];
  let divisor = 0;
  for (const t of terms) divisor = gcd(divisor, Math.abs(t.coefficient));
  const shared: Atom[] = [];
  const lists = terms.map((t) => [...t.atoms]);
  for (const atom of terms[0]?.atoms ?? []) {
    if (!lists.every((l) => l.includes(atom))) continue;
    shared.push(atom);
    for (const l of lists) l.splice(l.indexOf(atom), 1);
  }
  if (divisor <= 1 && shared.length === 0) return [a, b];
  const by = intern([makeTerm(divisor, shared)]);
  return [divideExact(a, by) ?? a, divideExact(b, by) ?? b];
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** Smallest integer >= a / b, b > 0. */
export function ceilDiv(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return Math.ceil(a / b);
  return floorDiv(add(a, sub(b, 1)), b);
}

/** `a - b*floor(a/b)`, the sign of b (as Python and ONNX Mod with fmod=0). @throws Error on a zero divisor */
export function mod(a: Dim, b: Dim): Dim {
  if (b === 0) throw new Error('internal: modulo of a dimension by zero');
  if (typeof a === 'number' && typeof b === 'number') return a - b * Math.floor(a / b);
  if (divideExact(a, b) !== null) return 0;
  if (typeof b !== 'number') return functionAtom('mod', a, b);
  const rest: Term[] = [];
  for (const t of termsOf(a)) {
    const c = t.coefficient - b * Math.floor(t.coefficient / b);
    if (c !== 0) rest.push({ coefficient: c, atoms: t.atoms, key: t.key });
  }
  const left = collect(rest);
  return typeof left === 'number' ? left - b * Math.floor(left / b) : functionAtom('mod', left, b);
}

export function min(a: Dim, b: Dim): Dim {
  const order = compare(a, b);
  if (order !== null) return order <= 0 ? a : b;
  const absorbed = absorb('max', 'min', a, b);
  if (absorbed !== null) return absorbed;
  return keyOf(a) < keyOf(b) ? functionAtom('min', a, b) : functionAtom('min', b, a);
}

export function max(a: Dim, b: Dim): Dim {
  const order = compare(a, b);
  if (order !== null) return order >= 0 ? a : b;
  const absorbed = absorb('min', 'max', a, b);
  if (absorbed !== null) return absorbed;
  return keyOf(a) < keyOf(b) ? functionAtom('max', a, b) : functionAtom('max', b, a);
}

/** `max(min(x, y), y) = y` and `max(max(x, y), y) = max(x, y)`, and the same with both exchanged; `null` elsewhere. */
function absorb(inner: AtomKind, outer: AtomKind, a: Dim, b: Dim): Dim | null {
  for (const [f, other] of [
    [a, b],
    [b, a],
  ]) {
    const atom = loneAtom(f);
    if (atom === null || (atom.left !== other && atom.right !== other)) continue;
    if (atom.kind === inner) return other;
    if (atom.kind === outer) return f;
  }
  return null;
}

function loneAtom(d: Dim): Atom | null {
  if (typeof d === 'number') return null;
  const { terms } = d as Polynomial;
  return terms.length === 1 && terms[0].coefficient === 1 && terms[0].atoms.length === 1
    ? terms[0].atoms[0]
    : null;
}

// ---------------------------------------------------------------------------------------------------------------
// Questions

/** Interned: identity is equality. */
export function equal(a: Dim, b: Dim): boolean {
  return a === b;
}

/** True when the dimension cannot be negative: a non-negative number, or no negative coefficient. */
export function isNonNegative(d: Dim): boolean {
  if (typeof d === 'number') return d >= 0;
  for (const t of (d as Polynomial).terms) {
    if (t.coefficient < 0) return false;
    for (const a of t.atoms) if (!atomIsNonNegative(a)) return false;
  }
  return true;
}

function atomIsNonNegative(a: Atom): boolean {
  if (a.kind === 'symbol') return true;
  if (a.kind === 'max') return isNonNegative(a.left) || isNonNegative(a.right);
  if (a.kind === 'mod') return isNonNegative(a.right);
  return isNonNegative(a.left) && isNonNegative(a.right);
}

/** Sign of `a - b` where it is the same for all values of the symbols (0 and up: 1, where it may be zero too), else `null`. */
export function compare(a: Dim, b: Dim): -1 | 0 | 1 | null {
  if (a === b) return 0;
  const d = sub(a, b);
  if (typeof d === 'number') return d < 0 ? -1 : 1;
  if (isNonNegative(d)) return 1;
  return isNonNegative(neg(d)) ? -1 : null;
}

/** False when no values of the symbols make the two equal; true when they may be. */
export function canBeEqual(a: Dim, b: Dim): boolean {
  if (a === b) return true;
  const d = sub(a, b);
  if (typeof d === 'number') return false;
  const constant = constantTerm(d);
  if (constant === 0) return true;
  return !isNonNegative(constant > 0 ? sub(d, constant) : neg(sub(d, constant)));
}

function constantTerm(d: Dim): number {
  if (typeof d === 'number') return d;
  const last = (d as Polynomial).terms.at(-1)!;
  return last.key === '' ? last.coefficient : 0;
}

/** A number the dimension is never below; -Infinity when none is known. */
export function lowerBound(d: Dim): number {
  const constant = constantTerm(d);
  return isNonNegative(sub(d, constant)) ? constant : -Infinity;
}

/** Names of the symbols in the dimension, in order of appearance, each once. */
export function symbolsOf(d: Dim): string[] {
  const names = new Set<string>();
  const stack: Dim[] = [d];
  for (let e = stack.pop(); e !== undefined; e = stack.pop()) {
    if (typeof e === 'number') continue;
    for (const t of (e as Polynomial).terms)
      for (const a of t.atoms) {
        if (a.kind === 'symbol') names.add(a.name);
        else stack.push(a.left, a.right);
      }
  }
  return [...names];
}

/** The dimension with symbols replaced; a symbol without an entry stays. */
export function bind(d: Dim, values: ReadonlyMap<string, Dim>): Dim {
  if (typeof d === 'number' || values.size === 0) return d;
  let sum: Dim = 0;
  for (const t of (d as Polynomial).terms) {
    let term: Dim = t.coefficient;
    for (const a of t.atoms) term = mul(term, bindAtom(a, values));
    sum = add(sum, term);
  }
  return sum;
}

function bindAtom(a: Atom, values: ReadonlyMap<string, Dim>): Dim {
  if (a.kind === 'symbol') return values.get(a.name) ?? fromAtom(a);
  const left = bind(a.left, values);
  const right = bind(a.right, values);
  if (a.kind === 'min') return min(left, right);
  if (a.kind === 'max') return max(left, right);
  if (right === 0) return fromAtom(a);
  return a.kind === 'mod' ? mod(left, right) : floorDiv(left, right);
}

/** Text for messages: `[2, batch, 2*seq]`; `[?]` for an unknown rank. */
export function shapeText(shape: Shape | null): string {
  return shape === null
    ? '[?]'
    : `[${shape.map((d) => (typeof d === 'number' ? String(d) : d.text)).join(', ')}]`;
}
