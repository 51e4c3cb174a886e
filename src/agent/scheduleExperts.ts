/**
 * Well-known orders as policies of the schedule episode: what a demonstration does next, as an index into the offers.
 * First come first served, shortest job first and round-robin look at what is ready and never wait; GPipe, 1F1B and
 * ZB-H1 know which task comes next on each rank and wait for it.
 */
import { BACKWARD, FORWARD, WAIT, WEIGHT } from './scheduleState.js';
import type { ScheduleState } from './scheduleState.js';

export type ScheduleExpert = (state: ScheduleState) => number;

export const SCHEDULE_EXPERTS = {
  fcfs: (state) => least(state, (i) => state.offerReadySec(i)),
  sjf: (state) =>
    least(state, (i) => state.durationSec(state.offerKind[i], state.rank, state.offerMicrobatch[i])),
  'round-robin': (state) => {
    const last = state.lastKind[state.rank];
    return least(state, (i) => (state.asksLink ? 0 : (state.offerKind[i] - last + 2) % 3));
  },
  gpipe: (state) =>
    inOrder(state, (r) =>
      begun(state, FORWARD, r) < state.problem.microbatches ? FORWARD : drain(state, r),
    ),
  '1f1b': (state) => inOrder(state, (r) => alternating(state, r, 0)),
  'zb-h1': (state) => inOrder(state, (r) => alternating(state, r, r)),
} satisfies Record<string, ScheduleExpert>;

export type ScheduleExpertName = keyof typeof SCHEDULE_EXPERTS;

/** Ties go to what finishes a microbatch: weight gradients, then backward, then forward; messages in turn. */
function least(state: ScheduleState, score: (option: number) => number): number {
  let best = -1;
  let bestScore = Infinity;
  for (let i = 0; i < state.offerCount; i++) {
    if (state.offerLegal[i] === 0 || state.offerKind[i] === WAIT) continue;
    const s = score(i);
    if (
      best < 0 ||
      s < bestScore ||
      (s === bestScore && !state.asksLink && state.offerKind[i] > state.offerKind[best])
    ) {
      best = i;
      bestScore = s;
    }
  }
  return best;
}

function begun(state: ScheduleState, kind: number, r: number): number {
  return state.begun[kind * state.problem.ranks + r];
}

/** Backward passes, each followed by its weight gradient. */
function drain(state: ScheduleState, r: number): number {
  const { splitsBackward } = state.problem;
  return splitsBackward && begun(state, WEIGHT, r) < begun(state, BACKWARD, r) ? WEIGHT : BACKWARD;
}

/** Kind that 1F1B does next on rank r; weight gradients stay `late` microbatches behind (ZB-H1: r, see `parallel/schedule`). */
function alternating(state: ScheduleState, r: number, late: number): number {
  const { ranks, microbatches, splitsBackward } = state.problem;
  const f = begun(state, FORWARD, r);
  const b = begun(state, BACKWARD, r);
  const w = begun(state, WEIGHT, r);
  if (splitsBackward && (w < b - late || b === microbatches)) return WEIGHT;
  const warmUp = Math.min(microbatches, ranks - 1 - r);
  return f < microbatches && f - warmUp <= b ? FORWARD : BACKWARD;
}

/** The oldest task of the kind that comes next; where it is not there yet, or does not fit, waits as long as others work. */
function inOrder(state: ScheduleState, kindOf: (rank: number) => number): number {
  if (state.asksLink) return 0;
  const kind = kindOf(state.rank);
  for (let i = 0; i < state.offerCount; i++)
    if (state.offerKind[i] === kind && state.offerLegal[i] === 1) return i;
  const wait = state.offerCount - 1;
  return state.offerLegal[wait] === 1 ? wait : least(state, () => 0);
}

/** Runs a schedule from its start; returns its makespan in seconds. */
export function playSchedule(state: ScheduleState, expert: ScheduleExpert): number {
  state.start();
  while (!state.done) state.choose(expert(state));
  return state.boundSec();
}
