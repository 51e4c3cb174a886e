import { expect } from 'chai';
import { leastPeak, judgeShard } from '../../src/shard/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { readProblem, readText } from './support.js';

/** Three nodes, two edges, a limit. */
function small() {
  return {
    problem: {
      name: 'small',
      nodes: {
        intervals: [
          [0, 2],
          [1, 3],
          [2, 2],
        ],
        costs: [[1, 2], [3, 4, 5], [6]],
        usages: [[10, 4], [1, 1, 8], [7]],
      },
      edges: {
        nodes: [
          [0, 1],
          [2, 1],
        ],
        costs: [
          [0, 1, 2, 3, 4, 1000000000000000000],
          [0.5, 1, 2],
        ],
      },
      usage_limit: 12,
    },
  };
}

describe('reading sharding instances', () => {
  it('reads the same whatever the pieces are', () => {
    const text = JSON.stringify(small(), null, 1);
    const whole = readText(text);
    for (const bytes of [1, 2, 3, 7, 64]) expect(readText(text, bytes)).to.deep.equal(whole);
    expect(whole.name).to.equal('small');
    expect(Array.from(whole.nodeCost)).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(whole.usageLimit).to.equal(12);
    expect(Array.from(whole.tableCost)).to.include(Infinity);
    expect(leastPeak(whole)).to.equal(5);
    expect(judgeShard(whole, [0, 2, 0])).to.deep.equal({
      cost: 1 + 5 + 6 + 2 + 2,
      peakUsage: 18,
      feasible: false,
    });
    expect(judgeShard(whole, [1, 1, 0])).to.deep.equal({
      cost: 2 + 4 + 6 + 4 + 1,
      peakUsage: 5,
      feasible: true,
    });
    expect(judgeShard(whole, [1, 2, 0]).cost).to.equal(Infinity);
  });

  it('reads numbers as JSON.parse does, long ones included', () => {
    const numbers =
      '0 7 123456789012345 1234567890123456 12345678901234567890 100000000000000000 1e3 2.5 0.1e-2 9007199254740993 3000000000000000000001';
    for (const number of numbers.split(' ')) {
      const problem = JSON.stringify(small()).replace('[[1,2],', `[[${number},2],`);
      const value = JSON.parse(number) as number;
      expect(readText(problem, 5).nodeCost[0], number).to.equal(value >= 1e18 ? Infinity : value);
    }
  });

  it('keeps equal tables once, and knows of no limit when none is given', () => {
    const problem = small();
    problem.problem.edges.nodes.push([2, 1], [0, 1]);
    problem.problem.edges.costs.push([0.5, 1, 2], [0, 0, 0, 0, 0, 0]);
    delete (problem.problem as { usage_limit?: number }).usage_limit;
    const instance = readProblem(problem);
    expect(Array.from(instance.edgeTable)).to.deep.equal([0, 1, 1, 2]);
    expect(instance.usageLimit).to.equal(Infinity);
  });

  it('passes over what it does not know', () => {
    const problem = { extra: [[1, [2, { a: 'x"\\"y' }]], null, true], ...small() };
    expect(readProblem(problem).nodeCount).to.equal(3);
  });

  const faults: [string, (p: ReturnType<typeof small>['problem']) => void, RegExp][] = [
    ['too few intervals', (p) => p.nodes.intervals.pop(), /problem\.nodes\.costs: expected 2 .*found 3/],
    [
      'too few usages of a node',
      (p) => p.nodes.usages[1].pop(),
      /problem\.nodes\.usages\[1\]: expected 3 .*found 2/,
    ],
    ['a node without strategies', (p) => (p.nodes.costs[2] = []), /problem\.nodes\.costs\[2\]: .*found none/],
    [
      'an interval that ends early',
      (p) => (p.nodes.intervals[1] = [3, 1]),
      /problem\.nodes\.intervals\[1\]: .*found 1/,
    ],
    [
      'an interval of three',
      (p) => p.nodes.intervals[0].push(3),
      /problem\.nodes\.intervals\[0\]: expected 2/,
    ],
    [
      'half a time',
      (p) => (p.nodes.intervals[0] = [0.5, 2]),
      /problem\.nodes\.intervals\[0\]\[0\]: .*whole number, found 0\.5/,
    ],
    ['a negative cost', (p) => (p.nodes.costs[1][2] = -4), /problem\.nodes\.costs\[1\]\[2\]: .*found -4/],
    ['a negative usage', (p) => (p.nodes.usages[0][0] = -1), /problem\.nodes\.usages\[0\]\[0\]: .*found -1/],
    [
      'a negative edge cost',
      (p) => (p.edges.costs[1][1] = -1),
      /problem\.edges\.costs\[1\]\[1\]: .*found -1/,
    ],
    [
      'a node that is not there',
      (p) => (p.edges.nodes[1][0] = 3),
      /problem\.edges\.nodes\[1\]\[0\]: expected a node from 0 to 2, found 3/,
    ],
    [
      'a table of the wrong size',
      (p) => p.edges.costs[0].pop(),
      /problem\.edges\.costs\[0\]: expected 6 .*found 5/,
    ],
    ['an edge without nodes', (p) => (p.edges.nodes[0] = []), /problem\.edges\.nodes\[0\]: .*found none/],
    ['fewer tables than edges', (p) => p.edges.costs.pop(), /problem\.edges\.costs: expected 2 .*found 1/],
    ['a negative limit', (p) => (p.usage_limit = -1), /problem\.usage_limit: .*found -1/],
    [
      'a limit in words',
      (p) => (p.usage_limit = 'much' as unknown as number),
      /problem\.usage_limit: .*found "much"/,
    ],
    [
      'a list in place of a number',
      (p) => (p.nodes.costs[0] = [[1]] as unknown as number[]),
      /problem\.nodes\.costs\[0\]\[0\]: expected a number, found a list/,
    ],
    [
      'a number in place of a list',
      (p) => (p.nodes.costs[1] = 3 as unknown as number[]),
      /problem\.nodes\.costs\[1\]: expected a list, found 3/,
    ],
    ['null among numbers', (p) => (p.nodes.costs[0][1] = NaN), /problem\.nodes\.costs\[0\].*found null/],
    [
      'no edges at all',
      (p) => delete (p as Partial<typeof p>).edges,
      /problem\.edges\.nodes: expected a list, found nothing/,
    ],
  ];
  for (const [what, spoil, message] of faults)
    it(`names the index of ${what}`, () => {
      const problem = small();
      spoil(problem.problem);
      expect(() => readProblem(problem)).to.throw(PartitionError, message);
    });

  it('says where a text is no JSON', () => {
    const text = JSON.stringify(small());
    const broken: [string, RegExp][] = [
      [text.slice(0, -1), /not JSON: it ends where/],
      [`${text}]`, /not JSON: at byte \d+: expected the end/],
      [text.replace('[1,2]', '[1 2]'), /not JSON: at byte \d+/],
      [text.replace('[1,2]', '[1,,2]'), /not JSON: at byte \d+: expected a value/],
      [text.replace('[1,2]', '[01,2]'), /not JSON: at byte \d+: expected a number without leading zeros/],
      [text.replace('[1,2]', '[nan,2]'), /not JSON: .*found nan/],
      [text.replace('[1,2]', '[1e999,2]'), /found Infinity/],
      ['', /not JSON: it ends where a value was expected/],
      ['[]', /problem\.nodes\.intervals: expected a list, found nothing/],
      [
        text.replace('"usage_limit":12', '"usage_limit":12,"usage_limit":13'),
        /usage_limit: expected it once/,
      ],
    ];
    for (const [content, message] of broken)
      for (const bytes of [3, 1 << 16])
        expect(() => readText(content, bytes), content.slice(0, 60)).to.throw(PartitionError, message);
  });
});
