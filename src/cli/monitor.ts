/** `partition monitor <plan.json> --source ...`: follows a running job and says what changed. */
import type { Server } from 'node:http';
import type { CommandModule } from 'yargs';
import type { MonitorSummary } from '../api/index.js';
import { LINE_FORMATS, WATCH_DEFAULTS, monitorJob } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { onSignal } from './interrupt.js';
import { parseAddress, serveMetrics } from './monitorMetrics.js';
import { MonitorScreen } from './monitorScreen.js';
import type { CommonArgs } from './options.js';
import { integerBetween, oneOf, parseSeconds, required, text, withCommon } from './options.js';
import { printError } from './output.js';

type Args = CommonArgs & {
  plan?: string;
  source?: string[];
  format: string;
  cluster?: string;
  state?: string;
  'keep-state': boolean;
  once: boolean;
  interval: string;
  timeout: string;
  'false-alarms': string;
  'least-change': string;
  findings: boolean;
  listen?: string;
};

const USAGE = 'monitor <plan.json> --source train.jsonl';

export const monitorCommand: CommandModule<object, Args> = {
  command: 'monitor [plan]',
  describe: 'follow a running job and say what changed',
  builder: (argv) =>
    withCommon(
      argv
        .usage(`partition ${USAGE}`)
        .positional('plan', { type: 'string', describe: 'plan.json of the job' }),
    )
      .option('source', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'log file, - for standard input, or address of a Prometheus endpoint; may be repeated',
      })
      .option('format', text(`of the lines: ${LINE_FORMATS.join(', ')}`, 'auto'))
      .option('cluster', text('where the job runs, if run.json beside the plan does not say'))
      .option('state', text('folder of the state; default: monitor/ beside the plan'))
      .option('keep-state', {
        type: 'boolean',
        default: true,
        describe: '--no-keep-state: begin anew, and leave nothing behind',
      })
      .option('once', { type: 'boolean', default: false, describe: 'end where the sources end now' })
      .option('interval', text('between two readings of an endpoint', '5s'))
      .option('timeout', text('for an endpoint to answer', '5s'))
      .option('false-alarms', text('steps between two false alarms', String(WATCH_DEFAULTS.falseAlarmSteps)))
      .option('least-change', text('percent; smaller changes are not told', '1'))
      .option('findings', {
        type: 'boolean',
        default: false,
        describe: 'findings on stdout, one JSON object a line',
      })
      .option('listen', text('port or host:port to serve Prometheus metrics on (loopback by default)'))
      .epilogue(
        [
          'Lines: our own JSONL (monitor-record.schema.json: step, host or rank, stepTimeSec, computeSec, levels,',
          'tokens, utilisation, powerWatt, memoryBytes), and the log lines of Megatron-LM and torchtitan.',
          "Endpoints: the metric names of NVIDIA's DCGM exporter. Drift is told with its culprit: a host, a rank, a",
          'link level, computing as a whole. Files are followed through rotation; the state survives a crash.',
          '',
          'Examples:',
          '  partition monitor model.partition/plan.json --source train.jsonl            follow, Ctrl-C ends',
          '  partition monitor model.partition/plan.json --source train.jsonl --once --json',
          '  partition monitor model.partition/plan.json --source megatron.log --findings | jq .message',
          '  partition monitor model.partition/plan.json --source - --listen 9105 < train.jsonl',
          '  partition monitor plan.json --source train.jsonl --source http://node1:9400/metrics',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const request = requestOf(args);
    const address = args.listen === undefined ? null : parseAddress(args.listen);
    const view = new MonitorScreen({ json: args.json, findings: args.findings, quiet: args.quiet });
    let latest: (() => MonitorSummary) | null = null;
    let server: Server | null = null;
    let interrupted: number | null = null;
    const release = onSignal((exitCode) => (interrupted = exitCode));
    const started = performance.now();
    try {
      if (address !== null) server = await listen(address, () => latest?.() ?? null, args.quiet);
      const summary = await monitorJob(request, {
        now: () => (performance.now() - started) / 1000,
        sleep: (seconds) =>
          new Promise((resolve) =>
            seconds === 0 ? setImmediate(resolve) : setTimeout(resolve, seconds * 1000),
          ),
        stopped: () => interrupted !== null,
        input: request.sources.includes('-') ? process.stdin : undefined,
        onFinding: (finding) => view.finding(finding),
        onStatus: (status) => {
          latest = status;
          view.status(status);
        },
      });
      view.done(summary);
    } finally {
      view.close();
      release();
      server?.close();
    }
    if (interrupted !== null) process.exit(interrupted);
  },
};

function requestOf(args: Args): Parameters<typeof monitorJob>[0] {
  const planPath = required(args.plan, 'the plan.json of the job', USAGE);
  const sources = args.source ?? [];
  if (sources.length === 0)
    throw new PartitionError(
      'usage',
      'expected --source with a log, - or an address',
      null,
      `partition ${USAGE}`,
    );
  if (new Set(sources).size < sources.length)
    throw new PartitionError('usage', 'expected different sources, found one twice', '--source');
  const percent = Number(args['least-change']);
  if (!(percent >= 0 && percent < 100))
    throw new PartitionError('usage', `expected percent, found ${args['least-change']}`, '--least-change');
  return {
    planPath,
    sources,
    format: oneOf(args.format, LINE_FORMATS, '--format'),
    cluster: args.cluster,
    state: args['keep-state'] ? args.state : null,
    once: args.once,
    intervalSec: parseSeconds(args.interval, '--interval'),
    timeoutSec: parseSeconds(args.timeout, '--timeout'),
    watch: {
      falseAlarmSteps: integerBetween(args['false-alarms'], '--false-alarms', 100, 1e12),
      leastChange: percent / 100,
    },
  };
}

async function listen(
  address: ReturnType<typeof parseAddress>,
  latest: () => MonitorSummary | null,
  quiet: boolean,
): Promise<Server> {
  const server = await serveMetrics(address, latest);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  if (!quiet) printError(`metrics on http://${address.host}:${port}/metrics`);
  return server;
}
