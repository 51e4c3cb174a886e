/** How long the job takes when things fail: what the time goes into, how often to checkpoint, and when it ends. */
import { scaleLinear, scaleLog } from 'd3-scale';
import { line } from 'd3-shape';
import { formatPercent, formatSpan } from '../../util/format.js';
import type { GoodputFacts } from '../goodputTable.js';
import { formatEnd, riskNote, riskRows } from '../riskTable.js';
import type { RiskFacts } from '../riskTable.js';
import type { BarPart } from './bars.js';
import { barRows, legend } from './bars.js';
import type { Section, Markup } from './markup.js';
import { figure, html, table } from './markup.js';

export interface TrainingFacts {
  /** As `--mtbf` was written. */
  readonly stated: string;
  readonly goodput: GoodputFacts;
  /** Expected seconds of the job by the interval between checkpoints, by formula; ascending, empty where nothing fails. */
  readonly curve: readonly { readonly intervalSec: number; readonly expectedSec: number }[];
  readonly simulated: readonly {
    readonly intervalSec: number;
    readonly meanSec: number;
    readonly meanErrorSec: number;
  }[];
  /** Whether the formula is for failures of the kind that was simulated. */
  readonly isExponential: boolean;
  readonly risk: RiskFacts | null;
}

export function goodputSection(facts: TrainingFacts): Section {
  const { goodput: g, stated, risk } = facts;
  const failures =
    g.mtbfSec === null
      ? 'Nothing fails.'
      : `A failure every ${formatSpan(g.mtbfSec)}, ${(g.expectedFailures ?? Infinity).toPrecision(3)} in all.`;
  const checkpoints =
    g.intervalSec === null
      ? 'No checkpoint pays.'
      : `Best is a checkpoint after every ${formatSpan(g.intervalSec)} of work.`;
  return {
    id: 'training',
    title: 'Time to train',
    body: html`
      <p>
        ${g.steps} steps
        ${g.expectedSec === null ? 'are never done' : `in ${formatEnd(g.expectedSec)} expected`}, goodput
        ${formatPercent(g.goodput ?? 0)}. ${failures} ${checkpoints} As stated:
        <code>--mtbf ${stated}</code>
      </p>
      ${g.expectedSec === null ? null : timeParts(g, g.expectedSec)}
      ${facts.curve.length < 2 ? null : intervals(facts)} ${risk === null ? null : ends(risk)}
    `,
  };
}

const PARTS: readonly {
  readonly key: keyof GoodputFacts;
  readonly label: string;
  readonly colour: string;
}[] = [
  { key: 'checkpointingSec', label: 'checkpoints', colour: 'var(--t4)' },
  { key: 'lostSec', label: 'work done again', colour: 'var(--t3)' },
  { key: 'restartingSec', label: 'restarts', colour: 'var(--t5)' },
  { key: 'waitingSec', label: 'waiting for repairs', colour: 'var(--transfer)' },
];

function timeParts(g: GoodputFacts, totalSec: number): Markup {
  const workSec = g.workSec ?? 0;
  const stepsSec = workSec / (g.stragglerFactor ?? 1);
  const times: [string, string, number][] = [
    ['steps', 'var(--t1)', stepsSec],
    ['waiting for stragglers', 'var(--t2)', workSec - stepsSec],
    ...PARTS.map(({ key, label, colour }): [string, string, number] => [label, colour, g[key] ?? 0]),
  ];
  const parts: BarPart[] = times.map(([label, colour, timeSec]) => ({
    label,
    colour,
    share: timeSec / totalSec,
    text: `${formatSpan(timeSec)}, ${formatPercent(timeSec / totalSec)}`,
  }));
  return html`
    ${figure(
      'Expected time of the job by what it goes into; the table below tells the same',
      barRows([{ name: 'the job', parts, text: formatEnd(totalSec) }]),
      '',
    )}
    ${legend(parts)}
    ${table(
      'Where the time goes, in expectation',
      ['part', 'time', 'share'],
      parts.map(({ label, text }) => [label, ...text.split(', ')]),
    )}
  `;
}

const WIDTH = 640;
const HEIGHT = 250;
const MARGIN = { left: 64, right: 16, top: 14, bottom: 40 };
/** Round times for the axis, seconds. */
const TICKS = [
  1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 259_200, 604_800, 2_592_000,
];

/** Expected time against the interval between checkpoints. */
function intervals({ curve, simulated, goodput, isExponential }: TrainingFacts): Markup {
  const low = Math.min(...curve.map((p) => p.expectedSec), ...simulated.map((p) => p.meanSec));
  const high = Math.max(...curve.map((p) => p.expectedSec));
  const x = scaleLog(
    [curve[0].intervalSec, curve[curve.length - 1].intervalSec],
    [MARGIN.left, WIDTH - MARGIN.right],
  );
  const y = scaleLinear([low - 0.05 * (high - low), high], [HEIGHT - MARGIN.bottom, MARGIN.top]).clamp(true);
  const path = line<TrainingFacts['curve'][number]>(
    (p) => round(x(p.intervalSec)),
    (p) => round(y(p.expectedSec)),
  )(curve);
  const [first, last] = x.domain();
  const bottom = HEIGHT - MARGIN.bottom;
  const xTicks = TICKS.filter((t) => t >= first && t <= last).map((t) => {
    const at = round(x(t));
    return html`<line x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${bottom}" /><text
        x="${at}"
        y="${bottom + 15}"
        text-anchor="middle"
      >
        ${tickText(t)}
      </text>`;
  });
  const unitSec = high < 7200 ? 60 : high < 172_800 ? 3600 : 86_400;
  const inUnits = scaleLinear(
    y.domain().map((t) => t / unitSec),
    y.range(),
  );
  const yTicks = inUnits.ticks(5).map((t) => {
    const at = round(inUnits(t));
    return html`<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}" /><text
        x="${MARGIN.left - 5}"
        y="${at + 4}"
        text-anchor="end"
      >
        ${inUnits.tickFormat(5)(t)} ${unitSec === 60 ? 'min' : unitSec === 3600 ? 'h' : 'days'}
      </text>`;
  });
  const dots = simulated.map(
    (p) =>
      html`<circle cx="${round(x(p.intervalSec))}" cy="${round(y(p.meanSec))}" r="3.5" fill="var(--t5)">
        <title>
          every ${formatSpan(p.intervalSec)}: ${formatEnd(p.meanSec)} ± ${formatSpan(p.meanErrorSec)}
        </title>
      </circle>`,
  );
  const best = goodput.intervalSec;
  const mark =
    best === null || best < first || best > last
      ? null
      : html`<circle cx="${round(x(best))}" cy="${round(y(goodput.expectedSec!))}" r="6" fill="var(--good)">
          <title>best: every ${formatSpan(best)}, ${formatEnd(goodput.expectedSec)}</title>
        </circle>`;
  const kind = isExponential
    ? ''
    : ' The formula is for failures that do not come in bursts, unlike those simulated.';
  const picture = html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" font-size="11">
    ${xTicks} ${yTicks}
    <path d="${path}" fill="none" stroke="var(--accent)" stroke-width="2" />
    ${dots} ${mark}
    <text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">work between two checkpoints</text>
  </svg>`;
  return html`<h3>How often to checkpoint</h3>
    <div class="scroll curves" tabindex="0" role="region" aria-label="Expected time by checkpoint interval">
      ${figure(
        `Expected time of the job against the work between checkpoints${best === null ? '' : `; lowest at ${formatSpan(best)}`}`,
        picture,
        `Line: by formula. Small dots: means of simulated jobs. Large dot: the best.${kind}`,
      )}
    </div>`;
}

/** Both ends of tick marks are whole numbers of their unit. */
function tickText(timeSec: number): string {
  if (timeSec < 60) return `${timeSec} s`;
  if (timeSec < 3600) return `${timeSec / 60} min`;
  return timeSec < 86_400 ? `${timeSec / 3600} h` : `${timeSec / 86_400} d`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function ends(risk: RiskFacts): Markup {
  const [head, ...rows] = riskRows(risk);
  return html`<h3>When it ends</h3>
    ${table('Simulated runs of the job', head, rows)}
    <p class="note">${riskNote(risk)}</p>`;
}
