/** Models with gigabytes of weights inside, from the start of the process to its end. */
import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { writeSparse } from '../support/sparse.js';
import { graphs, root, scratchFolder } from './support.js';

const GIB = 2 ** 30;

/** Wall seconds, peak memory and parameters of `partition inspect`, as the process itself saw them. */
function inspect(path: string): { wallSec: number; peakBytes: number; parameters: number } {
  // Runs the program in this process and reports its peak memory on stderr when it ends.
  const script = [
    "process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS));",
    `const { main } = await import(${JSON.stringify(new URL('../../dist/cli/main.js', import.meta.url).href)});`,
    `await main(['inspect', ${JSON.stringify(path)}, '--json', '--quiet']);`,
  ].join('\n');
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: root,
    encoding: 'utf8',
  });
  const wallSec = (performance.now() - started) / 1000;
  expect(status, stderr).to.equal(0);
  const peakKib = Number(/^peak (\d+)$/m.exec(stderr)![1]);
  const { parameters } = JSON.parse(stdout) as { parameters: number };
  return { wallSec, peakBytes: peakKib * 1024, parameters };
}

describe('models of more than 2 and 4 GiB on the command line', function () {
  this.timeout(30_000);
  const folder = scratchFolder('large');

  const cases: [string, number[]][] = [
    ['2.5 GiB in one weight', [2.5 * GIB]],
    ['5 GiB in two weights', [2.5 * GIB, 2.5 * GIB]],
    ['5 GiB in one weight', [5 * GIB]],
    ['40 GiB in ten thousand weights', Array.from({ length: 10_000 }, () => 4 << 20)],
  ];
  for (const [what, weightBytes] of cases) {
    it(`${what} cost about the time and the memory of a tiny model`, () => {
      const path = join(folder(), 'large.onnx');
      const fileBytes = writeSparse(path, weightBytes);
      try {
        const tiny = inspect(join(graphs, 'gpt2-tiny.ts.onnx'));
        const large = inspect(path);
        const growthBytes = large.peakBytes - tiny.peakBytes;
        console.log(
          `      ${(fileBytes / GIB).toFixed(1)} GiB: ${large.wallSec.toFixed(2)} s, ${(growthBytes / 2 ** 20).toFixed(0)} MiB more than a tiny model (${tiny.wallSec.toFixed(2)} s, ${(tiny.peakBytes / 2 ** 20).toFixed(0)} MiB)`,
        );
        expect(large.parameters).to.equal(weightBytes.reduce((sum, bytes) => sum + bytes / 4, 0));
        expect(growthBytes).to.be.below(150 * 2 ** 20);
        // A second is the aim on an idle machine; tests share theirs.
        expect(large.wallSec).to.be.below(5);
      } finally {
        rmSync(path);
      }
    });
  }
});
