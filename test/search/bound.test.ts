import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createProblem } from '../../src/api/problem.js';
import { enumerateCells, lowerBoundSec, tableBoundSec } from '../../src/search/bound.js';
import { PlanSpace } from '../../src/search/space.js';
import { syntheticProblem } from '../support/synthetic.js';

const graph = (name: string): string => fileURLToPath(new URL(`../../graphs/${name}`, import.meta.url));

describe('search/bound', () => {
  it('never puts the peak bound of a cell above the bound from its tables, on real graphs and clusters', () => {
    for (const cluster of ['h100-sxm', 'v100', 'tpu-v5p'])
      for (const precision of ['bf16', 'fp32'] as const) {
        const { problem } = createProblem(graph('gpt2-small.onnx'), {
          devices: 64,
          cluster,
          precision,
          seq: 1024,
          batch: 256,
        });
        enumerateCells(new PlanSpace(problem)).forEach((cell, i) => {
          if (i % 17 === 0) expect(tableBoundSec(problem, cell)).to.be.at.least(cell.peakBoundSec);
        });
      }
  });

  it('is tighter the more tables it may build, and holds with none', () => {
    const problem = syntheticProblem({ devices: 256, layers: 24 });
    const bounds = [0, 10, 1000].map((tables) => lowerBoundSec(problem, tables));
    expect(bounds[0]).to.be.above(0);
    expect(bounds[1]).to.be.at.least(bounds[0]);
    expect(bounds[2]).to.be.at.least(bounds[1]);
  });

  it('halves when the devices double, as long as work is what binds', () => {
    const at = (devices: number): number => lowerBoundSec(syntheticProblem({ devices, globalBatch: 4096 }));
    expect(at(64) / at(128)).to.be.closeTo(2, 0.01);
  });

  it('is infinite where nothing is legal', () => {
    expect(lowerBoundSec(syntheticProblem({ devices: 7919, globalBatch: 64 }))).to.equal(Infinity);
  });
});
