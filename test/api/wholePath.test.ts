import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { planModel } from '../../src/api/plan.js';
import { writeModel } from '../../src/model/index.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';

/** What the whole path may take on one core of about 2020; slower machines get three times that. */
const WANTED_SEC = 5;
const SLOW_MACHINE = 3;

/** Seconds that this process has computed: other work on the machine does not count. */
function processorSec(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

describe('the whole path from an ONNX file to a plan', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'whole-path-'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it(`takes an 8B model on 64 devices ${WANTED_SEC} s, and its plan is close to the lower bound`, async function () {
    this.timeout(120_000);
    const modelPath = join(folder, 'llama-3-8b.onnx');
    writeModel(buildZoo(zooConfig('llama-3-8b')), modelPath);
    const start = processorSec();
    let firstSec = Infinity;
    const { plan } = await planModel(
      { modelPath, devices: 64, seq: 8192, budget: { maxSec: 4, maxEvaluations: Infinity } },
      {
        clock: processorSec,
        onProgress: (_, best) => {
          if (best !== null) firstSec = Math.min(firstSec, processorSec() - start);
        },
      },
    );
    const endSec = processorSec() - start;
    expect(endSec).to.be.below(SLOW_MACHINE * WANTED_SEC);
    expect(firstSec).to.be.below(endSec);
    expect(plan.prediction.stepTimeSec).to.be.below(1.03 * plan.lowerBoundSec);
  });
});
