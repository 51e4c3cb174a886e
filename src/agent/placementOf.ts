/** Profiled workloads (`search/place`) as problems of the placement episode. */
import type { PlaceProblem } from '../search/place/problem.js';
import { deviceKinds } from '../search/place/problem.js';
import type { PlacementProblem } from './placementGraph.js';

/** Devices as `deviceKinds` numbers them; times in the workload's unit. */
export function placementOf(
  workload: PlaceProblem,
  objective: PlacementProblem['objective'],
): PlacementProblem {
  const opCount = workload.names.length;
  const kindCount = workload.kinds.length;
  const deviceKind = deviceKinds(workload);
  const timeSec = new Float64Array(opCount * kindCount);
  for (let v = 0; v < opCount; v++)
    for (let k = 0; k < kindCount; k++) timeSec[v * kindCount + k] = workload.time[k * opCount + v];
  return {
    opCount,
    kindCount,
    deviceKind,
    timeSec,
    sizeBytes: workload.sizeBytes,
    memoryBytes: Float64Array.from(deviceKind, (k) => workload.kinds[k].memoryBytes),
    paysTransfers: Uint8Array.from(deviceKind, (k) => (workload.kinds[k].paysTransfers ? 1 : 0)),
    edgeFrom: workload.edgeSource,
    edgeTo: workload.edgeTarget,
    transferSec: Float64Array.from(workload.edgeTensor, (t) => workload.tensorTime[t]),
    edgeTensor: workload.edgeTensor,
    tensorCount: workload.tensorTime.length,
    group: workload.color,
    objective,
  };
}
