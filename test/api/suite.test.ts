import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBestKnown, loadSuite, suiteProblem } from '../../src/api/suite.js';
import type { Problem } from '../../src/api/problem.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import { greedySolver } from '../../src/search/greedy.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';
import { buildIrregular } from '../../src/zoo/index.js';

const graphs = fileURLToPath(new URL('../../graphs', import.meta.url));

describe('the suite', function () {
  this.timeout(60_000);
  const instances = loadSuite();
  const problems = new Map<string, Problem>();

  for (const instance of instances) {
    it(`${instance.name} (${instance.about}) is a problem that some plan solves`, () => {
      const problem = suiteProblem(instance, graphs);
      problems.set(instance.name, problem);
      expect(problem.problem.devices).to.equal(instance.devices);
      expect(problem.problem.globalBatch).to.equal(instance.batch);
      const result = greedySolver.solve({
        problem: problem.problem,
        simulator: createSimulator(problem.problem),
        budget: { maxEvaluations: 400, maxSec: Infinity },
        clock: () => 0,
        random: new Random(1),
      });
      if (result instanceof Promise) throw new Error('expected an answer at once');
      expect(result.value).to.be.below(Infinity);
      expect(checkCandidate(problem.problem, result.best!)).to.equal(null);
    });
  }

  it('spans models, clusters and sizes as it says', () => {
    const counts = instances.map((i) => i.devices);
    expect(instances.length).to.be.at.least(16);
    expect([Math.min(...counts), Math.max(...counts)]).to.deep.equal([8, 16384]);
    const clusters = [...problems.values()].map((p) => p.cluster);
    const deviceKinds = (c: Problem['cluster']): number => new Set(c.groups.map((g) => g.device.name)).size;
    expect(clusters.some((c) => deviceKinds(c) >= 3)).to.equal(true);
    expect(clusters.some((c) => c.missingCount > 0)).to.equal(true);
    expect(clusters.some((c) => c.slow.length > 0)).to.equal(true);
    expect(clusters.some((c) => c.levels.some((level) => level.kind === 'torus'))).to.equal(true);
    const experts = [...problems.values()].filter((p) => p.problem.experts > 1);
    expect(experts.length).to.be.at.least(3);
    expect(new Set(instances.map((i) => i.objective)))
      .to.include('time')
      .and.have.property('size')
      .above(2);
  });

  it('has a best known value for every instance and for nothing else', () => {
    const known = loadBestKnown();
    expect([...known.keys()].sort()).to.deep.equal(instances.map((i) => i.name).sort());
    for (const [name, { value }] of known) expect(value, name).to.be.above(0).and.below(Infinity);
  });

  it('draws irregular graphs whose segments are nearly all unlike', () => {
    for (const { name, model } of instances) {
      if (model.kind !== 'irregular') continue;
      const { segmentCount, classCount } = problems.get(name)!.problem.segmentation;
      expect(classCount).to.be.above(0.8 * segmentCount);
      expect(buildIrregular(model)).to.deep.equal(buildIrregular(model));
      expect(buildIrregular({ ...model, seed: model.seed + 1 })).to.not.deep.equal(buildIrregular(model));
    }
    const sizes = { seed: 1, cells: 2, nodes: 2, hidden: 8, tokens: 4 };
    expect(() => buildIrregular({ ...sizes, hidden: 0 })).to.throw(
      'expected a positive whole number, found 0',
    );
    expect(() => buildIrregular({ ...sizes, towers: 3 })).to.throw('expected 1 or 2, found 3');
  });
});

describe('a suite file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'suite-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const read = (text: string): unknown => {
    const path = join(folder, 'suite.yaml');
    writeFileSync(path, text);
    return loadSuite(path);
  };
  const one = '{ name: a, about: b, model: { zoo: gpt2-small }, cluster: h100-sxm, devices: 8, batch: 8 }';

  it('is refused in one line that names the field', () => {
    expect(read(`version: 1\ninstances: [${one}]`)).to.have.length(1);
    expect(() => read('version: 2\ninstances: []')).to.throw('version: expected an integer between 1 and 1');
    expect(() => read(`version: 1\ninstances: [${one}, ${one}]`)).to.throw('two instances are called a');
    const wrong = one.replace('devices: 8', 'devices: 0');
    expect(() => read(`version: 1\ninstances: [${wrong}]`)).to.throw(
      'instances[0].devices: expected an integer',
    );
    const two = one.replace('zoo: gpt2-small', 'zoo: gpt2-small, file: x.onnx');
    expect(() => read(`version: 1\ninstances: [${two}]`)).to.throw('expected one of zoo, file, irregular');
  });
});
