import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createProblem } from '../../src/api/index.js';
import { Cutter, PlanSpace, lowerBoundSec, randomPlan } from '../../src/search/index.js';
import { createEngine } from '../../src/simulate/engine.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';

const graph = (name: string): string => fileURLToPath(new URL(`../../graphs/${name}`, import.meta.url));

describe('prices of random plans of real graphs', () => {
  for (const { model, devices, seq } of [
    { model: 'gpt2-small.onnx', devices: 16, seq: 512 },
    { model: 't5-base.onnx', devices: 32, seq: 256 },
    { model: 'mixtral-tiny.ts.onnx', devices: 8, seq: 32 },
    { model: 'resnet50.onnx', devices: 8, seq: undefined },
  ]) {
    it(`are above every lower bound and agree with the engine: ${model} on ${devices}`, () => {
      const { problem } = createProblem(graph(model), { devices, seq, batch: 256 });
      const simulator = createSimulator(problem);
      const engine = createEngine(problem);
      const space = new PlanSpace(problem);
      const cutter = new Cutter(problem);
      const random = new Random(11);
      const bound = lowerBoundSec(problem);
      const out = createEstimate();
      for (let i = 0; i < 200; i++) {
        const e = simulator.estimate(randomPlan(space, cutter, random), out);
        if (e.fits) expect(e.stepTimeSec).to.be.at.least(bound);
        expect(e.stepTimeSec).to.be.at.least(e.planBoundSec);
        const parts = Object.values(e.breakdown as unknown as Record<string, number>).reduce(
          (a, b) => a + b,
          0,
        );
        expect(parts / e.stepTimeSec).to.be.closeTo(1, 1e-9);
      }
      for (let i = 0; i < 10; i++) {
        const candidate = randomPlan(space, cutter, random);
        const e = simulator.estimate(candidate, out);
        expect(e.stepTimeSec / engine.run(candidate).stepTimeSec).to.be.within(0.95, 1.05);
      }
    });
  }
});
