/**
 * Reads a `dim_param`. Exporters write expressions of symbols there (`past + seq`, `2*batch`, `(s0//2)`); those few forms
 * are parsed so that they unify with what inference computes. Anything else, whatever it holds, is one symbol's name.
 * Nothing is ever evaluated.
 */
import { add, floorDiv, max, min, mod, mul, neg, sub, symbol } from './dim.js';
import type { Dim } from './types.js';

const MAX_TEXT = 256;
const MAX_DEPTH = 16;
const TOKEN = /\s*(?:(\d{1,15})|([A-Za-z_][\w.]*)|(\*\*|\/\/|[-+*/%(),]))/y;

/** The dimension a `dim_param` means. Never throws. */
export function parseDim(text: string): Dim {
  if (/^[A-Za-z_][\w.]*$/.test(text) || text.length > MAX_TEXT) return symbol(text);
  const tokens = tokenize(text);
  if (tokens !== null) {
    const parser = new Parser(tokens);
    const d = parser.whole();
    // A bare number in quotes is somebody's name, not an expression.
    if (d !== null && typeof d !== 'number') return d;
  }
  return symbol(text);
}

function tokenize(text: string): string[] | null {
  const tokens: string[] = [];
  const trimmed = text.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < trimmed.length) {
    const m = TOKEN.exec(trimmed);
    if (m === null) return null;
    tokens.push(m[1] ?? m[2] ?? m[3]);
  }
  return tokens;
}

/** Recursive descent with bounded depth; every method returns `null` for text that is no expression. */
class Parser {
  private at = 0;
  constructor(private readonly tokens: readonly string[]) {}

  whole(): Dim | null {
    const d = this.sum(0);
    return this.at === this.tokens.length ? d : null;
  }

  private take(token: string): boolean {
    if (this.tokens[this.at] !== token) return false;
    this.at++;
    return true;
  }

  private sum(depth: number): Dim | null {
    if (depth > MAX_DEPTH) return null;
    let left = this.term(depth);
    while (left !== null) {
      const minus = this.tokens[this.at] === '-';
      if (!minus && this.tokens[this.at] !== '+') break;
      this.at++;
      const right = this.term(depth);
      left = right === null ? null : minus ? sub(left, right) : add(left, right);
    }
    return left;
  }

  private term(depth: number): Dim | null {
    let left = this.power(depth);
    for (;;) {
      const op = this.tokens[this.at];
      if (left === null || (op !== '*' && op !== '/' && op !== '//' && op !== '%')) return left;
      this.at++;
      const right = this.power(depth);
      if (right === null) return null;
      if (op === '*') left = mul(left, right);
      else if (right === 0) return null;
      else left = op === '%' ? mod(left, right) : floorDiv(left, right);
    }
  }

  private power(depth: number): Dim | null {
    const base = this.primary(depth);
    if (base === null || !this.take('**')) return base;
    const exponent = Number(this.tokens[this.at++]);
    if (!(exponent >= 1 && exponent <= 8)) return null;
    let p: Dim = base;
    for (let i = 1; i < exponent; i++) p = mul(p, base);
    return p;
  }

  private primary(depth: number): Dim | null {
    const token = this.tokens[this.at++];
    if (token === undefined || depth > MAX_DEPTH) return null;
    if (token === '-') {
      const d = this.power(depth + 1);
      return d === null ? null : neg(d);
    }
    if (token === '(') {
      const d = this.sum(depth + 1);
      return d !== null && this.take(')') ? d : null;
    }
    if (/^\d/.test(token)) return Number(token);
    if (!/^[A-Za-z_]/.test(token)) return null;
    return this.take('(') ? this.call(token.toLowerCase(), depth + 1) : symbol(token);
  }

  private call(name: string, depth: number): Dim | null {
    const args: Dim[] = [];
    do {
      const d = this.sum(depth);
      if (d === null) return null;
      args.push(d);
    } while (this.take(','));
    if (!this.take(')')) return null;
    // A quotient inside floor() was already floored; every other quotient in a shape is exact.
    if (name === 'floor' && args.length === 1) return args[0];
    if (args.length !== 2) return null;
    if (name === 'max') return max(args[0], args[1]);
    if (name === 'min') return min(args[0], args[1]);
    if (name === 'mod' && args[1] !== 0) return mod(args[0], args[1]);
    return null;
  }
}
