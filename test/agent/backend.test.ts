import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';

describe('agent/backend', () => {
  it('gives the same backend on every call', async () => {
    expect(await loadBackend()).to.equal(await loadBackend());
  });

  it('prints nothing while it loads and computes', () => {
    const program =
      "import { loadBackend } from './src/agent/backend.ts';" +
      'const { tf } = await loadBackend(); tf.matMul(tf.ones([2, 2]), tf.ones([2, 2])).dataSync();';
    const options = { cwd: new URL('../..', import.meta.url), encoding: 'utf8' } as const;
    const output = execFileSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program],
      options,
    );
    expect(output).to.equal('');
  });
});
