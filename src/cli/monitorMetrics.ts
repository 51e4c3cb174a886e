/** The monitor's findings as Prometheus metrics, for `--listen`. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import type { MonitorSummary } from '../api/index.js';
import { PartitionError } from '../util/errors.js';

const LOOPBACK = '127.0.0.1';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `9105` or `0.0.0.0:9105`; loopback unless a host is named. @throws PartitionError usage */
export function parseAddress(text: string): Address {
  const match = /^(?:(.+):)?(\d{1,5})$/.exec(text);
  const port = match === null ? NaN : Number(match[2]);
  if (match === null || port > 65535)
    throw new PartitionError(
      'usage',
      `expected a port or host:port, found ${text || 'nothing'}`,
      '--listen',
      'for example --listen 9105',
    );
  return { host: (match[1] ?? LOOPBACK).replace(/^\[(.*)\]$/, '$1'), port };
}

/**
 * Serves /metrics.
 *
 * @param summary the state at the moment of a scrape
 * @returns the server, once it listens
 * @throws PartitionError usage when the address cannot be had
 */
export async function serveMetrics(
  { host, port }: Address,
  summary: () => MonitorSummary | null,
): Promise<Server> {
  const registry = new Registry();
  const fill = metricsOf(registry);
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || !/^\/(metrics)?(\?|$)/.test(request.url ?? '')) {
      response.writeHead(404).end('see /metrics\n');
      return;
    }
    const now = summary();
    if (now !== null) fill(now);
    void registry
      .metrics()
      .then((body) => response.writeHead(200, { 'content-type': registry.contentType }).end(body));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) =>
      reject(
        new PartitionError(
          'usage',
          `cannot listen on ${host}:${port} (${e.code})`,
          '--listen',
          'choose another port',
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  return server;
}

function metricsOf(registry: Registry): (summary: MonitorSummary) => void {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `partition_${name}`, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name: `partition_${name}`, help, labelNames, registers });
  const step = gauge('step', 'Number of the last step.');
  const stepTime = gauge('step_time_seconds', 'Median of the last thousand step times.');
  const predicted = gauge('predicted_step_time_seconds', "The plan's step time.");
  const tokens = gauge('tokens_per_second', 'Tokens per second at the median step time.');
  const power = gauge('power_watts', 'Power of all devices that report.');
  const speed = gauge('host_speed_ratio', 'Recent speed of a host over that of hosts with equal work.', [
    'host',
  ]);
  const silent = gauge('host_silent', '1 for a host that has stopped to report.', ['host']);
  const bandwidth = gauge('link_bandwidth_ratio', 'Recent bandwidth of a link level over its first.', [
    'level',
  ]);
  const records = counter('records_total', 'Records that were taken.');
  const away = counter('records_turned_away_total', 'Lines that were no record.', ['fault']);
  const findings = counter('findings_total', 'Findings so far.');
  return (s) => {
    for (const metric of [speed, silent, bandwidth, records, away, findings]) metric.reset();
    step.set(s.observed.lastStep);
    stepTime.set(s.observed.stepTime?.medianSec ?? NaN);
    predicted.set(s.predicted.stepTimeSec);
    tokens.set(s.tokensPerSec ?? NaN);
    power.set(s.powerWatt ?? NaN);
    for (const host of s.observed.hosts) {
      speed.set({ host: host.name }, host.speedRatio);
      silent.set({ host: host.name }, host.silent ? 1 : 0);
    }
    for (const { level, bandwidthRatio } of s.observed.levels)
      bandwidth.set({ level: level ?? 'all' }, bandwidthRatio);
    records.inc(s.accepted);
    for (const { fault, count } of s.faults) away.inc({ fault }, count);
    findings.inc(s.findingCount);
  };
}
