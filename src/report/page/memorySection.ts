/** Memory of every stage over time, against what its devices have. */
import { area, curveStepAfter } from 'd3-shape';
import { scaleLinear } from 'd3-scale';
import { MEMORY_TERMS } from '../../simulate/terms.js';
import type { RankMemoryTimeline } from '../../simulate/memoryTimeline.js';
import type { MemoryBreakdown } from '../../plan/types.js';
import { formatBytes, formatPercent, formatSeconds } from '../../util/format.js';
import type { BarPart } from './bars.js';
import { barRows, legend } from './bars.js';
import type { ReportFacts, StepFacts } from './facts.js';
import type { Markup, Section } from './markup.js';
import { figure, html, table, tableBehind } from './markup.js';

const COLOURS: Readonly<Record<(typeof MEMORY_TERMS)[number]['key'], string>> = {
  parameterBytes: 'var(--m1)',
  gradientBytes: 'var(--m2)',
  optimizerBytes: 'var(--m3)',
  reservedBytes: 'var(--m4)',
  cacheBytes: 'var(--m5)',
  activationBytes: 'var(--m6)',
  transientBytes: 'var(--m7)',
};
/** From the bottom of a picture to its top: what stays, then what comes and goes. */
const STACK = [
  'reservedBytes',
  'parameterBytes',
  'gradientBytes',
  'optimizerBytes',
  'cacheBytes',
  'activationBytes',
  'transientBytes',
] as const;

/** Steps of all pictures together, and of one at least and at most: what a page can carry and an eye can see. */
const ALL_STEPS = 6000;
const STEPS = { least: 60, most: 400 };
/** Pictures that are seen at once. */
const MOST_SHOWN = 16;
/** Size that pictures are drawn at; they are stretched to the room there is. */
const WIDTH = 300;
const HEIGHT = 110;

export function memorySection({ plan, step }: ReportFacts): Section {
  const { memoryPerRank, memoryCapacityBytes } = plan.prediction;
  const capacity = (r: number): number => step?.capacityBytes[r] ?? memoryCapacityBytes;
  const held = STACK.filter((key) => memoryPerRank.some((m) => m[key] > 0));
  const label = (key: (typeof STACK)[number]): string => MEMORY_TERMS.find((t) => t.key === key)!.label;
  const numbers: Parameters<typeof table> = [
    'Peak memory of a device of each stage',
    ['stage', ...held.map(label), 'total', 'of capacity'],
    memoryPerRank.map((m, r) => [
      String(r),
      ...held.map((key) => formatBytes(m[key])),
      formatBytes(m.totalBytes),
      formatPercent(m.totalBytes / capacity(r)),
    ]),
  ];
  return {
    id: 'memory',
    title: 'Memory',
    body: html`
      <p>
        The fullest stage peaks at ${formatBytes(plan.prediction.peakMemoryBytes)} of
        ${formatBytes(memoryCapacityBytes)} a device.
      </p>
      ${figure(
        'Peak memory of each stage by what holds it; the table below tells the same',
        barRows(memoryPerRank.map((m, r) => peakRow(m, r, capacity(r), held, label))),
        'A full bar is a full device.',
      )}
      ${legend(held.map((key) => ({ label: label(key), colour: COLOURS[key] })))}
      ${
        step === null
          ? null
          : html`<h3>Over the step</h3>
              ${pictures(step, held)}
              <p class="note">
                From left to right one step of ${formatSeconds(step.memory.stepTimeSec)}; the line at the top
                is the device's memory.
              </p>`
      }
      ${memoryPerRank.length <= 4 ? table(...numbers) : tableBehind(...numbers)}
    `,
  };
}

function peakRow(
  m: MemoryBreakdown,
  r: number,
  capacityBytes: number,
  held: readonly (typeof STACK)[number][],
  label: (key: (typeof STACK)[number]) => string,
): Parameters<typeof barRows>[0][number] {
  // What does not fit is still drawn inside the bar.
  const whole = Math.max(capacityBytes, m.totalBytes);
  const parts: BarPart[] = held.map((key) => ({
    label: label(key),
    colour: COLOURS[key],
    share: m[key] / whole,
    text: formatBytes(m[key]),
  }));
  return { name: `stage ${r}`, parts, text: formatPercent(m.totalBytes / capacityBytes) };
}

/** All stages; of many the first ones, the fullest and the last, the others to be opened. */
function pictures(step: StepFacts, held: readonly (typeof STACK)[number][]): Markup {
  const { ranks } = step.memory;
  const fullest = ranks.reduce((most, rank, r) => (rank.peakBytes > ranks[most].peakBytes ? r : most), 0);
  const isShown = (r: number): boolean =>
    ranks.length <= MOST_SHOWN || r < MOST_SHOWN - 2 || r === fullest || r === ranks.length - 1;
  const drawn = (shown: boolean): Markup =>
    html`<div class="multiples">
      ${ranks.map((rank, r) => (isShown(r) === shown ? picture(rank, r, step, held) : null))}
    </div>`;
  const rest = ranks.filter((_, r) => !isShown(r)).length;
  if (rest === 0) return drawn(true);
  return html`${drawn(true)}
    <details>
      <summary>The other ${rest} stages</summary>
      ${drawn(false)}
    </details>`;
}

/** One stage: a picture of its own scale in time, and the same scale in bytes as all. */
function picture(
  rank: RankMemoryTimeline,
  r: number,
  step: StepFacts,
  held: readonly (typeof STACK)[number][],
): Markup {
  const capacity = step.capacityBytes[r];
  const steps = Math.min(STEPS.most, Math.max(STEPS.least, Math.floor(ALL_STEPS / step.rankCount)));
  const points = thinned(rank, step.memory.stepTimeSec, steps);
  const x = scaleLinear([0, step.memory.stepTimeSec], [0, WIDTH]);
  const y = scaleLinear([0, Math.max(capacity, rank.peakBytes)], [HEIGHT, 0]);
  let base: number[] = points.map(() => 0);
  const layers = held.map((key) => {
    const top = points.map((p, i) => base[i] + amount(rank, key, p));
    const path = area<number>()
      .x((i) => round(x(points[i].timeSec)))
      .y0((i) => round(y(base[i])))
      .y1((i) => round(y(top[i])))
      .curve(curveStepAfter)(
      isLevel(top) && isLevel(base) ? [0, points.length - 1] : points.map((_, i) => i),
    );
    base = top;
    return html`<path d="${path}" style="fill:${COLOURS[key]}" />`;
  });
  const line = round(y(capacity));
  const text = `peak ${formatBytes(rank.peakBytes)} at ${formatSeconds(rank.peakAtSec)}`;
  return html`<figure>
    <figcaption>
      <b>stage ${r}</b> ${formatBytes(rank.peakBytes)} (${formatPercent(rank.peakBytes / capacity)}) at
      ${formatSeconds(rank.peakAtSec)}
    </figcaption>
    <svg
      viewBox="0 -2 ${WIDTH} ${HEIGHT + 2}"
      preserveAspectRatio="none"
      role="img"
      aria-label="Memory of stage ${r} over the step: ${text} of ${formatBytes(capacity)}"
    >
      ${layers}
      <line x1="0" x2="${WIDTH}" y1="${line}" y2="${line}" class="capacity" />
    </svg>
  </figure>`;
}

interface Point {
  readonly timeSec: number;
  readonly activationBytes: number;
  readonly transientBytes: number;
}

function amount(rank: RankMemoryTimeline, key: (typeof STACK)[number], p: Point): number {
  return key === 'activationBytes' || key === 'transientBytes' ? p[key] : rank.constant[key];
}

/** The samples, or the fullest moment of each of so many equal parts of the step. */
function thinned(rank: RankMemoryTimeline, stepTimeSec: number, parts: number): Point[] {
  const at = (i: number, timeSec: number): Point => ({
    timeSec,
    activationBytes: rank.activationBytes[i],
    transientBytes: rank.transientBytes[i],
  });
  const last = rank.timeSec.length - 1;
  const end = at(last, stepTimeSec);
  if (last < parts) return [...Array.from(rank.timeSec, (sec, i) => at(i, sec)), end];
  const points: Point[] = [];
  let i = 0;
  for (let part = 0; part < parts; part++) {
    const until = (stepTimeSec * (part + 1)) / parts;
    let fullest = i;
    while (i < last && rank.timeSec[i + 1] < until) {
      i++;
      if (total(rank, i) > total(rank, fullest)) fullest = i;
    }
    points.push(at(fullest, (stepTimeSec * part) / parts));
  }
  return [...points, end];
}

function total(rank: RankMemoryTimeline, i: number): number {
  return rank.activationBytes[i] + rank.transientBytes[i];
}

function isLevel(values: readonly number[]): boolean {
  return values.every((v) => v === values[0]);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
