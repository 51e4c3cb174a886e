/**
 * The plain judge of placements: recomputes loads, memory, colours, contiguity and latency from the problem alone. It shares
 * nothing with the solvers, and is slow on purpose.
 */
import type { PlaceProblem } from './problem.js';
import { deviceKinds, deviceNames } from './problem.js';

export interface Verdict {
  /** Load of each device: compute plus transfers in and out. */
  readonly loads: readonly number[];
  readonly sizeBytes: readonly number[];
  readonly maxLoad: number;
  /** What is wrong, in words; empty: a legal placement. */
  readonly faults: readonly string[];
}

/** @param device device of each operator */
export function judgePlacement(
  problem: PlaceProblem,
  device: ArrayLike<number>,
  contiguous = false,
): Verdict {
  const n = problem.names.length;
  const kindOf = deviceKinds(problem);
  const names = deviceNames(problem);
  const loads = new Array<number>(names.length).fill(0);
  const sizeBytes = new Array<number>(names.length).fill(0);
  const faults: string[] = [];
  for (let v = 0; v < n; v++) {
    const d = device[v];
    if (!(d >= 0 && d < names.length)) {
      faults.push(`${problem.names[v]} has no device`);
      continue;
    }
    const time = problem.time[kindOf[d] * n + v];
    if (time === Infinity) faults.push(`${problem.names[v]} cannot run on ${names[d]}`);
    loads[d] += time;
    sizeBytes[d] += problem.sizeBytes[v];
    for (let w = 0; w < v; w++)
      if (problem.color[w] === problem.color[v] && device[w] !== d)
        faults.push(`${problem.names[w]} and ${problem.names[v]} must share a device`);
  }
  for (let t = 0; t < problem.tensorTime.length; t++) {
    const paying = new Set<number>();
    for (let e = 0; e < problem.edgeTensor.length; e++) {
      if (problem.edgeTensor[e] !== t) continue;
      const [from, to] = [device[problem.edgeSource[e]], device[problem.edgeTarget[e]]];
      if (from !== to) paying.add(from).add(to);
    }
    for (const d of paying)
      if (problem.kinds[kindOf[d]]?.paysTransfers === true) loads[d] += problem.tensorTime[t];
  }
  names.forEach((name, d) => {
    const limit = problem.kinds[kindOf[d]].memoryBytes;
    if (sizeBytes[d] > limit * (1 + 1e-12)) faults.push(`${name} holds ${sizeBytes[d]} of ${limit} bytes`);
    if (contiguous && !isContiguous(problem, device, d)) faults.push(`${name} is not contiguous`);
  });
  return { loads, sizeBytes, maxLoad: Math.max(...loads), faults };
}

/** Whether no path of the forward pass leaves the device's operators and comes back. */
export function isContiguous(problem: PlaceProblem, device: ArrayLike<number>, d: number): boolean {
  const n = problem.names.length;
  // Reachable from the device through operators that are elsewhere.
  const left = new Uint8Array(n);
  for (let changed = true; changed;) {
    changed = false;
    for (let e = 0; e < problem.edgeSource.length; e++) {
      const [u, v] = [problem.edgeSource[e], problem.edgeTarget[e]];
      if (problem.backward[u] === 1 || problem.backward[v] === 1) continue;
      if (device[u] !== d && left[u] === 0) continue;
      if (device[v] === d) {
        if (left[u] === 1) return false;
      } else if (left[v] === 0) {
        left[v] = 1;
        changed = true;
      }
    }
  }
  return true;
}

/**
 * Latency of one sample, plainly: finish times are raised until nothing changes. Infinity when devices wait for each other in a
 * ring.
 *
 * @param device device of each operator
 */
export function judgeLatency(problem: PlaceProblem, device: ArrayLike<number>): number {
  const n = problem.names.length;
  const kindOf = deviceKinds(problem);
  const loads = judgePlacement(problem, device).loads;
  const called = (v: number): boolean => problem.kinds[kindOf[device[v]]].paysTransfers;
  const finish = new Array<number>(n).fill(0);
  for (let round = 0; round <= n + loads.length; round++) {
    let changed = false;
    // When the inputs of each operator, or of the whole device that is called with it, are ready.
    const opReady = new Array<number>(n).fill(0);
    const deviceReady = new Array<number>(loads.length).fill(0);
    for (let e = 0; e < problem.edgeSource.length; e++) {
      const [from, to] = [problem.edgeSource[e], problem.edgeTarget[e]];
      opReady[to] = Math.max(opReady[to], finish[from]);
      if (device[from] !== device[to])
        deviceReady[device[to]] = Math.max(deviceReady[device[to]], finish[from]);
    }
    for (let v = 0; v < n; v++) {
      const end = called(v)
        ? deviceReady[device[v]] + loads[device[v]]
        : opReady[v] + problem.time[kindOf[device[v]] * n + v];
      if (end > finish[v]) {
        finish[v] = end;
        changed = true;
      }
    }
    if (!changed) return Math.max(...finish);
  }
  return Infinity;
}
