/** Frequency plans of a plan: what they save, and the clocks for a launcher. */
import { agentCaps, DEFAULT_CAP_AGENT, NO_SLOWDOWN_WEIGHT } from '../agent/capAgent.js';
import type { Candidate, Plan, PlanFrequency } from '../plan/types.js';
import { CLOCKED_WORK } from '../plan/types.js';
import type { FrequencyFacts } from '../report/frequencyTable.js';
import type { FrequencyPoint, FrequencySchedule, Frontier } from '../simulate/frequency.js';
import { frequencyFrontier } from '../simulate/frequency.js';
import { TaskGroups } from '../simulate/frequencyGroups.js';
import { ClassClocks } from '../simulate/frequencyProblem.js';
import { ClockLevels, TASKS } from '../simulate/frequencyCurves.js';
import type { PlanProblem } from '../simulate/types.js';
import { Random } from '../util/random.js';

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

/** Ways to work out clocks: by task exactly; by group of tasks, step by step or by an agent. */
export const CLOCK_METHODS = ['exact', 'groups', 'sac'] as const;
export type ClockMethod = (typeof CLOCK_METHODS)[number];

/** Clocks for steps of several lengths. */
export interface ClockSchedules extends Pick<Frontier, 'graph' | 'curves' | 'full'> {
  /** The one that costs no time first. */
  readonly schedules: readonly (Omit<FrequencySchedule, 'boundJoule'> & {
    /** No clocks take fewer joules in as short a step; null: not known. */
    readonly boundJoule: number | null;
  })[];
}

/** Slowdowns that clocks by group are worked out for, and what an agent pays for a slowdown instead. */
const SLOWDOWNS = [1, 1.05, 1.1, 1.2, 1.4];
const SLOWDOWN_WEIGHTS = [NO_SLOWDOWN_WEIGHT, 2, 0.5];

/**
 * Clocks of a candidate.
 *
 * @param many for steps of several lengths; else for the shortest one only
 */
export async function schedulesBy(
  method: ClockMethod,
  levels: ClockLevels,
  candidate: Candidate,
  seed: number,
  many: boolean,
): Promise<ClockSchedules> {
  if (method === 'exact') return frequencyFrontier(levels, candidate, many ? undefined : 1);
  const groups = new TaskGroups(levels, candidate);
  const { graph, curves, full } = groups;
  const schedules: ClockSchedules['schedules'][number][] = [];
  const keep = ({ timeSec, energyJoule }: FrequencyPoint): void => {
    schedules.push({ timeSec, energyJoule, level: groups.taskLevels(), boundJoule: null });
  };
  if (method === 'groups')
    for (const slowdown of many ? SLOWDOWNS : [1]) keep(groups.descend(slowdown * full.timeSec));
  else
    for (const slowdownWeight of many ? SLOWDOWN_WEIGHTS : [NO_SLOWDOWN_WEIGHT])
      keep(await agentCaps(groups, new Random(seed), { ...DEFAULT_CAP_AGENT, slowdownWeight }));
  return { graph, curves, full, schedules };
}

/** Clocks of a schedule of the frontier, in runs of microbatches. */
export function clocksOf(
  levels: ClockLevels,
  candidate: Candidate,
  { graph, full, curves }: Pick<ClockSchedules, 'graph' | 'full' | 'curves'>,
  { level, timeSec, energyJoule }: ClockSchedules['schedules'][number],
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
