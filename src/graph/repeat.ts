/**
 * The planning chain: blocks gathered into segments, equal segments into classes.
 *
 * 1. The chain is cut at all positions where little is alive (residual stream): the pieces are units, e.g. the attention
 *    half and the feed-forward half of a layer.
 * 2. Units are compared by their heavy kernels alone, which are the same in the first layer as in the others, and repeated
 *    sequences of units are found: layers. In a period that holds several layers of different kinds (dense, then experts) each
 *    layer becomes a segment.
 * 3. What lies outside of repetitions (embedding, head and loss, a graph that repeats nothing) is cut by work.
 * 4. Segments that are equal in every detail - operators, shapes, factors, wiring - share a class. Names play no part.
 */
import { aliveElements, type Alive } from './cuts.js';
import { findRuns, type Run } from './runs.js';
import { segmentKeys } from './segment_key.js';
import { TensorRole, type Block, type Graph, type Segmentation } from './types.js';
import { blockWork, isHeavy, makeUnits, type Units } from './units.js';

/** Pieces that a graph without repetition is cut into, about. */
const PIECES = 64;
/** More segments than this are joined by twos, threes, ...: planning time grows with their number. */
const MAX_SEGMENTS = 1024;

export function segment(graph: Graph, blocks: readonly Block[]): Segmentation {
  const crossing = aliveElements(graph, blocks);
  const alive = crossing.elements;
  const starts = limitSegments(segmentStarts(graph, blocks, crossing));
  const segmentCount = starts.length;
  const blockStart = Int32Array.from([...starts, blocks.length]);
  const keys = segmentKeys(graph, blocks, blockStart);
  const classOf = new Map<string, number>();
  const classSegment: number[] = [];
  const classSize: number[] = [];
  const segmentClass = Int32Array.from(keys, (key, s) => {
    let c = classOf.get(key);
    if (c === undefined) {
      c = classSegment.push(s) - 1;
      classSize.push(0);
      classOf.set(key, c);
    }
    classSize[c]++;
    return c;
  });
  return {
    blocks,
    segmentCount,
    segmentClass,
    blockStart,
    classCount: classSize.length,
    classSegment: Int32Array.from(classSegment),
    classSize: Int32Array.from(classSize),
    cutElements: Float64Array.from(starts, (b) => alive[b]),
    ...sharedParameters(graph, blocks, blockStart),
    layers: countLayers(blocks, blockStart, classSegment, classSize),
  };
}

/** First block of each segment, ascending, the first 0. */
function segmentStarts(graph: Graph, blocks: readonly Block[], crossing: Alive): number[] {
  if (blocks.length === 0) return [];
  const units = makeUnits(graph, blocks, crossing);
  const aliveAt = (u: number): number => crossing.elements[units.start[u]];
  let total = 0;
  for (let u = 0; u < units.count; u++) total += units.work[u];
  // Prefer to start a layer where least is alive, and then with its attention.
  const phase = (u: number): number => aliveAt(u) * 2 + (units.hasAttention[u] ? 0 : 1);
  const runs = findRuns(units.classes, units.work, units.isHeavy, phase, 1e-3);
  // Outside of repetitions a segment holds about as much work as a layer does.
  let target = total / PIECES;
  for (const run of runs) {
    let period = 0;
    for (let u = run.from; u < run.from + run.period; u++) period += units.work[u];
    target = Math.max(target, period);
  }
  const starts: number[] = [];
  let at = 0;
  for (const run of runs) {
    const layers = layersOf(run, units, aliveAt);
    // Light units before the first layer belong to it when it starts with more alive than the others do: an accident of
    // sizes has parted it from its norm.
    const usual = layers.length > 1 ? aliveAt(layers[1]) : Infinity;
    for (let u = layers[0] - 1; u >= at && !units.isHeavy[u] && aliveAt(u + 1) > usual; u--) layers[0] = u;
    cutByWork(at, layers[0], units.start, units.work, target, starts);
    for (const u of layers) starts.push(units.start[u]);
    at = run.to;
  }
  cutByWork(at, units.count, units.start, units.work, target, starts);
  return starts;
}

/**
 * First unit of each layer of a run. A period in which the same unit comes several times holds several layers: they start at
 * its most frequent unit when the period does, or end with it when the period does, provided that no more is alive there.
 * Units that differ in sizes alone are layers of their own.
 */
function layersOf(run: Run, units: Units, aliveAt: (unit: number) => number): number[] {
  const { from, to, period } = run;
  const { classes, forms, isHeavy: heavy } = units;
  const frequency = new Map<number, number>();
  let alike = true;
  for (let u = from; u < from + period; u++) {
    if (heavy[u]) frequency.set(classes[u], (frequency.get(classes[u]) ?? 0) + 1);
    if (!heavy[u] || forms[u] !== forms[from]) alike = false;
  }
  const most = Math.max(1, ...frequency.values());
  const first = classes[from];
  const last = classes[from + period - 1];
  const least = aliveAt(from + period < to ? from + period : from);
  const offsets = [0];
  for (let o = 1; o < period; o++) {
    const begins = most > 1 && frequency.get(first) === most && classes[from + o] === first;
    const follows =
      most > 1 &&
      frequency.get(first) !== most &&
      frequency.get(last) === most &&
      classes[from + o - 1] === last;
    if ((begins || follows || alike) && aliveAt(from + o) <= least * 1.01) offsets.push(o);
  }
  const starts: number[] = [];
  for (let u = from; u < to; u += period) for (const o of offsets) starts.push(u + o);
  return starts;
}

/** Cuts units [from, to) into segments of about `target` work each. */
function cutByWork(
  from: number,
  to: number,
  unitStart: readonly number[],
  work: Float64Array,
  target: number,
  starts: number[],
): void {
  if (from >= to) return;
  let rest = 0;
  for (let u = from; u < to; u++) rest += work[u];
  let sum = 0;
  for (let u = from; u < to; u++) {
    if (u === from) starts.push(unitStart[u]);
    else if (sum >= target && rest >= target / 2) {
      starts.push(unitStart[u]);
      sum = 0;
    }
    sum += work[u];
    rest -= work[u];
  }
}

/** Joins neighbours when there are too many, the same number everywhere so that equal ones stay equal. */
function limitSegments(starts: readonly number[]): number[] {
  const step = Math.ceil(starts.length / MAX_SEGMENTS);
  return starts.filter((_, i) => i % step === 0);
}

/**
 * Layers as people count them: segments with attention (first and last layers may differ in detail from the rest), or, in
 * models without attention, segments of the repeated class that holds most work; 0 when nothing heavy repeats.
 */
function countLayers(
  blocks: readonly Block[],
  blockStart: Int32Array,
  classSegment: readonly number[],
  classSize: readonly number[],
): number {
  let withAttention = 0;
  classSize.forEach((size, c) => {
    const s = classSegment[c];
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      if (blocks[b].kind !== 'attention') continue;
      withAttention += size;
      break;
    }
  });
  if (withAttention > 1) return withAttention;
  let layers = 0;
  let most = 0;
  classSize.forEach((size, c) => {
    if (size < 2) return;
    const s = classSegment[c];
    let work = 0;
    let heavy = false;
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      work += blockWork(blocks[b]);
      if (isHeavy(blocks[b])) heavy = true;
    }
    if (!heavy || work * size <= most) return;
    most = work * size;
    layers = size;
  });
  return layers;
}

/** Weights that several segments read (tied embeddings, shared layers). */
function sharedParameters(
  graph: Graph,
  blocks: readonly Block[],
  blockStart: Int32Array,
): Pick<Segmentation, 'sharedParameter' | 'sharedStart' | 'sharedSegment'> {
  const segmentsOf = new Map<number, number[]>();
  for (let s = 0; s + 1 < blockStart.length; s++) {
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      for (const t of blocks[b].inputs) {
        if (graph.tensorRole[t] !== TensorRole.PARAMETER) continue;
        const root = graph.storage[t];
        const list = segmentsOf.get(root);
        if (list === undefined) segmentsOf.set(root, [s]);
        else if (list[list.length - 1] !== s) list.push(s);
      }
    }
  }
  const sharedParameter: number[] = [];
  const sharedStart = [0];
  const sharedSegment: number[] = [];
  for (const [t, list] of [...segmentsOf].sort((a, b) => a[0] - b[0])) {
    if (list.length < 2) continue;
    sharedParameter.push(t);
    sharedSegment.push(...list);
    sharedStart.push(sharedSegment.length);
  }
  return {
    sharedParameter: Int32Array.from(sharedParameter),
    sharedStart: Int32Array.from(sharedStart),
    sharedSegment: Int32Array.from(sharedSegment),
  };
}
