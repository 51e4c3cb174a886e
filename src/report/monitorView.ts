/**
 * A running job as a terminal shows it, redrawn several times a second.
 *
 *     step 1204   seen 1203   0.95x of the plan's step
 *     step time  ==================|====        1.03 s   plan 977 ms
 *     ...                        (the bar's mark is the plan)
 *     host0      ========================        99.8%   41 %   5.1 kW
 *     findings   3
 *       step 210  host3 computes more slowly by 6.1% since step 201
 */
import { oneLine } from '../util/errors.js';
import { formatPercent, formatSeconds, formatSi } from '../util/format.js';
import type { MonitorFacts } from './monitorTable.js';
import { recordLines } from './monitorTable.js';
import type { TerminalStyle } from './terminalPicture.js';

const NAME = 14;
/** Beside a bar: two numbers. */
const NUMBERS = 26;
/** Rows that are always there: title, three measures, records, tests, findings' title. */
const FIXED_ROWS = 9;
const FEWEST_FINDINGS = 2;
/** Speeds from here to 1 fill a host's bar: below it, nobody needs to know by how much. */
const SLOWEST_SHOWN = 0.5;

const RED = 31;
const GREEN = 32;
const YELLOW = 33;
const GREY = 90;
const BOLD = 1;
const SLOW = 0.97;
const VERY_SLOW = 0.9;
const NEAR_PLAN = 1.1;
const FAR_FROM_PLAN = 1.3;

/** @param rows of the terminal; the picture takes one less, so that the cursor has its line */
export function monitorView(facts: MonitorFacts, style: TerminalStyle, rows: number): string[] {
  const { observed, predicted } = facts;
  const barWidth = Math.max(10, Math.min(60, style.width - NAME - NUMBERS - 4));
  const time = observed.stepTime;
  const ratio = time === null ? null : time.medianSec / predicted.stepTimeSec;
  const title =
    observed.steps === 0
      ? 'waiting for the first step'
      : `step ${observed.lastStep}   ${observed.steps} seen   ${ratio!.toFixed(2)}x the plan's step time`;
  const lines = [
    ink(title, BOLD, style),
    measure(
      'step time',
      time?.medianSec ?? null,
      predicted.stepTimeSec,
      formatSeconds,
      true,
      barWidth,
      style,
    ),
    measure(
      'tokens/s',
      facts.tokensPerSec,
      predicted.tokensPerSec,
      (v) => formatSi(v),
      false,
      barWidth,
      style,
    ),
    measure('power', facts.powerWatt, predicted.powerWatt, (v) => formatSi(v, 'W'), true, barWidth, style),
  ];
  const joules = facts.energyJoulesPerStep;
  if (joules !== null) lines.push(`${'energy'.padEnd(NAME)}${formatSi(joules, 'J')} a step`);
  for (const { level, bandwidthRatio } of observed.levels) {
    const name = level === null ? 'links' : `link ${oneLine(level, NAME - 6)}`;
    lines.push(
      ratioRow(name, bandwidthRatio, `${formatPercent(bandwidthRatio)} of its first`, barWidth, style),
    );
  }
  const records = recordLines(facts).map((line) => ink(line, GREY, style));
  const tests =
    facts.tests === 0
      ? 'learning what is usual'
      : `${facts.tests} drift tests, one false alarm in ${facts.falseAlarmSteps} steps expected`;
  const room = Math.max(
    1,
    rows - 1 - FIXED_ROWS - (lines.length - 4) - (records.length - 1) - FEWEST_FINDINGS,
  );
  const hosts = hostRows(facts, Math.max(1, Math.ceil(room * 0.6)), barWidth, style);
  const left = Math.max(FEWEST_FINDINGS, rows - 1 - lines.length - hosts.length - records.length - 3);
  const findings = observed.findings
    .slice(-left)
    .map(({ step, message }) => `  step ${step}  ${oneLine(message, 150)}`);
  return [
    ...lines,
    ...hosts,
    ...records,
    ink(tests, GREY, style),
    ink(`findings: ${facts.findingCount}`, facts.findingCount > 0 ? YELLOW : GREEN, style),
    ...(findings.length === 0 ? ['  none'] : findings),
  ]
    .map((line) => clip(line, style.width))
    .slice(0, Math.max(4, rows - 1));
}

/** A bar to twice the plan's value, with a mark where the plan's is. @param isCost more is worse */
function measure(
  name: string,
  observed: number | null,
  planned: number,
  text: (value: number) => string,
  isCost: boolean,
  width: number,
  style: TerminalStyle,
): string {
  const head = name.padEnd(NAME);
  if (observed === null) return `${head}${blank(width, style)}  ${'-'.padStart(9)}   plan ${text(planned)}`;
  const ratio = observed / planned;
  const worse = isCost ? ratio : 1 / ratio;
  const colour = worse > FAR_FROM_PLAN ? RED : worse > NEAR_PLAN ? YELLOW : GREEN;
  const filled = Math.round(Math.min(1, ratio / 2) * width);
  const mark = Math.round(width / 2);
  const cells = Array.from({ length: width }, (_, i) => {
    if (i === mark) return style.unicode ? '│' : '|';
    return i < filled ? full(style) : empty(style);
  }).join('');
  return `${head}${ink(cells, colour, style)}  ${text(observed).padStart(9)}   plan ${text(planned)}`;
}

function hostRows({ observed }: MonitorFacts, most: number, width: number, style: TerminalStyle): string[] {
  if (observed.hosts.length === 0) return [];
  const byNeed = [...observed.hosts].sort(
    (a, b) => Number(b.silent) - Number(a.silent) || a.speedRatio - b.speedRatio,
  );
  const shown = byNeed.slice(0, most).map((host) => {
    const name = oneLine(host.name, NAME - 2);
    const rest = [
      host.silent ? 'silent' : formatPercent(host.speedRatio),
      host.utilisation === null ? '' : `${formatPercent(host.utilisation)} used`,
      host.powerWatt === null ? '' : formatSi(host.powerWatt, 'W'),
    ].filter((part) => part !== '');
    return ratioRow(name, host.silent ? 0 : host.speedRatio, rest.join('  '), width, style);
  });
  const others = byNeed.length - shown.length;
  return others > 0 ? [...shown, ink(`${' '.repeat(NAME)}${others} faster hosts`, GREY, style)] : shown;
}

function ratioRow(name: string, ratio: number, text: string, width: number, style: TerminalStyle): string {
  const share = Math.min(1, Math.max(0, (ratio - SLOWEST_SHOWN) / (1 - SLOWEST_SHOWN)));
  const filled = Math.round(share * width);
  const colour = ratio < VERY_SLOW ? RED : ratio < SLOW ? YELLOW : GREEN;
  const bar = full(style).repeat(filled) + empty(style).repeat(width - filled);
  return `${name.padEnd(NAME)}${ink(bar, colour, style)}  ${text}`;
}

function blank(width: number, style: TerminalStyle): string {
  return ink(empty(style).repeat(width), GREY, style);
}

const full = ({ unicode }: TerminalStyle): string => (unicode ? '█' : '=');
const empty = ({ unicode }: TerminalStyle): string => (unicode ? '░' : '.');

function ink(text: string, code: number, { colour }: TerminalStyle): string {
  return colour ? `\u001b[${code}m${text}\u001b[0m` : text;
}

// eslint-disable-next-line no-control-regex
const INK = /\u001b\[\d+m/y;

/** Cuts a line to columns, counting no colours, and ends what was begun. */
function clip(line: string, width: number): string {
  let columns = 0;
  let isInked = false;
  for (let at = 0; at < line.length;) {
    INK.lastIndex = at;
    const mark = INK.exec(line);
    if (mark !== null) {
      isInked = mark[0] !== '\u001b[0m';
      at += mark[0].length;
      continue;
    }
    if (columns === width) return line.slice(0, at) + (isInked ? '\u001b[0m' : '');
    columns++;
    at++;
  }
  return line;
}
