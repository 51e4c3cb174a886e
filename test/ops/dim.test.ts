import { expect } from 'chai';
import fc from 'fast-check';
import * as dim from '../../src/ops/dim.js';
import { parseDim } from '../../src/ops/dim_text.js';
import type { Dim } from '../../src/ops/types.js';

const text = (d: Dim): string => (typeof d === 'number' ? String(d) : d.text);
const a = dim.symbol('a');
const b = dim.symbol('b');
const s = dim.symbol('s');

describe('symbolic dimensions', () => {
  it('are identical when they are equal, however they were computed', () => {
    expect(dim.add(a, b)).to.equal(dim.add(b, a));
    expect(dim.mul(dim.add(a, 1), b)).to.equal(dim.add(dim.mul(a, b), b));
    expect(dim.sub(dim.add(a, b), b)).to.equal(a);
    expect(dim.mul(2, dim.mul(a, 3))).to.equal(dim.mul(6, a));
  });

  it('print in one canonical order, higher degree first and the constant last', () => {
    expect(text(dim.add(dim.add(1, a), dim.mul(dim.mul(2, b), s)))).to.equal('2*b*s + a + 1');
    expect(text(dim.sub(1, a))).to.equal('-a + 1');
  });

  it('divide exactly wherever polynomial division leaves nothing', () => {
    expect(dim.floorDiv(dim.mul(dim.mul(a, b), 12), dim.mul(b, 4))).to.equal(dim.mul(a, 3));
    const product = dim.mul(dim.add(a, 1), dim.add(a, b));
    expect(dim.floorDiv(product, dim.add(a, b))).to.equal(dim.add(a, 1));
    expect(dim.divideExact(dim.add(a, 1), 2)).to.equal(null);
  });

  it('pull out of a quotient what divides, so that equal quotients are one', () => {
    const q = dim.floorDiv(dim.add(dim.mul(a, 4), 3), 2);
    expect(text(q)).to.equal('2*a + 1');
    expect(text(dim.floorDiv(dim.add(a, 4), 2))).to.equal('floor((a)/(2)) + 2');
    expect(dim.floorDiv(dim.mul(a, 2), 6)).to.equal(dim.floorDiv(a, 3));
    expect(dim.ceilDiv(dim.mul(a, 8), 4)).to.equal(dim.mul(a, 2));
  });

  it('take modulo of the part that does not divide', () => {
    expect(dim.mod(dim.add(dim.mul(a, 6), 7), 3)).to.equal(1);
    expect(text(dim.mod(dim.add(a, 8), 8))).to.equal('mod(a, 8)');
  });

  it('order minima and maxima where the difference has one sign', () => {
    expect(dim.max(dim.add(a, 1), a)).to.equal(dim.add(a, 1));
    expect(dim.min(a, dim.add(a, b))).to.equal(a);
    expect(dim.max(a, 0)).to.equal(a);
    expect(text(dim.max(b, a))).to.equal('max(a, b)');
    expect(dim.max(dim.min(a, 64), a)).to.equal(a);
  });

  it('know bounds: a dimension is never negative', () => {
    expect(dim.lowerBound(dim.add(a, 3))).to.equal(3);
    expect(dim.lowerBound(dim.sub(3, a))).to.equal(-Infinity);
    expect(dim.canBeEqual(a, -1)).to.equal(false);
    expect(dim.canBeEqual(dim.add(a, 2), 1)).to.equal(false);
    expect(dim.canBeEqual(a, 5)).to.equal(true);
    expect(dim.canBeEqual(dim.add(a, 1), a)).to.equal(false);
  });

  it('keep a name that is no identifier apart from the expression it looks like', () => {
    const odd = dim.symbol('a + b');
    expect(odd).to.not.equal(dim.add(a, b));
    expect(text(odd)).to.equal('a + b');
    expect(text(dim.mul(odd, 2))).to.equal('2*"a + b"');
    expect(dim.symbolsOf(dim.mul(odd, s))).to.have.members(['a + b', 's']);
  });

  it('divide by zero only by our own fault', () => {
    expect(() => dim.floorDiv(a, 0)).to.throw('internal:');
    expect(() => dim.mod(a, 0)).to.throw('internal:');
  });

  it('agree with arithmetic on numbers once bound', () => {
    const leaf = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom('a', 'b', 's'));
    const op = fc.constantFrom('add', 'sub', 'mul', 'floorDiv', 'mod', 'min', 'max');
    const program = fc.tuple(leaf, fc.array(fc.tuple(op, leaf), { maxLength: 5 }));
    const values = fc.record({ a: fc.nat(20), b: fc.nat(20), s: fc.nat(20) });
    fc.assert(
      fc.property(program, values, ([first, steps], env) => {
        const number = (x: number | string): number => (typeof x === 'number' ? x : env[x as 'a']);
        let symbolic: Dim = typeof first === 'number' ? first : dim.symbol(first);
        let concrete = number(first);
        for (const [f, x] of steps) {
          const y = number(x);
          if ((f === 'floorDiv' || f === 'mod') && y === 0) return;
          const operand = typeof x === 'number' ? x : dim.symbol(x);
          symbolic = dim[f as 'add'](symbolic, operand);
          concrete = dim[f as 'add'](concrete, y) as number;
        }
        const bound = dim.bind(symbolic, new Map(Object.entries(env)));
        // Symbols are sizes: absorption and signs hold for non-negative values only, which these are.
        expect(bound).to.equal(concrete);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('dimension names', () => {
  it('parse the expressions exporters write, so that they unify', () => {
    expect(parseDim('past + seq')).to.equal(parseDim('seq+past'));
    expect(parseDim('2*batch')).to.equal(dim.mul(2, dim.symbol('batch')));
    expect(parseDim('(s0//2) + 1')).to.equal(dim.add(dim.floorDiv(dim.symbol('s0'), 2), 1));
    expect(parseDim('floor(h/4)')).to.equal(dim.floorDiv(dim.symbol('h'), 4));
    expect(parseDim('Max(1, s27)')).to.equal(dim.max(1, dim.symbol('s27')));
    expect(parseDim('s0**2')).to.equal(dim.mul(dim.symbol('s0'), dim.symbol('s0')));
  });

  const odd = [
    '',
    '?',
    '-1',
    '128',
    'None',
    'a b',
    '__proto__',
    'process.exit(1)',
    '1/0',
    'x//0',
    '((',
    '${x}',
    '日本',
  ];
  for (const name of odd) {
    it(`take ${JSON.stringify(name)} as one symbol's name`, () => {
      const d = parseDim(name);
      expect(typeof d).to.equal('object');
      expect(dim.symbolsOf(d)).to.deep.equal([name]);
    });
  }

  it('give up on deep nesting instead of overflowing the stack', () => {
    const deep = '('.repeat(120) + 'x' + ')'.repeat(120);
    expect(dim.symbolsOf(parseDim(deep))).to.deep.equal([deep]);
  });
});
