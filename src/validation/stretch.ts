/**
 * A chain with more equal layers than the graph it was found in. Layers of one class cost the same, so a model of 126 layers
 * is priced from the graph of a few: the tables are of classes, the chain says how often each comes.
 */
import type { Segmentation } from '../graph/index.js';
import { invariant } from '../util/errors.js';

/** Whether each of the graph's `layers` is a segment of its own, the last two of them equal. */
export function canStretch(s: Segmentation, layers: number): boolean {
  const end = endOfLongestRun(s);
  return s.layers === layers && s.segmentCount === layers + 2 && end > 0 && end === layers;
}

/** Repeats the last segment of the longest run of one class `extra` more times. */
export function stretch(s: Segmentation, extra: number): Segmentation {
  if (extra === 0) return s;
  const at = endOfLongestRun(s);
  invariant(at > 0, 'a chain without equal layers cannot be stretched');
  const insert = (column: Int32Array, values: (i: number) => number, position: number): Int32Array =>
    Int32Array.from({ length: column.length + extra }, (_, i) =>
      i < position ? column[i] : i < position + extra ? values(i - position) : column[i - extra],
    );
  const classId = s.segmentClass[at];
  const segmentClass = insert(s.segmentClass, () => classId, at);
  // The cut before each copy is the cut before the original.
  const cutElements = Float64Array.from({ length: s.cutElements.length + extra }, (_, i) =>
    i < at ? s.cutElements[i] : i < at + extra ? s.cutElements[at] : s.cutElements[i - extra],
  );
  const from = s.blockStart[at];
  const own = s.blocks.slice(from, s.blockStart[at + 1]);
  const blocks = [
    ...s.blocks.slice(0, from),
    ...Array.from({ length: extra }, () => own).flat(),
    ...s.blocks.slice(from),
  ];
  const blockStart = Int32Array.from({ length: s.blockStart.length + extra }, (_, i) =>
    i < at
      ? s.blockStart[i]
      : i < at + extra
        ? from + (i - at) * own.length
        : s.blockStart[i - extra] + extra * own.length,
  );
  const classSize = s.classSize.slice();
  classSize[classId] += extra;
  const moved = (segment: number): number => (segment >= at ? segment + extra : segment);
  return {
    ...s,
    blocks,
    blockStart,
    segmentClass,
    cutElements,
    classSize,
    segmentCount: s.segmentCount + extra,
    classSegment: s.classSegment.map(moved),
    sharedSegment: s.sharedSegment.map(moved),
    layers: s.layers + extra,
  };
}

/** The last segment of the longest run of at least two equal ones; 0 when there is none. */
function endOfLongestRun(s: Segmentation): number {
  let best = 0;
  let longest = 1;
  let run = 0;
  for (let i = 0; i < s.segmentCount; i++) {
    run = i > 0 && s.segmentClass[i] === s.segmentClass[i - 1] ? run + 1 : 1;
    if (run > longest) {
      longest = run;
      best = i;
    }
  }
  return best;
}
