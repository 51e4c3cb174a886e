/** The guard of fine-tuning: who may take the place of the policy in use. */
import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCheckpoint, saveCheckpoint } from '../../src/agent/checkpoint.js';
import type { PolicyTrial } from '../../src/agent/policyVerdict.js';
import { DEFAULT_RULE, changeOf, tryPolicies, verdictOf } from '../../src/agent/policyVerdict.js';
import { SHIPPED, SHIPPED_PATH } from '../../src/agent/pretrained.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

const suite = (name: string, oldValues: number[], newValues: number[]): PolicyTrial => ({
  name,
  kind: 'suite',
  oldValues,
  newValues,
});

describe('agent/policyVerdict', () => {
  it('lets an equal policy pass, and a better one', () => {
    const equal = verdictOf([suite('a', [1, 2], [1, 2])], DEFAULT_RULE);
    expect(equal).to.deep.equal({ accepted: true, reasons: [], suiteChange: 0, observedChange: null });
    const better = verdictOf([suite('a', [1, 2], [0.9, 1.8])], DEFAULT_RULE);
    expect(better.accepted).to.equal(true);
    expect(better.suiteChange).to.be.closeTo(-0.1, 1e-12);
  });

  it('refuses what is worse on the mean, however well the observed jobs go', () => {
    const trials = ['a', 'b', 'c'].map((name) => suite(name, [1, 1], [1.03, 1.03]));
    const observed: PolicyTrial = { name: 'job', kind: 'observed', oldValues: [1], newValues: [0.5] };
    const verdict = verdictOf([...trials, observed], DEFAULT_RULE);
    expect(verdict.accepted).to.equal(false);
    expect(verdict.reasons).to.deep.equal(['the suite on the mean 3.00 % worse, at most 1.00 % is let pass']);
  });

  it('refuses what loses one instance, by the median of its seeds, not by one unlucky search', () => {
    const many = Array.from({ length: 40 }, (_, i) => suite(`i${i}`, [1, 1, 1, 1], [1, 1, 1, 1]));
    const unlucky = suite('unlucky', [1, 1, 1, 1], [1, 1.3, 1, 1]);
    expect(verdictOf([...many, unlucky], DEFAULT_RULE).accepted).to.equal(true);
    const lost = suite('lost', [1, 1, 1, 1], [1.11, 1.12, 1.13, 1]);
    const { accepted, reasons } = verdictOf([...many, lost], DEFAULT_RULE);
    expect(accepted).to.equal(false);
    expect(reasons).to.deep.equal(['lost is 11.50 % worse, at most 10.00 % is let pass']);
  });

  it('refuses what no longer finds a plan that fits; a plan found anew is no reason against', () => {
    expect(changeOf(suite('a', [1, 2], [1, Infinity]))).to.equal('lost');
    expect(verdictOf([suite('a', [1, 2], [1, Infinity])], DEFAULT_RULE).reasons).to.deep.equal([
      'finds no plan for a where the old policy does',
    ]);
    expect(changeOf(suite('a', [1, Infinity], [1, 2]))).to.equal('won');
    expect(verdictOf([suite('a', [1, Infinity], [1, 2])], DEFAULT_RULE).accepted).to.equal(true);
    const neither = suite('a', [Infinity], [Infinity]);
    expect(verdictOf([neither], DEFAULT_RULE).suiteChange).to.equal(0);
  });

  it('refuses what is worse on the observed jobs', () => {
    const observed: PolicyTrial = { name: 'job', kind: 'observed', oldValues: [1], newValues: [1.02] };
    expect(verdictOf([suite('a', [1], [1]), observed], DEFAULT_RULE).reasons).to.deep.equal([
      'the observed jobs on the mean 2.00 % worse, at most 1.00 % is let pass',
    ]);
  });

  it('searches under the shipped policy and the same one from a file come out equal; a ruined one does worse', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'verdict-'));
    const shipped = loadCheckpoint(SHIPPED_PATH);
    const random = new Random(7);
    const ruined = shipped.weights.map((w) => w.map(() => random.normal()));
    const [same, bad] = ['same.json', 'bad.json'].map((name) => join(folder, name));
    saveCheckpoint(same, shipped);
    saveCheckpoint(bad, { ...shipped, weights: ruined });
    const problems = [64, 256].map((devices) => syntheticProblem({ devices, globalBatch: 512, layers: 24 }));
    const rule = { evaluations: 30, seeds: [1, 2, 3] };
    const judge = (path: string) =>
      Promise.all(
        problems.map((p, i) => tryPolicies(`p${i}`, 'suite', p, [SHIPPED, { kind: 'file', path }], rule)),
      );
    for (const trial of await judge(same)) expect(trial.newValues).to.deep.equal(trial.oldValues);
    const verdict = verdictOf(await judge(bad), DEFAULT_RULE);
    rmSync(folder, { recursive: true });
    expect(verdict.accepted).to.equal(false);
  });
});
