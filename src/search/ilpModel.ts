/**
 * The assignment of segments to pipeline stages, with the choice of recomputation, as an integer program. For each
 * recompute vector r the chain is a layered graph whose arc (v, i, j) means that virtual stage v holds segments [i, j):
 *
 *     minimise    (M - 1) T + (1 / vpp) sum cost_vijr x_vijr
 *     subject to  one path from segment 0 to the end, through all stages, in one of the layers r
 *                 T >= sum over the chunks v of rank k of cost_vijr x_vijr           for each rank k
 *                 sum over the chunks v of rank k of bytes_vijr x_vijr <= capacity   for each rank k
 *
 * which for vpp = 1 is the time of the pipeline, exactly. Unlike dynamic programming it knows that the chunks of an
 * interleaved rank share its time and its memory. Arcs that no solution better than a known one can use are left out.
 */
import { microbatchesOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { PlanProblem } from '../simulate/types.js';
import { minimaxCuts } from './cuts.js';
import type { Decisions } from './space.js';
import type { StageModel } from './stageModel.js';

/** Stage v holds segments [from, to) under recompute vector r. */
interface Arc {
  readonly stage: number;
  readonly from: number;
  readonly to: number;
  readonly vector: number;
  readonly costSec: number;
  readonly bytes: number;
}

export interface AssignmentProgram {
  readonly arcs: readonly Arc[];
  /** In CPLEX's LP format; arc a is the binary variable `x<a>`, the slowest rank `t`. Times are in units of `unitSec`. */
  readonly text: string;
  readonly unitSec: number;
}

/** Of segments to stages, and the recompute vector. */
export interface Assignment {
  readonly stageStart: Int32Array;
  readonly vector: number;
}

/**
 * Builds the program for decisions whose cuts and recomputation are open; null when nothing fits or more than
 * `mostArcs` arcs are left.
 */
export function assignmentProgram(
  problem: PlanProblem,
  model: StageModel,
  d: Decisions,
  vectors: readonly Uint8Array[],
  mostArcs: number,
): AssignmentProgram | null {
  const { pp, vpp } = d;
  const stages = pp * vpp;
  const segments = problem.segmentation.segmentCount;
  const microbatches = microbatchesOf(d as Candidate, problem.globalBatch);
  const longest = incumbentLimit(model, d, vectors, segments, microbatches);
  if (longest === Infinity) return null;
  const arcs: Arc[] = [];
  for (let r = 0; r < vectors.length; r++) {
    model.take({ ...d, recompute: vectors[r] });
    for (let v = 0; v < stages; v++) {
      const rank = v % pp;
      const capacity = vpp * model.capacityOf(rank);
      const lastFrom = v === 0 ? 0 : segments - (stages - v);
      for (let i = v; i <= lastFrom; i++)
        for (let j = i + 1; j <= segments - (stages - 1 - v); j++) {
          if (v === stages - 1 && j < segments) continue;
          const costSec = model.timeSec(rank, i, j);
          const bytes = model.memoryBytes(rank, i, j);
          if (costSec > longest || bytes > capacity) break;
          arcs.push({ stage: v, from: i, to: j, vector: r, costSec, bytes });
        }
    }
  }
  if (arcs.length === 0 || arcs.length > mostArcs) return null;
  const unitSec = longest;
  const capacity = Float64Array.from({ length: pp }, (_, k) => vpp * model.capacityOf(k));
  return { arcs, unitSec, text: programText(arcs, unitSec, capacity, { pp, vpp, segments, microbatches }) };
}

/**
 * The longest that a stage may take in any solution at least as good as the best minimax cut over the recompute
 * vectors; Infinity when none fits. From (M - 1) t + (least sum) <= value of that cut.
 */
function incumbentLimit(
  model: StageModel,
  d: Decisions,
  vectors: readonly Uint8Array[],
  segments: number,
  microbatches: number,
): number {
  const { pp, vpp } = d;
  const stages = pp * vpp;
  let best = Infinity;
  let leastSum = Infinity;
  for (const recompute of vectors) {
    model.take({ ...d, recompute });
    let fastest = Infinity;
    for (let k = 0; k < pp; k++) fastest = Math.min(fastest, model.timeSec(k, 0, segments));
    leastSum = Math.min(leastSum, fastest);
    const cuts = minimaxCuts(segments, stages, model);
    if (cuts === null) continue;
    const load = new Float64Array(pp);
    for (let v = 0; v < stages; v++)
      load[v % pp] += model.timeSec(v % pp, cuts.stageStart[v], cuts.stageStart[v + 1]);
    const sum = load.reduce((a, b) => a + b, 0);
    best = Math.min(best, (microbatches - 1) * Math.max(...load) + sum / vpp);
  }
  if (best === Infinity) return Infinity;
  const most = microbatches === 1 ? best : (best - leastSum / vpp) / (microbatches - 1);
  return Math.min(most, best) * (1 + 1e-9);
}

function programText(
  arcs: readonly Arc[],
  unitSec: number,
  capacity: Float64Array,
  size: { pp: number; vpp: number; segments: number; microbatches: number },
): string {
  const { pp, vpp, segments, microbatches } = size;
  const time = (arc: Arc): number => arc.costSec / unitSec;
  const sum = (terms: readonly string[]): string => (terms.length === 0 ? '0 t' : terms.join(' '));
  const lines = ['Minimize', ` cost: ${microbatches - 1} t`];
  arcs.forEach((arc, a) => lines.push(`  + ${digits(time(arc) / vpp)} x${a}`));
  lines.push('Subject To');
  const begins = arcs.flatMap((arc, a) => (arc.stage === 0 ? [`+ x${a}`] : []));
  lines.push(` begin: ${sum(begins)} = 1`);
  // What ends at segment i on stage v - 1 goes on from there on stage v, in the same layer.
  const nodes = new Map<string, string[]>();
  const at = (vector: number, stage: number, segment: number): string[] => {
    const key = `${vector}_${stage}_${segment}`;
    let terms = nodes.get(key);
    if (terms === undefined) nodes.set(key, (terms = []));
    return terms;
  };
  arcs.forEach((arc, a) => {
    if (arc.stage > 0) at(arc.vector, arc.stage, arc.from).push(`- x${a}`);
    if (arc.to < segments) at(arc.vector, arc.stage + 1, arc.to).push(`+ x${a}`);
  });
  for (const [key, terms] of nodes) lines.push(` n${key}: ${terms.join('\n  ')} = 0`);
  for (let k = 0; k < pp; k++) {
    const chunks = arcs.flatMap((arc, a) => (arc.stage % pp === k ? [a] : []));
    lines.push(` t${k}: t ${sum(chunks.map((a) => `- ${digits(time(arcs[a]))} x${a}`))} >= 0`);
    // A chunk alone fits: arcs that do not were left out.
    if (vpp > 1)
      lines.push(` m${k}: ${sum(chunks.map((a) => `+ ${digits(arcs[a].bytes / capacity[k])} x${a}`))} <= 1`);
  }
  lines.push('Binary', ...arcs.map((_, a) => ` x${a}`), 'End');
  return lines.join('\n');
}

/** Cuts and recompute vector that a solution chose. */
export function assignmentOf(
  program: AssignmentProgram,
  stages: number,
  segments: number,
  isChosen: (arc: number) => boolean,
): Assignment {
  const stageStart = new Int32Array(stages + 1);
  stageStart[stages] = segments;
  let vector = 0;
  program.arcs.forEach((arc, a) => {
    if (!isChosen(a)) return;
    stageStart[arc.stage] = arc.from;
    vector = arc.vector;
  });
  return { stageStart, vector };
}

function digits(x: number): string {
  return x.toPrecision(12);
}
