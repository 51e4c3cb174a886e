import { expect } from 'chai';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import parsePrometheus from 'parse-prometheus-text-format';
import type { MonitorSummary } from '../../src/api/monitor.js';
import { parseAddress, serveMetrics } from '../../src/cli/monitorMetrics.js';
import { PartitionError } from '../../src/util/errors.js';

const summary = {
  predicted: { stepTimeSec: 0.9, tokensPerSec: 1e6, powerWatt: 4e4 },
  tokensPerSec: 9e5,
  powerWatt: null,
  accepted: 2400,
  faults: [{ fault: 'unknown host', count: 3 }],
  findingCount: 2,
  observed: {
    lastStep: 299,
    stepTime: { medianSec: 1 },
    hosts: [
      { name: 'node "1"\\x', speedRatio: 0.93, silent: false },
      { name: 'two\nlines', speedRatio: 1, silent: true },
    ],
    levels: [{ level: null, bandwidthRatio: 0.8 }],
  },
} as unknown as MonitorSummary;

describe('metrics of a monitor', () => {
  let server: Server;
  let url = '';
  before(async () => {
    server = await serveMetrics(parseAddress('0'), () => summary);
    const { address, port } = server.address() as AddressInfo;
    expect(address).to.equal('127.0.0.1');
    url = `http://${address}:${port}`;
  });
  after(() => server.close());

  it('are an exposition that a parser of the format reads, whatever hosts are called', async () => {
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/);
    const families = parsePrometheus(await response.text());
    const values = (name: string): (string | undefined)[] =>
      families.find((f) => f.name === `partition_${name}`)!.metrics.map((m) => m.value);
    expect(values('step')).to.deep.equal(['299']);
    expect(values('predicted_step_time_seconds')).to.deep.equal(['0.9']);
    expect(values('host_speed_ratio')).to.deep.equal(['0.93', '1']);
    expect(values('host_silent')).to.deep.equal(['0', '1']);
    expect(values('findings_total')).to.deep.equal(['2']);
    expect(values('records_turned_away_total')).to.deep.equal(['3']);
    expect(values('power_watts').map(Number)).to.deep.equal([NaN]);
  });

  it('say the same at every reading, and nothing at other addresses', async () => {
    const text = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
    expect(await text()).to.equal(await text());
    expect((await fetch(`${url}/other`)).status).to.equal(404);
    expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).to.equal(404);
  });

  it('cannot be served on a port that is taken or an address that is not ours: one line', async () => {
    const { port } = server.address() as AddressInfo;
    for (const [address, code] of [
      [`${port}`, 'EADDRINUSE'],
      ['203.0.113.7:9105', 'EADDRNOTAVAIL'],
    ] as const) {
      let fault: unknown = null;
      await serveMetrics(parseAddress(address), () => null).catch((e: unknown) => (fault = e));
      expect(fault).to.be.instanceOf(PartitionError);
      expect((fault as PartitionError).message).to.match(
        new RegExp(`^[^\\n]*cannot listen on [^\\n]*\\(${code}\\)`),
      );
    }
    expect(parseAddress('[::1]:9105')).to.deep.equal({ host: '::1', port: 9105 });
    expect(() => parseAddress('70000')).to.throw(PartitionError);
  });
});
