/**
 * The monitor, measured: culprits and false alarms on made-up logs, records a second with the memory that it takes, and
 * lives that end by SIGKILL.
 *
 *     node --import tsx bench/monitor.ts drift            slowdowns and quiet steps under every kind of noise
 *     node --import tsx bench/monitor.ts flow [seconds]   10,000 records/s through `partition monitor` (60 s; 600 for the whole)
 *     node --import tsx bench/monitor.ts kills [times]    SIGKILL at random, through rotation (50)
 *
 * Each with `--write` puts its part of partitions/monitor.md anew.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../src/validation/monitor/finding.js';
import { HostNames } from '../src/validation/monitor/layout.js';
import { WATCH_DEFAULTS, Watch } from '../src/validation/monitor/watch.js';
import { faultOf } from '../src/validation/monitor/record.js';
import { jobLayoutOf, jobLog } from '../test/support/jobLog.js';
import type { JobLogOptions, Weather } from '../test/support/jobLog.js';
import { surviveKills } from '../test/support/monitorKills.js';
import { RATE, flow } from './monitorFlow.js';

const NOISE = 0.03;
const SLOW_AT = 200;
const WITHIN_STEPS = 50;
/** A slowdown that is not found by then is taken as missed. */
const LAST_STEP = 400;
/** The tests were made on other seeds. */
const FIRST_SEED = 1_700_000;
const RUNS = 200;
const QUIET_RUNS = 10;
const QUIET_STEPS = 10_000;

interface Setting {
  readonly name: string;
  readonly hosts?: number;
  readonly weather?: Weather;
}

const SETTINGS: readonly Setting[] = [
  { name: 'independent, normal' },
  { name: 'independent, 3 hosts', hosts: 3 },
  { name: 'independent, 32 hosts', hosts: 32 },
  { name: 'memory 0.3', weather: { memory: 0.3 } },
  { name: 'memory 0.6', weather: { memory: 0.6 } },
  { name: 'heavy tails (t, 3 degrees)', weather: { heavyTails: true } },
  { name: 'heavy tails, memory 0.6', weather: { heavyTails: true, memory: 0.6 } },
  {
    name: 'checkpoints, stumbling hosts',
    weather: { pause: { every: 50, seconds: 12 }, stumble: { every: 100, factor: 2 } },
  },
  { name: 'warm-up, twice as slow at first', weather: { warmUp: { excess: 1, steps: 15 } } },
  { name: 'all slow by 10 % in 3,000 steps', weather: { ramp: { change: 0.1, from: 1000, to: 4000 } } },
];

function findingsOf(options: JobLogOptions): Finding[] {
  const layout = jobLayoutOf(options.hosts);
  const names = new HostNames(options.hosts);
  const found: Finding[] = [];
  const watch = new Watch(layout, names, (f) => found.push(f));
  const checked = { rank: -1, host: -1 };
  for (const record of jobLog(options))
    if (faultOf(record, layout, names, checked) === null) watch.take(record, checked);
  watch.finish();
  return found.filter((f) => f.kind === 'drift');
}

function detection(setting: Setting, timing: 'barrier' | 'alone'): string[] {
  const hosts = setting.hosts ?? 8;
  let named = 0;
  const delays: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const host = run % hosts;
    const slow = { host, factor: 1.05, step: SLOW_AT };
    const noise = { noise: NOISE, timing, ...(setting.weather && { weather: setting.weather }) };
    const found = findingsOf({ ...noise, hosts, steps: LAST_STEP, seed: FIRST_SEED + run, slow });
    const first = found.find((f) => f.scope !== 'job' && f.step >= SLOW_AT);
    if (first === undefined) continue;
    delays.push(first.step - SLOW_AT);
    if (first.scope === 'host' && first.host === `host${host}`) named++;
  }
  delays.sort((a, b) => a - b);
  const within = delays.filter((d) => d <= WITHIN_STEPS).length;
  const share = (n: number): string => `${((100 * n) / RUNS).toFixed(1)} %`;
  const quantile = (q: number): string => String(delays[Math.floor(q * RUNS)] ?? `> ${LAST_STEP - SLOW_AT}`);
  return [share(within), share(named), quantile(0.5), quantile(0.9)];
}

/** False alarms in 10,000 steps; where the whole job changes, what is said of the whole job is true. */
function quiet(setting: Setting, timing: 'barrier' | 'alone'): string[] {
  let alarms = 0;
  let ofJob = 0;
  for (let run = 0; run < QUIET_RUNS; run++)
    for (const { scope } of findingsOf({
      ...{
        hosts: setting.hosts ?? 8,
        steps: QUIET_STEPS,
        seed: FIRST_SEED + 10_000 + run,
        noise: NOISE,
        timing,
      },
      ...(setting.weather && { weather: setting.weather }),
    }))
      if (setting.weather?.ramp !== undefined && scope === 'job') ofJob++;
      else alarms++;
  const rate = ((alarms * 10_000) / (QUIET_RUNS * QUIET_STEPS)).toFixed(2);
  return [ofJob === 0 ? rate : `${rate}; ${(ofJob / QUIET_RUNS).toFixed(1)} times told of the job`];
}

function drift(): string {
  const rows: string[] = [];
  for (const setting of SETTINGS)
    for (const timing of ['barrier', 'alone'] as const) {
      const name = timing === 'barrier' ? 'computing' : 'step times only';
      const row = [setting.name, name, ...detection(setting, timing), ...quiet(setting, timing)];
      console.log(row.join(' | '));
      rows.push(`| ${row.join(' | ')} |`);
    }
  return [
    `One of the hosts (8 where nothing is said) becomes 5 % slower at step ${SLOW_AT} of a log with ${NOISE * 100} % noise: ${RUNS} logs a row,`,
    `and ${QUIET_RUNS * QUIET_STEPS} steps a row in which nothing happens. The default is one false alarm in ${WATCH_DEFAULTS.falseAlarmSteps} steps. *Computing*: hosts wait`,
    'for each other and say how long they computed; *step times only*: each says its own. The right host is counted whenever it',
    `was found, before step ${LAST_STEP}; delays are in steps. Seeds from ${FIRST_SEED} on, which the tests were not made on.`,
    '',
    `| noise | hosts say | found within ${WITHIN_STEPS} steps | right host named first | median delay | 90 % delay | false alarms in 10,000 steps |`,
    '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
    '',
    'Noise with memory 0.6 moves for many steps together, as a slow host does: sums of it spread twice as wide, so that a change',
    'of 5 % is as hard to see as one of 2.5 % in independent noise. What does not fit the first order is widened for as well.',
  ].join('\n');
}

async function kills(times: number): Promise<string> {
  const { written, counts, told, expected } = await surviveKills(times, 77);
  const same = JSON.stringify(told) === JSON.stringify(expected);
  return (
    `${times} lives ended by SIGKILL at a random record, the log renamed away in every seventh: ${written} records written, ` +
    `${counts['accepted']} accepted, ${written - counts['accepted']} lost, ${counts['twice']} counted twice; findings ` +
    `${same ? 'as' : 'NOT as'} those of a monitor that nobody killed (${expected.length}).`
  );
}

const PAGE = new URL('../partitions/monitor.md', import.meta.url);
const HEAD = '# What `partition monitor` finds, and what it takes';

/** Puts one part of the page anew and leaves the others. */
function writePart(title: string, command: string, body: string): void {
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : `${HEAD}\n`;
  const [head, ...parts] = page.split(/^## /m);
  const part = `${title}\n\n\`node --import tsx bench/monitor.ts ${command} --write\`\n\n${body}\n\n`;
  const rest = parts.filter((p) => !p.startsWith(`${title}\n`));
  const all = [...rest, part].sort().map((p) => `## ${p.trimEnd()}\n`);
  writeFileSync(
    PAGE,
    [head.trimEnd(), '', ...all]
      .join('\n')
      .replace(/\n## /g, '\n\n## ')
      .replace(/\n{3,}/g, '\n\n'),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [what = 'drift', amount] = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
  const [title, command, body] =
    what === 'flow'
      ? [`Flow: ${RATE} records a second`, `flow ${amount ?? 60}`, await flow(Number(amount ?? 60))]
      : what === 'kills'
        ? ['Kills', `kills ${amount ?? 50}`, await kills(Number(amount ?? 50))]
        : ['Drift', 'drift', drift()];
  console.log(body);
  if (process.argv.includes('--write')) writePart(title, command, body);
}
