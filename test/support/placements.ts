/** Random placement problems for tests and benches. */
import type { PlacementProblem } from '../../src/agent/placementGraph.js';
import type { Random } from '../../src/util/random.js';

export interface PlacementShape {
  readonly ops: number;
  readonly devices: number;
  readonly objective: 'latency' | 'load';
  /** Device memory over an even share of all bytes; Infinity: no limit. */
  readonly memorySlack?: number;
  /** Pairs of ops bound together. */
  readonly groups?: number;
}

/** A random DAG: each op reads one to three of the ten before it. Two kinds of device, the second one slower. */
export function randomPlacement(random: Random, shape: PlacementShape): PlacementProblem {
  const { ops, devices, objective } = shape;
  const from: number[] = [];
  const to: number[] = [];
  const transfer: number[] = [];
  for (let v = 1; v < ops; v++) {
    const seen = new Set<number>();
    for (let i = 1 + random.int(3); i > 0; i--) seen.add(Math.max(0, v - 1 - random.int(10)));
    for (const u of seen) {
      from.push(u);
      to.push(v);
      transfer.push(random.next());
    }
  }
  const timeSec = new Float64Array(2 * ops);
  const sizeBytes = new Float64Array(ops);
  let bytes = 0;
  for (let v = 0; v < ops; v++) {
    timeSec[2 * v] = 0.2 + random.next();
    timeSec[2 * v + 1] = random.next() < 0.1 ? Infinity : timeSec[2 * v] * (1 + 2 * random.next());
    bytes += sizeBytes[v] = 1 + random.int(100);
  }
  const group = new Int32Array(ops).fill(-1);
  for (let g = 0; g < (shape.groups ?? 0); g++) {
    group[random.int(ops)] = g;
    group[random.int(ops)] = g;
  }
  return {
    opCount: ops,
    kindCount: 2,
    deviceKind: Int32Array.from({ length: devices }, (_, d) => d % 2),
    timeSec,
    sizeBytes,
    memoryBytes: new Float64Array(devices).fill(((shape.memorySlack ?? Infinity) * bytes) / devices),
    paysTransfers: Uint8Array.from({ length: devices }, (_, d) => (d < devices - 1 ? 1 : 0)),
    edgeFrom: Int32Array.from(from),
    edgeTo: Int32Array.from(to),
    transferSec: Float64Array.from(transfer),
    edgeTensor: Int32Array.from(from),
    tensorCount: ops,
    group,
    objective,
  };
}
