/**
 * HiGHS on the program of `latencyProgram`: placements on the way, and the dual bound. It starts where the local search ended
 * (no latency above the best known is sought) and ends at a clock reading.
 */
import type { Highs } from 'highs';
import type { Clock } from '../types.js';
import type { Groups } from './groups.js';
import { latencyProgram } from './latencyProgram.js';
import type { PlaceProblem } from './problem.js';

export interface MipAnswer {
  /** No placement has a lower latency; the bound given when nothing better was proved. */
  readonly lowerBound: number;
}

export interface MipOptions {
  /** Best latency known; Infinity: none. */
  readonly known: number;
  readonly lowerBound: number;
  readonly untilSec: number;
  readonly clock: Clock;
  readonly seed: number;
  /** Told of every placement on the way, by group. */
  readonly onPlacement: (device: Int32Array) => void;
}

/** Numbers in the largest program that is tried. */
const MOST_ENTRIES = 60_000;
/** Latencies this much above the best known still count: rounding must not cut the best off. */
const ABOVE = 1e-6;
/** The solver's own tolerance on whole numbers, and room for it in its bound. */
const TOLERANCE = 1e-6;

/** @returns null when the program is too large to be tried, or for the solver's memory */
export function solveLatencyMip(
  highs: Highs,
  problem: PlaceProblem,
  groups: Groups,
  options: MipOptions,
): MipAnswer | null {
  const { known, lowerBound, untilSec, clock, onPlacement } = options;
  const most = known < Infinity ? known * (1 + ABOVE) : worstCase(problem);
  const program = latencyProgram(problem, groups, most, lowerBound, MOST_ENTRIES);
  if (program === null) return null;
  const { constants } = highs;
  const D = program.devices.length;
  let bound = lowerBound;
  const take = (solution: Float64Array): void => {
    const device = new Int32Array(program.groups);
    for (let g = 0; g < program.groups; g++)
      for (let i = 0; i < D; i++) if (solution[g * D + i] > 0.5) device[g] = program.devices[i];
    onPlacement(device);
  };
  const solve = (): MipAnswer =>
    highs.withModel(
      {
        numCols: program.columns,
        numRows: program.rows,
        colCost: program.cost,
        colLower: program.lower,
        colUpper: program.upper,
        rowLower: program.rowLower,
        rowUpper: program.rowUpper,
        matrix: {
          format: 'csr',
          numRows: program.rows,
          numCols: program.columns,
          starts: program.rowFirst,
          indices: program.column,
          values: program.value,
        },
        integrality: program.whole,
      },
      (model) => {
        model.options.set({
          output_flag: false,
          random_seed: options.seed,
          mip_feasibility_tolerance: TOLERANCE,
          time_limit: Math.min(1e7, Math.max(0.01, untilSec - clock())),
        });
        model.run({
          [constants.callbackType.mipInterrupt](event) {
            bound = Math.max(bound, event.data.mip_dual_bound ?? bound);
            if (clock() >= untilSec) event.interrupt();
          },
          [constants.callbackType.mipImprovingSolution](event) {
            if (event.data.mip_solution !== undefined) take(event.data.mip_solution);
          },
        });
        const status = model.getModelStatus();
        if (status === constants.modelStatus.optimal) bound = Math.max(bound, model.getObjectiveValue());
        // Nothing is at most `most`: the best known is the best, or nothing fits.
        if (status === constants.modelStatus.infeasible) return { lowerBound: known };
        return { lowerBound: Math.max(lowerBound, Math.min(bound * (1 - TOLERANCE), known)) };
      },
    );
  try {
    return solve();
  } catch (e) {
    // Its memory ends at 2 GiB; what was proved until then holds.
    if (e instanceof Error && e.name === 'RuntimeError')
      return bound > lowerBound ? { lowerBound: bound * (1 - TOLERANCE) } : null;
    throw e;
  }
}

/** Every operator at its slowest, and every tensor moved out and in everywhere: no schedule takes longer. */
function worstCase(problem: PlaceProblem): number {
  const n = problem.names.length;
  let total = 0;
  for (let v = 0; v < n; v++) {
    let slowest = 0;
    problem.kinds.forEach((_, k) => {
      const time = problem.time[k * n + v];
      if (time < Infinity) slowest = Math.max(slowest, time);
    });
    total += slowest;
  }
  const devices = problem.kinds.reduce((sum, kind) => sum + (kind.paysTransfers ? kind.count : 0), 0);
  for (const time of problem.tensorTime) total += time * Math.max(2, devices + 1);
  return total;
}
