/**
 * The ways of cutting the chain that random search and the agent choose from: the exact balance of time under memory,
 * the plain balances, and variations that relieve the first or the last stage (embedding, head, activations in flight).
 */
import { balancedCuts } from '../plan/candidate.js';
import type { PlanProblem } from '../simulate/types.js';
import { minimaxCuts } from './cuts.js';
import type { Decisions } from './space.js';
import { StageModel } from './stageModel.js';

export type CutRule =
  /** Slowest stage as fast as can be, every stage within its memory where that is possible (`minimaxCuts`). */
  | 'balanced'
  /** Equal time by prefix sums. */
  | 'even-time'
  /** Equal numbers of segments. */
  | 'even-count'
  /** Equal parameters. */
  | 'even-parameters'
  /** Equal saved activations. */
  | 'even-activations'
  /** Equal numbers of segments, then the first (last) stage hands one or two to its neighbour. */
  | 'lighter-first'
  | 'lighter-last'
  | 'lighter-ends';

export const CUT_RULES: readonly CutRule[] = [
  'balanced',
  'even-time',
  'even-count',
  'even-parameters',
  'even-activations',
  'lighter-first',
  'lighter-last',
  'lighter-ends',
];

/** Chooses the stage cuts that go with decisions. */
export interface Balancer {
  /** @param spareBytes kept free on every device, as far as the method looks at memory */
  balanced(d: Decisions, spareBytes?: number): Int32Array;
}

/** Cuts candidates; keeps tables and scratch between calls. */
export class Cutter implements Balancer {
  readonly model: StageModel;
  private readonly weights: Float64Array;

  constructor(private readonly problem: PlanProblem) {
    this.model = new StageModel(problem);
    this.weights = new Float64Array(problem.segmentation.segmentCount);
  }

  /** The best cuts that fit; those that would be best without memory limits when none fit. */
  balanced(d: Decisions, spareBytes = 0): Int32Array {
    const segments = this.problem.segmentation.segmentCount;
    const stages = d.pp * d.vpp;
    if (stages === 1) return Int32Array.of(0, segments);
    this.model.take(d, spareBytes);
    const fitting = minimaxCuts(segments, stages, this.model);
    if (fitting !== null) return fitting.stageStart;
    this.model.take(d, spareBytes, false);
    return minimaxCuts(segments, stages, this.model)!.stageStart;
  }

  /** First segment of each virtual stage by the rule; legal for any decisions with pp * vpp <= segments. */
  cut(rule: CutRule, d: Decisions): Int32Array {
    const segments = this.problem.segmentation.segmentCount;
    const stages = d.pp * d.vpp;
    if (stages === 1) return Int32Array.of(0, segments);
    switch (rule) {
      case 'balanced':
        return this.balanced(d);
      case 'even-time':
        return this.even(d, (s) => this.model.timeSec(0, s, s + 1));
      case 'even-parameters': {
        const { denseParameters: dense, expertParameters: expert } = this.model.table(d, 0);
        return this.even(d, (s) => dense[s + 1] - dense[s] + expert[s + 1] - expert[s]);
      }
      case 'even-activations': {
        const { savedBytes } = this.model.table(d, 0).policy(d.recompute);
        return this.even(d, (s) => savedBytes[s + 1] - savedBytes[s]);
      }
      default:
        return lighten(
          this.even(d, () => 1),
          rule,
        );
    }
  }

  private even(d: Decisions, weight: (segment: number) => number): Int32Array {
    this.model.take(d);
    for (let s = 0; s < this.weights.length; s++) this.weights[s] = weight(s);
    return balancedCuts(this.weights, d.pp * d.vpp);
  }
}

/** Moves up to two segments out of the first or last stage, while one is left. */
function lighten(stageStart: Int32Array, rule: CutRule): Int32Array {
  const stages = stageStart.length - 1;
  if (rule === 'lighter-first' || rule === 'lighter-ends') stageStart[1] = Math.max(1, stageStart[1] - 2);
  if (rule === 'lighter-last' || rule === 'lighter-ends')
    stageStart[stages - 1] = Math.min(stageStart[stages] - 1, stageStart[stages - 1] + 2);
  return stageStart;
}
