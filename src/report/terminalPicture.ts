/**
 * A plan as a terminal shows it: a row a stage, its time beside its memory.
 *
 *     stage  step of 1.23 s: = works, + communicates, . waits   memory of 80.0 GiB
 *     0      ===================++.....  78.9%                  ===========.............  45.3%
 */
import type { MemoryBreakdown } from '../plan/types.js';
import { TIME_TERMS } from '../simulate/terms.js';
import { formatBytes, formatPercent, formatSeconds } from '../util/format.js';
import type { ExplanationFacts } from './explanationTable.js';

/** How a terminal wants its text. */
export interface TerminalStyle {
  /** Columns, at least 60. */
  readonly width: number;
  readonly colour: boolean;
  /** Block characters; else plain ASCII. */
  readonly unicode: boolean;
}

/** Shares of a stage's step; they add up to 1. */
export interface StageShare {
  readonly works: number;
  /** Communicates while nothing hides it. */
  readonly communicates: number;
  readonly waits: number;
}

/** Of a plan whose step is explained. */
export function pictureFacts(
  explanation: ExplanationFacts,
  stepTimeSec: number,
  memoryPerRank: readonly MemoryBreakdown[],
): PictureFacts {
  return {
    stepTimeSec,
    stages: stageShares(explanation, stepTimeSec),
    memoryPerRank,
    capacityBytes: explanation.ranks.map((r) => r.capacityBytes),
  };
}

function stageShares({ ranks }: ExplanationFacts, stepTimeSec: number): StageShare[] {
  return ranks.map(({ time }) => {
    let communicates = 0;
    for (const { key, group } of TIME_TERMS)
      if (group === 'communication') communicates += time[key].exposedSec;
    const waits = time.bubble.exposedSec / stepTimeSec;
    const talks = communicates / stepTimeSec;
    return { works: Math.max(0, 1 - talks - waits), communicates: talks, waits };
  });
}

export interface PictureFacts {
  readonly stepTimeSec: number;
  readonly stages: readonly StageShare[];
  readonly memoryPerRank: readonly MemoryBreakdown[];
  /** Of each stage's devices. */
  readonly capacityBytes: readonly number[];
}

interface Mark {
  readonly block: string;
  readonly plain: string;
  /** ANSI colour. */
  readonly colour: number;
}

const WORKS: Mark = { block: '█', plain: '=', colour: 34 };
const COMMUNICATES: Mark = { block: '▓', plain: '+', colour: 33 };
const WAITS: Mark = { block: '░', plain: '.', colour: 90 };
const STATE: Mark = { block: '█', plain: '=', colour: 36 };
const PASSING: Mark = { block: '▓', plain: '+', colour: 35 };
const FREE: Mark = { block: '░', plain: '.', colour: 90 };
const OVER: Mark = { block: '█', plain: '!', colour: 31 };

/** Stages in a picture: of more, the first ones, the fullest and the last. */
const MOST_ROWS = 12;
/** Beside two bars: the stage's number, two percentages, the space between. */
const LABEL = 7;
const PERCENT = 7;
const BETWEEN = 3;

export function terminalPicture(facts: PictureFacts, style: TerminalStyle): string {
  const bar = Math.floor((style.width - LABEL - BETWEEN - 2 * PERCENT) / 2);
  const capacity = Math.max(...facts.capacityBytes);
  const legend = (pairs: readonly [Mark, string][]): string =>
    pairs.map(([mark, word]) => `${paint(mark, 1, style)} ${word}`).join(' ');
  const left = `step ${formatSeconds(facts.stepTimeSec)}`;
  const right = `memory ${formatBytes(capacity)}`;
  const lines = [
    `${'stage'.padEnd(LABEL)}${left.padEnd(bar + PERCENT + BETWEEN)}${right}`.trimEnd(),
    ...rowsOf(facts).map((r) =>
      r === null
        ? '...'
        : String(r).padEnd(LABEL) +
          timeBar(facts.stages[r], bar, style) +
          formatPercent(1 - facts.stages[r].waits).padStart(PERCENT) +
          ' '.repeat(BETWEEN) +
          memoryBar(facts.memoryPerRank[r], facts.capacityBytes[r], bar, style) +
          formatPercent(facts.memoryPerRank[r].totalBytes / facts.capacityBytes[r]).padStart(PERCENT),
    ),
    ' '.repeat(LABEL) +
      legend([
        [WORKS, 'works'],
        [COMMUNICATES, 'communicates'],
        [WAITS, 'waits'],
      ]),
    ' '.repeat(LABEL) +
      legend([
        [STATE, 'state'],
        [PASSING, 'activations, working set'],
        [FREE, 'free'],
      ]),
  ];
  return lines.join('\n');
}

/** Stages to show; null where some are left out. */
function rowsOf({ stages, memoryPerRank, capacityBytes }: PictureFacts): (number | null)[] {
  const all = stages.map((_, r) => r);
  if (all.length <= MOST_ROWS) return all;
  const fill = (r: number): number => memoryPerRank[r].totalBytes / capacityBytes[r];
  const fullest = all.reduce((most, r) => (fill(r) > fill(most) ? r : most), 0);
  const shown = all.filter((r) => r < MOST_ROWS - 3 || r === fullest || r === all.length - 1);
  return shown.flatMap((r, i) => (i > 0 && shown[i - 1] !== r - 1 ? [null, r] : [r]));
}

function timeBar(stage: StageShare, width: number, style: TerminalStyle): string {
  return cells(
    [
      [WORKS, stage.works],
      [COMMUNICATES, stage.communicates],
      [WAITS, stage.waits],
    ],
    width,
    style,
  );
}

function memoryBar(m: MemoryBreakdown, capacityBytes: number, width: number, style: TerminalStyle): string {
  const passing = m.activationBytes + m.transientBytes;
  if (m.totalBytes > capacityBytes) return cells([[OVER, 1]], width, style);
  return cells(
    [
      [STATE, (m.totalBytes - passing) / capacityBytes],
      [PASSING, passing / capacityBytes],
      [FREE, 1 - m.totalBytes / capacityBytes],
    ],
    width,
    style,
  );
}

/** Shares as whole cells that fill the width: each ends where the sum of the shares before it and of itself does. */
function cells(parts: readonly (readonly [Mark, number])[], width: number, style: TerminalStyle): string {
  let text = '';
  let sum = 0;
  let at = 0;
  for (const [i, [mark, share]] of parts.entries()) {
    sum += share;
    const end = i === parts.length - 1 ? width : Math.min(width, Math.round(sum * width));
    text += paint(mark, end - at, style);
    at = end;
  }
  return text;
}

function paint(mark: Mark, count: number, { unicode, colour }: TerminalStyle): string {
  if (count <= 0) return '';
  const text = (unicode ? mark.block : mark.plain).repeat(count);
  return colour ? `\u001b[${mark.colour}m${text}\u001b[0m` : text;
}
