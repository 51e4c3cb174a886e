/**
 * Memory over time: what one device of every pipeline rank holds through a step, by what holds it. Parameters, gradients,
 * optimizer state and the runtime's own stay; saved activations rise with every forward pass and fall with every backward
 * pass; a working set is there while a pass runs.
 */
import type { Candidate, MemoryBreakdown } from '../plan/types.js';
import { createEngine } from './engine.js';
import { StageLoad } from './load.js';
import { emptyMemory, rankMemory } from './memory.js';
import { STREAM_COMPUTE } from './timeline.js';
import type { Timeline } from './timeline.js';
import type { PlanProblem } from './types.js';

/** Of one rank. Sample i holds from `timeSec[i]` to `timeSec[i + 1]`, the last one to the end of the step. */
export interface RankMemoryTimeline {
  /** What does not change within the step; `activationBytes` and `transientBytes` are 0, `totalBytes` is their sum. */
  readonly constant: MemoryBreakdown;
  readonly timeSec: Float64Array;
  readonly activationBytes: Float64Array;
  readonly transientBytes: Float64Array;
  /** Highest total, and when it was first so. */
  readonly peakBytes: number;
  readonly peakAtSec: number;
}

export interface MemoryTimeline {
  readonly stepTimeSec: number;
  readonly ranks: readonly RankMemoryTimeline[];
}

/** Plays one step of a legal candidate. */
export function memoryTimeline(problem: PlanProblem, candidate: Candidate): MemoryTimeline {
  const run = createEngine(problem).run(candidate, true);
  const load = new StageLoad(problem);
  load.fill(candidate);
  const ranks = Array.from({ length: run.rankCount }, (_, r) => {
    const memory = emptyMemory();
    rankMemory(problem, load, candidate, r, memory);
    return rankTimeline(run.timeline!, memory, r);
  });
  return { stepTimeSec: run.stepTimeSec, ranks };
}

/** A moment at which a rank's activations become so many bytes, or at which one more pass runs (+1) or one less (-1). */
interface Change {
  readonly timeSec: number;
  readonly heldBytes: number | null;
  readonly passes: number;
}

function rankTimeline(t: Timeline, memory: MemoryBreakdown, r: number): RankMemoryTimeline {
  const changes: Change[] = [];
  for (let i = 0; i < t.holdCount; i++)
    if (t.holdRank[i] === r) changes.push({ timeSec: t.holdSec[i], heldBytes: t.heldBytes[i], passes: 0 });
  for (let i = 0; i < t.count; i++) {
    if (t.rank[i] !== r || t.stream[i] !== STREAM_COMPUTE || t.microbatch[i] < 0) continue;
    changes.push({ timeSec: t.startSec[i], heldBytes: null, passes: 1 });
    changes.push({ timeSec: t.endSec[i], heldBytes: null, passes: -1 });
  }
  changes.sort((a, b) => a.timeSec - b.timeSec);
  const timeSec = [0];
  const activation = [0];
  const transient = [0];
  let held = 0;
  let passes = 0;
  changes.forEach((change, i) => {
    held = change.heldBytes ?? held;
    passes += change.passes;
    // Of several changes at one moment only what comes out of them is seen.
    if (i + 1 < changes.length && changes[i + 1].timeSec === change.timeSec) return;
    const working = passes > 0 ? memory.transientBytes : 0;
    const last = timeSec.length - 1;
    if (activation[last] === held && transient[last] === working) return;
    if (timeSec[last] === change.timeSec) {
      activation[last] = held;
      transient[last] = working;
      return;
    }
    timeSec.push(change.timeSec);
    activation.push(held);
    transient.push(working);
  });
  const constant = {
    ...memory,
    activationBytes: 0,
    transientBytes: 0,
    totalBytes: memory.totalBytes - memory.activationBytes - memory.transientBytes,
  };
  let peak = 0;
  for (let i = 1; i < timeSec.length; i++)
    if (activation[i] + transient[i] > activation[peak] + transient[peak]) peak = i;
  return {
    constant,
    timeSec: Float64Array.from(timeSec),
    activationBytes: Float64Array.from(activation),
    transientBytes: Float64Array.from(transient),
    peakBytes: constant.totalBytes + activation[peak] + transient[peak],
    peakAtSec: timeSec[peak],
  };
}
