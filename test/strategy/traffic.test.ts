import { expect } from 'chai';
import { join } from 'node:path';
import { createProblem } from '../../src/api/index.js';
import type { ProblemOptions } from '../../src/api/index.js';
import type { ClassCollective } from '../../src/cost/traffic.js';
import type { ShardKey } from '../../src/cost/types.js';
import { graphs } from '../cli/support.js';

const KEY: ShardKey = { tp: 1, cp: 1, ep: 1, etp: 1, microbatch: 2, deviceGroup: 0, contextExchange: 'ring' };
const CASES: [string, string, Partial<ProblemOptions>, Partial<ShardKey>][] = [
  ['Megatron-style tensor parallelism', 'gpt2-small.onnx', { seq: 1024 }, { tp: 4 }],
  ['a ring of context parallelism', 'gpt2-small.onnx', { seq: 1024 }, { tp: 2, cp: 4 }],
  [
    'all-to-all context parallelism',
    'gpt2-small.onnx',
    { seq: 1024 },
    { tp: 2, cp: 2, contextExchange: 'all-to-all' },
  ],
  ['expert parallelism', 'mixtral-tiny.ts.onnx', { seq: 32 }, { ep: 4 }],
  ['an encoder and a decoder', 't5-base.onnx', { seq: 512 }, { tp: 4 }],
  ['inference', 'gpt2-small.onnx', { seq: 1024, phase: 'inference' }, { tp: 4 }],
];

describe('collectives one by one', () => {
  for (const [name, model, options, degrees] of CASES)
    it(`take the priced time together: ${name}`, () => {
      const { book, problem } = createProblem(join(graphs, model), { devices: 32, ...options });
      const key = { ...KEY, ...degrees };
      const costs = book.costs(key);
      let total = 0;
      book.collectives(key).forEach((collectives, k) => {
        const sum = (axis: string, pass: 'forward' | 'backward'): number =>
          collectives.reduce((s, c: ClassCollective) => (c.axis === axis && c[pass] ? s + c.timeSec : s), 0);
        const close = (found: number, priced: number): void =>
          void expect(found).to.be.closeTo(priced, 1e-12 + 1e-9 * priced);
        close(sum('tp', 'forward'), costs.tpForwardSec[k]);
        close(sum('tp', 'backward'), costs.tpBackwardSec[k]);
        close(sum('cp', 'forward'), costs.cpForwardSec[k]);
        close(sum('cp', 'backward'), costs.cpBackwardSec[k]);
        close(sum('ep', 'forward'), costs.epForwardSec[k]);
        close(sum('ep', 'backward'), costs.epBackwardSec[k]);
        for (const c of collectives) {
          expect(c.inputBytes).to.be.above(0);
          expect(c.forward || c.backward).to.equal(true);
          if (problem.phase === 'inference') expect(c.backward).to.equal(false);
        }
        total += collectives.length;
      });
      expect(total).to.be.above(0);
    });

  it('are two all-reduces forward and two backward in a layer of GPT without sequence parallelism', () => {
    const { book, problem } = createProblem(join(graphs, 'gpt2-small.onnx'), {
      devices: 8,
      seq: 1024,
      sequenceParallel: false,
    });
    const { segmentClass } = problem.segmentation;
    const layer = book.collectives({ ...KEY, tp: 4 })[segmentClass[6]];
    const large = layer.filter((c) => c.inputBytes >= 2 * 1024 * 768 * 2);
    expect(large.filter((c) => c.forward).map((c) => c.kind)).to.deep.equal(['allReduce', 'allReduce']);
    expect(large.filter((c) => c.backward).map((c) => c.kind)).to.deep.equal(['allReduce', 'allReduce']);
    for (const c of large) expect(c.inputBytes).to.equal(2 * 1024 * 768 * 2);
  });
});
