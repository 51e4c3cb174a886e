/** What a monitored job does, in words: the live view and the last word. */
import { formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';
import { oneLine } from '../util/errors.js';

/** What the tables need of a summary. */
export interface MonitorFacts {
  readonly sources: readonly {
    readonly source: string;
    readonly lines: number;
    readonly fault: string | null;
  }[];
  /** True when an earlier run's state was taken up. */
  readonly resumed: boolean;
  readonly accepted: number;
  readonly late: number;
  readonly twice: number;
  readonly turnedAway: number;
  readonly faults: readonly { readonly fault: string; readonly count: number }[];
  readonly unknownHosts: readonly string[];
  /** Steps between false alarms, of all tests together, and how many tests there are. */
  readonly falseAlarmSteps: number;
  readonly tests: number;
  readonly predicted: {
    readonly stepTimeSec: number;
    readonly tokensPerSec: number;
    readonly powerWatt: number;
  };
  readonly tokensPerSec: number | null;
  readonly powerWatt: number | null;
  readonly energyJoulesPerStep: number | null;
  readonly findingCount: number;
  readonly observed: {
    readonly steps: number;
    readonly lastStep: number;
    readonly stepTime: {
      readonly medianSec: number;
      readonly p10Sec: number;
      readonly p90Sec: number;
    } | null;
    readonly hosts: readonly {
      readonly name: string;
      readonly speedRatio: number;
      readonly powerWatt: number | null;
      readonly utilisation: number | null;
      readonly silent: boolean;
    }[];
    readonly levels: readonly { readonly level: string | null; readonly bandwidthRatio: number }[];
    readonly findings: readonly { readonly step: number; readonly message: string }[];
  };
}

const SHOWN_HOSTS = 6;
const SHOWN_FINDINGS = 8;

/** The whole of it, for a terminal or a log. */
export function monitorTable(facts: MonitorFacts): string {
  return monitorLines(facts).join('\n');
}

export function monitorLines(facts: MonitorFacts): string[] {
  const { observed, predicted } = facts;
  const time = observed.stepTime;
  const rows = [
    ['', 'observed', 'plan', 'ratio'],
    measured('step time', time?.medianSec ?? null, predicted.stepTimeSec, formatSeconds),
    measured('tokens/s', facts.tokensPerSec, predicted.tokensPerSec, (v) => formatSi(v)),
    measured('power', facts.powerWatt, predicted.powerWatt, (v) => formatSi(v, 'W')),
  ];
  const spread =
    time === null
      ? ''
      : `, 10 % to 90 % of steps: ${formatSeconds(time.p10Sec)} to ${formatSeconds(time.p90Sec)}`;
  return [
    observed.steps === 0
      ? 'no step yet'
      : `step ${observed.lastStep}, ${observed.steps} seen${spread}${facts.resumed ? ', resumed' : ''}`,
    ...formatTable(rows).split('\n'),
    ...hostLines(facts),
    ...observed.levels
      .filter(({ level }) => level !== null)
      .map(
        ({ level, bandwidthRatio }) =>
          `link level ${level}: ${formatPercent(bandwidthRatio)} of its first bandwidth`,
      ),
    ...recordLines(facts),
    facts.tests === 0
      ? 'learning what is usual'
      : `${facts.tests} drift tests, one false alarm in ${facts.falseAlarmSteps} steps expected`,
    `findings: ${facts.findingCount}`,
    ...observed.findings
      .slice(-SHOWN_FINDINGS)
      .map(({ step, message }) => `  step ${step}: ${oneLine(message, 150)}`),
  ];
}

function measured(
  name: string,
  observed: number | null,
  planned: number,
  text: (value: number) => string,
): string[] {
  if (observed === null) return [name, '-', text(planned), ''];
  return [name, text(observed), text(planned), `${(observed / planned).toFixed(2)}x`];
}

/** The hosts that run slowest. */
function hostLines({ observed }: MonitorFacts): string[] {
  if (observed.hosts.length === 0) return [];
  const slowest = [...observed.hosts].sort((a, b) => a.speedRatio - b.speedRatio).slice(0, SHOWN_HOSTS);
  const rows = slowest.map((host) => [
    oneLine(host.name, 40),
    host.silent ? 'silent' : formatPercent(host.speedRatio),
    host.utilisation === null ? '-' : formatPercent(host.utilisation),
    host.powerWatt === null ? '-' : formatSi(host.powerWatt, 'W'),
  ]);
  return formatTable([
    [`slowest of ${observed.hosts.length} hosts`, 'speed', 'utilisation', 'power'],
    ...rows,
  ]).split('\n');
}

/** What was taken and what was not, and what sources say of themselves. */
export function recordLines(facts: MonitorFacts): string[] {
  const away = facts.faults.map(({ fault, count }) => `${count} ${fault}`).join(', ');
  const strangers = facts.unknownHosts.slice(0, 4).join(', ');
  return [
    [
      `records: ${facts.accepted} taken`,
      ...(facts.late > 0 ? [`${facts.late} late`] : []),
      ...(facts.twice > 0 ? [`${facts.twice} twice`] : []),
      ...(facts.turnedAway > 0 ? [`${facts.turnedAway} turned away (${away})`] : []),
    ].join(', '),
    ...(strangers === '' ? [] : [`hosts that are none of the plan's: ${strangers}`]),
    ...facts.sources
      .filter(({ fault }) => fault !== null)
      .map(({ source, fault }) => `${oneLine(source, 80)}: ${fault}`),
  ];
}
