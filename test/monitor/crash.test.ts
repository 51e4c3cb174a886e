import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobLog } from '../support/jobLog.js';
import { surviveKills, victim } from '../support/monitorKills.js';

const HOSTS = 4;
const KILLS = 50;

describe('a monitor that is killed', function () {
  this.timeout(240_000);

  it(`${KILLS} times with SIGKILL, at random, loses no record and counts none twice, through rotation too`, async () => {
    const { written, counts, told, expected } = await surviveKills(KILLS, 11);
    expect(counts).to.deep.include({ accepted: written, lines: written, late: 0, twice: 0 });
    expect(told).to.deep.equal(expected);
    expect(expected.some((f) => f.host === 'host2')).to.equal(true);
  });

  it('while it reads a pipe, it goes on from the lines that it had accepted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'crash-'));
    const lines = [...jobLog({ hosts: HOSTS, steps: 200, seed: 2 })].map((record) => JSON.stringify(record));
    try {
      const run = async (part: readonly string[], kill: boolean): Promise<string> => {
        const child = spawn(
          process.execPath,
          [
            '--import',
            'tsx',
            victim,
            join(folder, 'state'),
            join(folder, 'none'),
            String(HOSTS),
            ...(kill ? [] : ['once']),
          ],
          { stdio: ['pipe', 'pipe', 'inherit'] },
        );
        let text = '';
        child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
        const closed = new Promise((resolve) => child.on('close', resolve));
        child.stdin.on('error', () => undefined);
        child.stdin.write(`${part.join('\n')}\n`);
        if (kill) setTimeout(() => child.kill('SIGKILL'), 2500);
        else child.stdin.end();
        await closed;
        return text;
      };
      await run(lines.slice(0, 500), true);
      const text = await run(lines.slice(500), false);
      const counts = JSON.parse(text.trim().split('\n').at(-1)!) as Record<string, number>;
      expect(counts).to.deep.include({ accepted: lines.length, late: 0, twice: 0 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
