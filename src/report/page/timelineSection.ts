/**
 * The pipeline's time line: every interval of the engine's run, packed into the page and drawn on a canvas by
 * `src/data/report/report.js`, which reads what is written here.
 */
import { gzipSync } from 'node:zlib';
import {
  STREAM_COLLECTIVE,
  STREAM_COMPUTE,
  STREAM_DATA_PARALLEL,
  STREAM_TRANSFER,
} from '../../simulate/timeline.js';
import type { Timeline } from '../../simulate/timeline.js';
import { formatPercent, formatSeconds } from '../../util/format.js';
import { legend } from './bars.js';
import type { ReportFacts, StepFacts } from './facts.js';
import type { Section } from './markup.js';
import { Markup, html, tableBehind } from './markup.js';

/** By kind of work, WORK_* of simulate/timeline; the names that a tip shows, and the page's colours. */
const WORK: readonly { readonly label: string; readonly colour: string }[] = [
  { label: 'forward', colour: 'var(--forward)' },
  { label: 'backward', colour: 'var(--backward)' },
  { label: 'send activation', colour: 'var(--transfer)' },
  { label: 'send gradient', colour: 'var(--transfer)' },
  { label: 'gather parameters', colour: 'var(--data)' },
  { label: 'reduce gradients', colour: 'var(--data)' },
  { label: 'sum tied gradients', colour: 'var(--data)' },
  { label: 'optimizer', colour: 'var(--optimizer)' },
  { label: 'gradient of weights', colour: 'var(--weight)' },
];
/** A collective that a task waits for is drawn in this colour, whatever the task. */
const COLLECTIVE_COLOUR = 'var(--collective)';

/** Largest packed time line, bytes; beyond it only what computes is kept. */
const MOST_BYTES = 1_200_000;

export function timelineSection({ plan }: ReportFacts, step: StepFacts): Section {
  const whole = pack(step.timeline, step.stepTimeSec, () => true);
  const isWhole = whole.length <= MOST_BYTES;
  const packed = isWhole
    ? whole
    : pack(step.timeline, step.stepTimeSec, (t, i) => t.stream[i] === STREAM_COMPUTE);
  const setting = {
    ranks: step.rankCount,
    stepTimeSec: step.stepTimeSec,
    works: WORK,
    collectiveColour: COLLECTIVE_COLOUR,
    packed: packed.toString('base64'),
  };
  const seen = new Set(step.timeline.work.subarray(0, step.timeline.count));
  const waits = step.timeline.stream.subarray(0, step.timeline.count).includes(STREAM_COLLECTIVE);
  const label = `Time line of one step on ${step.rankCount} pipeline ranks, ${plan.schedule}, ${plan.microbatches} microbatches`;
  return {
    id: 'timeline',
    title: 'The pipeline over time',
    body: html`
      <p>
        One device of every stage through one step of ${formatSeconds(step.stepTimeSec)}, played out event by
        event (${step.timeline.count} intervals${isWhole ? '' : '; here those that compute'}). Numbers are
        microbatches.
      </p>
      <div class="tools" role="toolbar" aria-label="Time line">
        <button type="button" data-zoom="in">Zoom in</button>
        <button type="button" data-zoom="out">Zoom out</button>
        <button type="button" data-zoom="left" aria-label="Earlier">&larr;</button>
        <button type="button" data-zoom="right" aria-label="Later">&rarr;</button>
        <button type="button" data-zoom="all">Whole step</button>
        <span class="hint">keys + &minus; &larr; &rarr; 0, drag, or Ctrl and the wheel</span>
      </div>
      <canvas
        id="timeline-canvas"
        tabindex="0"
        role="img"
        aria-label="${label}; the table below tells when each stage works and waits"
      ></canvas>
      <p id="timeline-tip" class="tip" aria-live="polite">Point at an interval to see what it is.</p>
      <noscript><p>The time line is drawn by a script, which this browser does not run.</p></noscript>
      ${legend([
        ...[...new Set(WORK.map((work) => work.colour))]
          .map((colour) => ({ label: labelsOf(colour, seen), colour }))
          .filter(({ label: text }) => text !== ''),
        ...(waits ? [{ label: 'collective that a task waits for', colour: COLLECTIVE_COLOUR }] : []),
      ])}
      ${tableBehind(
        'When each stage works',
        ['stage', 'computes', 'idle', 'idle share', 'ends at'],
        step.idleSec.map((idle, r) => [
          String(r),
          formatSeconds(step.stepTimeSec - idle),
          formatSeconds(idle),
          formatPercent(idle / step.stepTimeSec),
          formatSeconds(step.finishSec[r]),
        ]),
      )}
      ${new Markup(`<script type="application/json" id="timeline-data">${JSON.stringify(setting)}</script>`)}
    `,
  };
}

/** The kinds of work of a colour that there are. */
function labelsOf(colour: string, seen: ReadonlySet<number>): string {
  return WORK.filter((w, i) => w.colour === colour && seen.has(i))
    .map((w) => w.label)
    .join(', ');
}

/** Times are whole numbers of this share of the step. */
const TICKS = 2 ** 31;
const NONE = 0xffffffff;

/**
 * The intervals in compressed columns of 32-bit numbers, little end first: [count, then per interval: rank * 64 +
 * lane * 16 + work, virtual stage, microbatch, start, length]. Sorted by rank, lane and start; the start counts from the
 * end of the interval before it, modulo 2^32, and microbatches from the one before it, so that a regular schedule repeats
 * the same numbers.
 */
function pack(t: Timeline, stepTimeSec: number, keep: (t: Timeline, i: number) => boolean): Buffer {
  const order: number[] = [];
  for (let i = 0; i < t.count; i++) if (keep(t, i) && t.endSec[i] > t.startSec[i]) order.push(i);
  order.sort((a, b) => t.rank[a] - t.rank[b] || laneOf(t, a) - laneOf(t, b) || t.startSec[a] - t.startSec[b]);
  const n = order.length;
  const columns = new Uint32Array(1 + 5 * n);
  columns[0] = n;
  const tick = (sec: number): number => Math.round((sec / stepTimeSec) * TICKS);
  let end = 0;
  let microbatch = 0;
  order.forEach((i, k) => {
    const start = tick(t.startSec[i]);
    const stop = Math.max(start, tick(t.endSec[i]));
    columns[1 + k] = t.rank[i] * 64 + laneOf(t, i) * 16 + t.work[i];
    columns[1 + n + k] = t.virtualStage[i] < 0 ? NONE : t.virtualStage[i];
    columns[1 + 2 * n + k] = (t.microbatch[i] - microbatch) >>> 0;
    columns[1 + 3 * n + k] = (start - end) >>> 0;
    columns[1 + 4 * n + k] = stop - start;
    end = stop;
    microbatch = t.microbatch[i];
  });
  return gzipSync(new Uint8Array(columns.buffer), { level: 9 });
}

/** What a task waits for stands in its own lane: 0 computes, 1 collectives, 2 data parallel, 3 transfers. */
function laneOf(t: Timeline, i: number): number {
  if (t.stream[i] === STREAM_DATA_PARALLEL && t.microbatch[i] >= 0) return STREAM_COLLECTIVE;
  return t.stream[i] === STREAM_TRANSFER ? STREAM_TRANSFER : t.stream[i];
}
