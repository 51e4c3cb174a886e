import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { decodeCheckpoint, encodeCheckpoint, saveCheckpoint } from '../../src/agent/checkpoint.js';
import { createPolicySolver } from '../../src/agent/policySolver.js';
import { DEFAULT_PPO } from '../../src/agent/ppo.js';
import type { TrainingSettings } from '../../src/agent/training.js';
import { PlanTrainer } from '../../src/agent/training.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import { createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';
import { syntheticProblem } from '../support/synthetic.js';

const SETTINGS: TrainingSettings = {
  seed: 3,
  updates: 8,
  problems: 2,
  updatesPerProblem: 3,
  episodes: 4,
  teacherEvaluations: 60,
  cloningSteps: 2,
  embedding: false,
  cloningMemory: 2,
  cloningWeight: 1,
  ppo: { ...DEFAULT_PPO, hidden: 16, minibatch: 64 },
};

const source = (index: number) =>
  syntheticProblem({ devices: 8 << (index % 3), globalBatch: 64, layers: 6 + (index % 4) });

describe('agent/training', function () {
  this.timeout(60_000);

  it('goes on from a checkpoint as if it had never stopped, to the last bit', async () => {
    const backend = await loadBackend();
    const whole = new PlanTrainer(backend, source, SETTINGS, 'config');
    const reports: string[] = [];
    while (!whole.finished) reports.push(JSON.stringify(whole.update()));
    for (const stop of [1, 4, 7]) {
      const begun = new PlanTrainer(backend, source, SETTINGS, 'config');
      while (begun.updates < stop) begun.update();
      const file = encodeCheckpoint(begun.checkpoint(true));
      begun.dispose();
      const resumed = new PlanTrainer(backend, source, SETTINGS, 'config', decodeCheckpoint(file, 'file'));
      const later: string[] = [];
      while (!resumed.finished) later.push(JSON.stringify(resumed.update()));
      expect(later).to.deep.equal(reports.slice(stop));
      expect(encodeCheckpoint(resumed.checkpoint(true))).to.equal(encodeCheckpoint(whole.checkpoint(true)));
      resumed.dispose();
    }
    whole.dispose();
  });

  it('trains with the embedding of the graphs as well, and such a policy plans', async () => {
    const settings = { ...SETTINGS, updates: 2, embedding: true };
    const trainer = new PlanTrainer(await loadBackend(), source, settings, null);
    while (!trainer.finished) trainer.update();
    const checkpoint = trainer.checkpoint(false);
    trainer.dispose();
    expect(checkpoint.environment.name).to.equal('plan-embedded');
    const path = join(mkdtempSync(join(tmpdir(), 'policy-')), 'policy.json');
    saveCheckpoint(path, checkpoint);
    const problem = source(1);
    const found = await createPolicySolver({ kind: 'file', path }, 8).solve({
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: 100, maxSec: Infinity },
      clock: () => 0,
      random: new Random(1),
    });
    expect(found.evaluations).to.be.within(1, 8);
    expect(checkCandidate(problem, found.best ?? found.nearest!)).to.equal(null);
    rmSync(dirname(path), { recursive: true });
  });

  it('learns what the teacher shows', async () => {
    const settings = { ...SETTINGS, updates: 40, cloningSteps: 8, cloningMemory: 4 };
    const trainer = new PlanTrainer(await loadBackend(), source, settings, null);
    const losses: number[] = [];
    while (!trainer.finished) losses.push(trainer.update().cloningLoss!);
    trainer.dispose();
    expect(losses.at(-1)).to.be.below(0.5 * losses[0]);
  });
});
