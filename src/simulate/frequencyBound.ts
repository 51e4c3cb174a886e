/**
 * How few joules any clocks could take, from the flow that a cut of the critical path leaves behind. The order of tasks is a
 * linear programme; with a price on every arc that is kept from node to node (a flow), times of nodes drop out of its
 * Lagrangian, and what is left can be minimised task by task:
 *
 *     joules >= sum over tasks of min over clocks (joule + f sec) + sum over rigid arcs f sec - F step + what is drawn anyway
 *
 * with f the flow through an arc, watt, and F all of it. Holds for every flow, and is met by the exact one (strong duality):
 * so it says how far rounded prices may be off, without working out the exact ones.
 */
import type { TaskCurves } from './frequencyCurves.js';
import type { PipelineGraph } from './frequencyGraph.js';

export interface PricedArcs {
  /** By arc: rigid ones as in the graph, then tasks. */
  readonly arcFrom: Int32Array;
  readonly flow: Float64Array;
  readonly unitWatt: number;
  /** The step that is not to be exceeded. */
  readonly timeSec: number;
}

export function leastJoules(
  { levels, sec, joule, fixedWatt, onceJoule }: TaskCurves,
  { taskClass, arcSec }: PipelineGraph,
  { arcFrom, flow, unitWatt, timeSec }: PricedArcs,
): number {
  const rigid = arcSec.length;
  let sum = 0;
  let out = 0;
  for (let a = 0; a < rigid; a++) {
    sum += flow[a] * unitWatt * arcSec[a];
    if (arcFrom[a] === 0) out += flow[a];
  }
  for (let i = 0; i < taskClass.length; i++) {
    const watt = flow[rigid + i] * unitWatt;
    if (arcFrom[rigid + i] === 0) out += flow[rigid + i];
    const from = taskClass[i] * levels;
    let least = Infinity;
    for (let k = from; k < from + levels; k++) {
      const value = joule[k] + watt * sec[k];
      if (value < least) least = value;
    }
    sum += least;
  }
  return sum - out * unitWatt * timeSec + fixedWatt * timeSec + onceJoule;
}
