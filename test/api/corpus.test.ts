import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { planModel } from '../../src/api/index.js';
import { inferModel } from '../../src/graph/index.js';
import { readModel } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';

const CORPUS = fileURLToPath(new URL('../../../shared/data/onnx/corpus/', import.meta.url));
const HOSTILE = fileURLToPath(new URL('../fixtures/hostile/', import.meta.url));

function models(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.onnx'))
    .map((name) => join(folder, name));
}

/** Every symbol of the inputs bound to 8; none when the model cannot even be read. */
function bindings(path: string): Record<string, number> {
  try {
    return Object.fromEntries(inferModel(readModel(path)).symbols.map((s) => [s.name, 8]));
  } catch (e) {
    if (e instanceof PartitionError) return {};
    throw e;
  }
}

/** Ends in a plan that the judge accepts (`ok`), or in a user's error of that code. */
async function outcome(modelPath: string): Promise<string> {
  try {
    await planModel(
      {
        modelPath,
        devices: 2,
        method: 'greedy',
        bind: bindings(modelPath),
        budget: { maxEvaluations: 60, maxSec: Infinity },
      },
      { clock: () => performance.now() / 1000 },
    );
    return 'ok';
  } catch (e) {
    if (e instanceof PartitionError) return e.code;
    throw new Error(`${modelPath}: ${(e as Error).message}`, { cause: e });
  }
}

describe('planning whatever is found', function () {
  this.timeout(240_000);

  it('never fails for a reason of its own on hostile files', async () => {
    const outcomes = await Promise.all(models(HOSTILE).map(outcome));
    expect(outcomes.filter((o) => o === 'ok').length).to.be.greaterThan(50);
    expect(outcomes).to.not.include('internal');
  });

  it('never fails for a reason of its own on a thousand files of public repositories', async function () {
    const found = models(CORPUS);
    if (found.length === 0) {
      console.log('      skipped: the corpus is not at hand');
      this.skip();
    }
    const outcomes = await Promise.all(found.map(outcome));
    expect(outcomes.filter((o) => o === 'ok').length / found.length).to.be.greaterThan(0.85);
    expect(outcomes).to.not.include('internal');
  });
});
