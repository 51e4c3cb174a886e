/**
 * An engine run as a trace that Perfetto and chrome://tracing open (Trace Event Format, JSON): a process per pipeline
 * rank, a thread per stream, a complete event (`X`) per interval, a flow arrow (`s`, `f`) per message from the task that
 * made it to the task that waited for it, counters (`C`) of memory and power. Complete events of a thread never overlap.
 */
import type { RankCounters, StepFunction } from './counters.js';
import type { EngineRun } from './engine.js';
import {
  STREAM_COLLECTIVE,
  STREAM_DATA_PARALLEL,
  STREAM_TRANSFER,
  WORK_BACKWARD,
  WORK_FORWARD,
  WORK_SEND_ACTIVATION,
  WORK_SEND_GRADIENT,
} from './timeline.js';
import type { Timeline } from './timeline.js';
import { invariant } from '../util/errors.js';

/** What a task waits for stands under `collectives`; reductions and gathers that run beside it under `data parallel`. */
const TRACK_NAMES = ['compute', 'collectives', 'data parallel', 'transfers'];
const STREAM_NAMES = ['compute', 'collective', 'data parallel', 'transfer'];
const WORK_NAMES = [
  'forward',
  'backward',
  'send activation',
  'send gradient',
  'gather parameters',
  'reduce gradients',
  'sum tied gradients',
  'optimizer',
  'weight gradient',
];
/** Colours of the legacy viewer, by kind of work, so that forward and backward can be told apart. */
const WORK_COLOURS = [
  'thread_state_running',
  'rail_response',
  'thread_state_iowait',
  'thread_state_iowait',
  'rail_load',
  'rail_load',
  'rail_load',
  'rail_animation',
  'rail_idle',
];

/**
 * The trace as JSON text, one event a line. Times are microseconds with nanosecond digits; the same run gives the same
 * text.
 *
 * @param run an engine run that recorded its timeline
 * @param counters per pipeline rank, of the same run
 */
export function chromeTrace(
  run: EngineRun,
  title = 'one step of a pipeline',
  counters: readonly RankCounters[] = [],
): string {
  const { timeline } = run;
  invariant(timeline !== null, 'a trace needs a run that was recorded');
  const lines: string[] = [];
  for (let r = 0; r < run.rankCount; r++) {
    lines.push(metadata(r, 0, 'process_name', `pipeline rank ${r}`), sortIndex(r));
    TRACK_NAMES.forEach((name, track) => lines.push(metadata(r, track, 'thread_name', name)));
  }
  counters.forEach((rank, r) => counterEvents(rank, r, run.stepTimeSec, lines));
  const starts = taskStarts(timeline);
  for (let i = 0; i < timeline.count; i++) {
    lines.push(interval(timeline, i));
    if (timeline.stream[i] === STREAM_TRANSFER) lines.push(...flow(timeline, i, run.rankCount, starts));
  }
  const head = JSON.stringify({ title, stepTimeSec: run.stepTimeSec });
  return `{"displayTimeUnit":"ms","otherData":${head},"traceEvents":[\n${lines.join(',\n')}\n]}\n`;
}

function metadata(pid: number, tid: number, name: string, value: string): string {
  return JSON.stringify({ ph: 'M', pid, tid, name, args: { name: value } });
}

function sortIndex(pid: number): string {
  return JSON.stringify({ ph: 'M', pid, tid: 0, name: 'process_sort_index', args: { sort_index: pid } });
}

function interval(t: Timeline, i: number): string {
  const work = t.work[i];
  const microbatch = t.microbatch[i];
  const args: Record<string, number> = {};
  if (t.virtualStage[i] >= 0) args.virtualStage = t.virtualStage[i];
  if (microbatch >= 0) args.microbatch = microbatch;
  const start = nano(t.startSec[i]);
  return JSON.stringify({
    ph: 'X',
    pid: t.rank[i],
    tid: trackOf(t, i),
    name: microbatch >= 0 ? `${WORK_NAMES[work]} ${microbatch}` : WORK_NAMES[work],
    cat: STREAM_NAMES[t.stream[i]],
    cname: WORK_COLOURS[work],
    ts: start / 1e3,
    // Rounded like the next event's start, so that neighbours touch and never overlap.
    dur: (nano(t.endSec[i]) - start) / 1e3,
    args,
  });
}

function trackOf(t: Timeline, i: number): number {
  const partOfTask = t.microbatch[i] >= 0 && t.stream[i] === STREAM_DATA_PARALLEL;
  return partOfTask ? STREAM_COLLECTIVE : t.stream[i];
}

function counterEvents(counters: RankCounters, r: number, stepTimeSec: number, lines: string[]): void {
  const { stateBytes: state, otherBytes: other } = counters;
  const series = (name: string, f: StepFunction, args: (value: number) => Record<string, number>): void => {
    const event = (sec: number, value: number): string =>
      JSON.stringify({ ph: 'C', pid: r, tid: 0, name, ts: micro(sec), args: args(value) });
    f.timeSec.forEach((sec, i) => lines.push(event(sec, f.value[i])));
    // Viewers draw a value up to the next one.
    if (f.timeSec.at(-1)! < stepTimeSec) lines.push(event(stepTimeSec, f.value.at(-1)!));
  };
  series('memory (bytes)', counters.activationBytes, (activations) => ({ state, activations, other }));
  series('power (W)', counters.watt, (watt) => ({ device: watt }));
}

/** Start of the compute part of every task, keyed by work, virtual stage and microbatch. */
function taskStarts(t: Timeline): Map<number, number> {
  const starts = new Map<number, number>();
  for (let i = 0; i < t.count; i++) {
    if (t.work[i] > WORK_BACKWARD || t.microbatch[i] < 0) continue;
    const key = taskKey(t.work[i], t.virtualStage[i], t.microbatch[i]);
    if (!starts.has(key)) starts.set(key, t.startSec[i]);
  }
  return starts;
}

/** Virtual stages are at most the segments of a model, far below 2^24. */
function taskKey(work: number, virtualStage: number, microbatch: number): number {
  return (microbatch * 2 ** 24 + virtualStage) * 2 + work;
}

/** Arrow from the transfer to the task it feeds. */
function flow(t: Timeline, i: number, pp: number, starts: Map<number, number>): string[] {
  const forward = t.work[i] === WORK_SEND_ACTIVATION;
  if (!forward && t.work[i] !== WORK_SEND_GRADIENT) return [];
  const target = t.virtualStage[i] + (forward ? 1 : -1);
  const key = taskKey(forward ? WORK_FORWARD : WORK_BACKWARD, target, t.microbatch[i]);
  const start = starts.get(key);
  if (start === undefined) return [];
  const arrow = { name: forward ? 'activation' : 'gradient', cat: 'flow', id: key };
  return [
    JSON.stringify({ ph: 's', ...arrow, pid: t.rank[i], tid: STREAM_TRANSFER, ts: micro(t.startSec[i]) }),
    JSON.stringify({ ph: 'f', bp: 'e', ...arrow, pid: target % pp, tid: 0, ts: micro(start) }),
  ];
}

function nano(sec: number): number {
  return Math.round(sec * 1e9);
}

function micro(sec: number): number {
  return nano(sec) / 1e3;
}
