/** Frequency plans of a plan: what they save, and the clocks for a launcher. */
import type { Candidate, Plan, PlanFrequency } from '../plan/types.js';
import { CLOCKED_WORK } from '../plan/types.js';
import type { FrequencyFacts } from '../report/frequencyTable.js';
import type { FrequencyPoint, FrequencySchedule, Frontier } from '../simulate/frequency.js';
import { frequencyFrontier } from '../simulate/frequency.js';
import { ClassClocks } from '../simulate/frequencyProblem.js';
import { ClockLevels, TASKS } from '../simulate/frequencyCurves.js';
import type { PlanProblem } from '../simulate/types.js';

/** Corners of a frontier that are told. */
const MOST_POINTS = 64;

export interface FrequencyAnswer {
  readonly facts: FrequencyFacts;
  /** Clocks of the schedule with no slowdown. */
  readonly frequency: PlanFrequency;
}

/** Works out the frontier of a candidate, and the clocks that save most at no slowdown. */
export function frequencyOf(problem: PlanProblem, candidate: Candidate): FrequencyAnswer {
  const levels = new ClockLevels(problem);
  const frontier = frequencyFrontier(levels, candidate);
  const { points, full, schedules } = frontier;
  const fastest = schedules[0];
  const least = schedules[schedules.length - 1];
  return {
    facts: {
      full,
      noSlowdown: pointOf(fastest),
      leastEnergy: pointOf(least),
      frontier: thinned(points),
      tasks: frontier.graph.taskCount,
      cuts: frontier.steps,
    },
    frequency: clocksOf(levels, candidate, frontier, fastest),
  };
}

/** The plan with its clocks. */
export function withFrequency(plan: Plan, frequency: PlanFrequency): Plan {
  return { ...plan, frequency };
}

function pointOf({ timeSec, energyJoule }: FrequencyPoint): FrequencyPoint {
  return { timeSec, energyJoule };
}

/** Corners evenly spaced in time, the ends among them. */
export function thinned(points: readonly FrequencyPoint[], most = MOST_POINTS): FrequencyPoint[] {
  const first = points[0];
  const step = (points[points.length - 1].timeSec - first.timeSec) / (most - 1);
  const kept: FrequencyPoint[] = [first];
  points.forEach((p, i) => {
    if (i === 0) return;
    if (i === points.length - 1 || p.timeSec >= kept[kept.length - 1].timeSec + step) kept.push(p);
  });
  return kept.map(pointOf);
}

/** Clocks of a schedule of the frontier, in runs of microbatches. */
export function clocksOf(
  levels: ClockLevels,
  candidate: Candidate,
  { graph, full, curves }: Frontier,
  { level, timeSec, energyJoule }: FrequencySchedule,
): PlanFrequency {
  const clocks = new ClassClocks(levels, candidate);
  const { microbatches } = curves.load;
  const byClass = new Map(clocks.classes.map((k) => [k, new Uint8Array(microbatches)]));
  for (let i = 0; i < graph.taskCount; i++)
    byClass.get(graph.taskClass[i])![graph.taskMicrobatch[i]] = level[i];
  return {
    stepTimeSec: timeSec,
    energyJoulesPerStep: energyJoule,
    fullStepTimeSec: full.timeSec,
    fullEnergyJoulesPerStep: full.energyJoule,
    tasks: clocks.classes.map((k) => {
      const runs: PlanFrequency['tasks'][number]['runs'] = [];
      let last = -1;
      for (const l of byClass.get(k)!) {
        if (l === last) runs[runs.length - 1].microbatches++;
        else runs.push({ microbatches: 1, ...clocks.capOf(k, l) });
        last = l;
      }
      return { virtualStage: Math.floor(k / TASKS), work: CLOCKED_WORK[k % TASKS], runs };
    }),
  };
}
