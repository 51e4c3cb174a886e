import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/agent/checkpoint.js';
import { DEFAULT_PPO } from '../../src/agent/ppo.js';
import type { TrainingSettings } from '../../src/agent/training.js';
import { PlanTrainer } from '../../src/agent/training.js';
import { syntheticProblem } from '../support/synthetic.js';

const SETTINGS: TrainingSettings = {
  seed: 3,
  updates: 8,
  problems: 2,
  updatesPerProblem: 3,
  episodes: 4,
  teacherEvaluations: 60,
  cloningSteps: 2,
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

  it('learns what the teacher shows', async () => {
    const settings = { ...SETTINGS, updates: 40, cloningSteps: 8, cloningMemory: 4 };
    const trainer = new PlanTrainer(await loadBackend(), source, settings, null);
    const losses: number[] = [];
    while (!trainer.finished) losses.push(trainer.update().cloningLoss!);
    trainer.dispose();
    expect(losses.at(-1)).to.be.below(0.5 * losses[0]);
  });
});
