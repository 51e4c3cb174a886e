/**
 * The representation of symbolic dimensions: interned integer polynomials over atoms. An atom is a symbol, or a
 * floor-division, modulo, minimum or maximum of two polynomials. See dim.ts for the arithmetic.
 */
import type { Dim, SymbolicDim } from './types.js';

export type AtomKind = 'symbol' | 'floorDiv' | 'mod' | 'min' | 'max';

/** An indivisible factor of a monomial: a symbol, or a function of two polynomials. */
export interface Atom {
  readonly kind: AtomKind;
  /** The symbol's name; unused otherwise. */
  readonly name: string;
  readonly left: Dim;
  readonly right: Dim;
  /** Unambiguous text: names that are no identifiers are quoted. */
  readonly key: string;
}

/** `coefficient * product(atoms)`; atoms sorted by key, repeated for powers; none for the constant term. */
export interface Term {
  readonly coefficient: number;
  readonly atoms: readonly Atom[];
  readonly key: string;
}

export class Polynomial implements SymbolicDim {
  readonly kind = 'sym';
  constructor(
    readonly text: string,
    readonly terms: readonly Term[],
  ) {}
}

const NO_ATOMS: readonly Atom[] = [];
const IDENTIFIER = /^[A-Za-z_][\w.]*$/;

const atoms = new Map<string, Atom>();
const polynomials = new Map<string, Polynomial>();

/** The dimension called `name`. */
export function symbol(name: string): Dim {
  return fromAtom(internAtom('symbol', name, 0, 0, IDENTIFIER.test(name) ? name : JSON.stringify(name)));
}

function internAtom(kind: AtomKind, name: string, left: Dim, right: Dim, key: string): Atom {
  let atom = atoms.get(key);
  if (atom === undefined) {
    atom = { kind, name, left, right, key };
    atoms.set(key, atom);
  }
  return atom;
}

export function functionAtom(kind: AtomKind, left: Dim, right: Dim): Dim {
  const l = keyOf(left);
  const r = keyOf(right);
  const key = kind === 'floorDiv' ? `floor((${l})/(${r}))` : `${kind}(${l}, ${r})`;
  return fromAtom(internAtom(kind, '', left, right, key));
}

export function fromAtom(atom: Atom): Dim {
  return intern([{ coefficient: 1, atoms: [atom], key: atom.key }]);
}

/** Canonical text of a polynomial; differs from `text` only for a lone symbol whose name is no identifier. */
export function keyOf(d: Dim): string {
  if (typeof d === 'number') return String(d);
  const terms = (d as Polynomial).terms;
  let key = '';
  for (let i = 0; i < terms.length; i++) {
    const { coefficient: c, key: k } = terms[i];
    const magnitude = Math.abs(c);
    const body = k === '' ? String(magnitude) : magnitude === 1 ? k : `${String(magnitude)}*${k}`;
    key += i === 0 ? (c < 0 ? `-${body}` : body) : (c < 0 ? ' - ' : ' + ') + body;
  }
  return key;
}

/** `terms` sorted, without zeros and without two of one key. */
export function intern(terms: readonly Term[]): Dim {
  if (terms.length === 0) return 0;
  const first = terms[0];
  if (terms.length === 1 && first.key === '') return first.coefficient;
  const draft = new Polynomial('', terms);
  const key = keyOf(draft);
  let p = polynomials.get(key);
  if (p === undefined) {
    const lone = terms.length === 1 && first.coefficient === 1 && first.atoms.length === 1;
    const atom = first.atoms[0];
    p = new Polynomial(lone && atom !== undefined && atom.kind === 'symbol' ? atom.name : key, terms);
    polynomials.set(key, p);
  }
  return p;
}

/** Higher degree first, then alphabetical, so that the constant comes last. */
function compareTerms(a: Term, b: Term): number {
  if (a.atoms.length !== b.atoms.length) return b.atoms.length - a.atoms.length;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

export function termsOf(d: Dim): readonly Term[] {
  if (typeof d !== 'number') return (d as Polynomial).terms;
  return d === 0 ? [] : [{ coefficient: d, atoms: NO_ATOMS, key: '' }];
}

export function collect(terms: Term[]): Dim {
  terms.sort(compareTerms);
  const merged: Term[] = [];
  for (const t of terms) {
    const last = merged[merged.length - 1];
    if (last !== undefined && last.key === t.key) {
      const coefficient = last.coefficient + t.coefficient;
      merged.pop();
      if (coefficient !== 0) merged.push({ coefficient, atoms: t.atoms, key: t.key });
    } else if (t.coefficient !== 0) {
      merged.push(t);
    }
  }
  return intern(merged);
}

export function multiplyTerms(x: Term, y: Term): Term {
  const coefficient = x.coefficient * y.coefficient;
  if (x.atoms.length === 0) return { coefficient, atoms: y.atoms, key: y.key };
  if (y.atoms.length === 0) return { coefficient, atoms: x.atoms, key: x.key };
  return makeTerm(coefficient, [...x.atoms, ...y.atoms]);
}

/** A term of atoms in any order. */
export function makeTerm(coefficient: number, list: Atom[]): Term {
  list.sort((p, q) => (p.key < q.key ? -1 : p.key > q.key ? 1 : 0));
  return { coefficient, atoms: list, key: list.map((p) => p.key).join('*') };
}

/** `a / b`, or `null` when b does not divide a. */
export function divideTerm(a: Term, b: Term): Term | null {
  if (a.coefficient % b.coefficient !== 0) return null;
  const left = [...a.atoms];
  for (const atom of b.atoms) {
    const at = left.indexOf(atom);
    if (at < 0) return null;
    left.splice(at, 1);
  }
  return makeTerm(a.coefficient / b.coefficient, left);
}
