import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createProblem } from '../../src/api/index.js';
import { decodePlan, encodePlan, validatePlan } from '../../src/plan/index.js';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

describe('the example plans', () => {
  for (const [file, model] of [
    ['gpt2-small.8', 'gpt2-small'],
    ['bert-large.64', 'bert-large'],
    ['t5-base.tpu.16', 't5-base'],
  ] as const) {
    it(`${file}.json is canonical and the judge finds nothing`, () => {
      const path = at(`partitions/${file}.json`);
      const text = readFileSync(path, 'utf8');
      const plan = decodePlan(text, path);
      expect(encodePlan(plan)).to.equal(text);
      const { model: analyzed, cluster } = createProblem(at(`graphs/${model}.onnx`), {
        devices: plan.cluster.devices,
        cluster: plan.cluster.name,
        seq: plan.sequenceLength,
      });
      expect(validatePlan(plan, analyzed.graph, cluster, analyzed.segmentation)).to.deep.equal([]);
    });
  }
});
