import { expect } from 'chai';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { monitorJob } from '../../src/api/monitor.js';
import type { Finding, MonitorRequest, MonitorSummary } from '../../src/api/monitor.js';
import { fetchExposition } from '../../src/validation/monitor/endpoint.js';
import { jobLog } from '../support/jobLog.js';

const plan = fileURLToPath(new URL('../../partitions/bert-large.64.json', import.meta.url));
const GOOD = [
  'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",Hostname="host0"} 600.5',
  'DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b",Hostname="host0"} NaN',
  '',
].join('\n');

/** An endpoint of every kind of bad behaviour, by path. */
async function badServer(): Promise<{ server: Server; url: string; heal: () => void }> {
  let isHealed = false;
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    if (path === '/good' || isHealed) response.end(GOOD);
    else if (path === '/hang') return;
    else if (path === '/fail') response.writeHead(500).end();
    else if (path === '/junk') response.end('<html><body>no</body></html>\n');
    else if (path === '/endless' || path === '/drip') {
      const piece = path === '/drip' ? 'x' : 'x'.repeat(10_000);
      const timer = setInterval(() => response.write(piece), path === '/drip' ? 50 : 1);
      response.on('close', () => clearInterval(timer));
    } else if (path === '/short') {
      response.writeHead(200, { 'content-length': String(GOOD.length) });
      response.write(GOOD.slice(0, 40), () => response.destroy());
    } else if (path === '/cut') response.end(GOOD.slice(0, GOOD.indexOf('600.5') + 1));
    else response.writeHead(302, { location: '/good' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { server, url, heal: () => (isHealed = true) };
}

describe('an endpoint that misbehaves', function () {
  this.timeout(60_000);

  for (const [path, fault] of [
    ['/hang', /^said nothing for 0.3 s$/],
    ['/drip', /^was not done after 0.3 s$/],
    ['/fail', /^answered 500$/],
    ['/endless', /^sent more than 50000 bytes$|^was not done/],
    ['/short', /^broke off in the middle of its answer$/],
    ['/cut', /^broke off in the middle of its answer$/],
    ['/elsewhere', /redirect/],
  ] as const)
    it(`${path.slice(1)}: is named and nothing of it is taken`, async () => {
      const { server, url } = await badServer();
      try {
        const answer = await fetchExposition(`${url}${path}`, { timeoutSec: 0.3, largestBytes: 50_000 });
        expect(answer).to.have.property('fault').that.matches(fault);
      } finally {
        server.closeAllConnections();
        server.close();
      }
      expect(await fetchExposition(url, { timeoutSec: 1 }))
        .to.have.property('fault')
        .that.matches(/ECONN|SOCKET|broke/);
    });

  it('among others is told after three readings, while log and good endpoint go on; its return is told too', async () => {
    const { server, url, heal } = await badServer();
    const folder = mkdtempSync(join(tmpdir(), 'endpoints-'));
    const log = join(folder, 'train.jsonl');
    const lines = [...jobLog({ hosts: 8, steps: 60, seed: 3 })].map((r) => JSON.stringify(r));
    writeFileSync(log, `${lines.join('\n')}\n`);
    const bad = ['/hang', '/drip', '/fail', '/junk', '/short', '/cut'].map((path) => `${url}${path}`);
    const found: Finding[] = [];
    let now = 0;
    const settled = performance.now() + 4500;
    const request: MonitorRequest = {
      ...{ planPath: plan, sources: [log, `${url}/good`, ...bad], format: 'auto', once: false },
      ...{ intervalSec: 0.2, timeoutSec: 0.15, state: join(folder, 'state') },
      watch: { falseAlarmSteps: 40_000, leastChange: 0.01 },
    };
    const told = (kind: string): Set<string | null> =>
      new Set(found.filter((f) => f.kind === kind && f.scope === 'source').map((f) => f.source));
    let summary: MonitorSummary;
    try {
      summary = await monitorJob(request, {
        now: () => performance.now() / 1000 + now,
        sleep: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
        stopped: () => {
          if (told('silent').size === bad.length) heal();
          // Then the log stays as it is for an hour, and grows again.
          if (told('back').size === bad.length && performance.now() > settled) now ||= 3600;
          if (told('silent').has(log) && now === 3600) {
            now++;
            appendFileSync(log, `${JSON.stringify({ step: 60, host: 'host0', stepTimeSec: 5 })}\n`);
          }
          return told('back').has(log);
        },
        onFinding: (f) => found.push(f),
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(told('silent')).to.deep.equal(new Set([...bad, log]));
    expect(told('back')).to.deep.equal(new Set([...bad, log]));
    expect(found.find((f) => f.source === `${url}/fail`)!.message).to.match(
      /gave nothing 3 times in a row: answered 500$/,
    );
    expect(found.find((f) => f.source === log)!.message).to.match(/train\.jsonl has not grown for \d+ s$/);
    expect(summary.accepted).to.be.above(481 + 3);
    expect(summary.sources.map((s) => s.fault)).to.deep.equal(Array(8).fill(null));
    expect(summary.quoted.some((q) => q.text.includes('GPU-b: NaN') && q.fault === 'not a number')).to.equal(
      true,
    );
    expect(summary.observed.hosts.find((h) => h.name === 'host0')!.powerWatt).to.be.closeTo(600.5, 1e-6);
    const kept = readFileSync(join(folder, 'state/findings.jsonl'), 'utf8').trim().split('\n');
    expect(kept.map((line) => (JSON.parse(line) as Finding).number)).to.deep.equal(
      found.map((f) => f.number),
    );
    rmSync(folder, { recursive: true, force: true });
  });
});
