/** Small random placement problems, and every placement of them. */
import { judgeLatency, judgePlacement } from '../../../src/search/place/index.js';
import type { PlaceProblem } from '../../../src/search/place/index.js';
import { deviceKinds, readPlaceProblem } from '../../../src/search/place/index.js';
import { Random } from '../../../src/util/random.js';

/** A random workload in our own format. */
export function randomWorkload(seed: number, most = 6): Record<string, unknown> {
  const random = new Random(seed);
  const n = 2 + random.int(most - 1);
  const accelerators = 1 + random.int(2);
  const training = random.next() < 0.4;
  return {
    devices: [
      { name: 'gpu', count: accelerators, memoryBytes: 4 + random.int(12) },
      { name: 'cpu', count: random.int(2) + (accelerators === 1 ? 1 : 0), paysTransfers: false },
    ],
    ops: Array.from({ length: n }, (_, v) => ({
      name: `op${v}`,
      time: { gpu: random.next() < 0.1 ? null : random.int(6), cpu: random.int(20) },
      sizeBytes: random.int(4),
      ...(random.next() < 0.3 ? { group: random.int(2) } : {}),
      ...(training && v >= n / 2 ? { backward: true } : {}),
    })),
    edges: Array.from({ length: n * n }, (_, i) => [Math.floor(i / n), i % n])
      .filter(([u, v]) => u < v && random.next() < 0.4)
      .map(([u, v]) => ({ from: `op${u}`, to: `op${v}`, transferTime: (u * 7) % 4 })),
  };
}

export function randomProblem(seed: number, most = 6): PlaceProblem {
  return readPlaceProblem(randomWorkload(seed, most), 'random');
}

/** The least value over all placements that fit, by trying each; Infinity when none does. */
export function bruteForce(
  problem: PlaceProblem,
  objective: 'throughput' | 'latency',
  contiguous: boolean,
): number {
  const devices = deviceKinds(problem).length;
  const device = new Int32Array(problem.names.length);
  let best = Infinity;
  for (;;) {
    const verdict = judgePlacement(problem, device, contiguous);
    if (verdict.faults.length === 0)
      best = Math.min(best, objective === 'latency' ? judgeLatency(problem, device) : verdict.maxLoad);
    let v = 0;
    while (v < device.length && ++device[v] === devices) device[v++] = 0;
    if (v === device.length) return best;
  }
}
