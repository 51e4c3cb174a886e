/**
 * Random problems small enough to price every plan of the space: the lower bound is held against the fastest of them that
 * fits. No solver takes part, since enumeration itself leaves out what bounds rule out. Sizes range to where memory rules
 * most plans out; cases in which nothing fits are drawn again.
 */
import { loadCluster } from '../../src/cluster/index.js';
import type { Cluster } from '../../src/cluster/index.js';
import { lowerBoundSec } from '../../src/search/bound.js';
import { PlanSpace } from '../../src/search/space.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { Random } from '../../src/util/random.js';
import type { SyntheticOptions } from './synthetic.js';
import { syntheticProblem } from './synthetic.js';

export interface BoundCheck {
  /** Cases of which every plan was priced. */
  readonly cases: number;
  /** Cases whose bound is above the fastest plan. */
  readonly above: readonly SyntheticOptions[];
  /** Of the fastest plan over the bound, less 1. */
  readonly medianGap: number;
  /** Of these the plan that is fastest of all does not fit. */
  readonly tight: number;
}

/** Larger spaces are drawn again. */
const MOST_PLANS = 2500;

const CLUSTERS = ['h100-sxm', 'a100-80gb', 'v100', 'tpu-v5p', 'gb200-nvl72'] as const;

function withMemory(cluster: Cluster, share: number): Cluster {
  const groups = cluster.groups.map((group) => {
    const { memoryBytes, reservedBytes } = group.device;
    const device = {
      ...group.device,
      memoryBytes: share * memoryBytes,
      reservedBytes: share * reservedBytes,
    };
    return { ...group, device };
  });
  return { ...cluster, groups };
}

/** Draws problems until so many have been priced in full, and compares. */
export function checkRandomBounds(count: number, seed: number): BoundCheck {
  const random = new Random(seed);
  const clusters = new Map<string, Cluster>();
  const estimate = createEstimate();
  const gaps: number[] = [];
  let tight = 0;
  const above: SyntheticOptions[] = [];
  for (let draws = 0; gaps.length < count && draws < 20 * count; draws++) {
    const devices = random.pick([1, 2, 2, 3, 4, 4, 6, 8]);
    const name = random.pick(CLUSTERS);
    const memoryShare = random.pick([1, 1, 0.1, 0.05]);
    const key = `${name} ${devices}, ${memoryShare} of the memory`;
    if (!clusters.has(key)) clusters.set(key, withMemory(loadCluster(name, devices), memoryShare));
    const options: SyntheticOptions = {
      devices,
      cluster: clusters.get(key)!,
      layers: 1 + random.int(4),
      hidden: random.pick([512, 1024, 2048, 4096, 6144, 8192, 12288]),
      vocabulary: random.pick([1000, 32000]),
      sequenceLength: random.pick([128, 512, 2048]),
      globalBatch: random.pick([1, 2, 4, 6, 8]),
      phase: random.next() < 0.8 ? 'train' : 'inference',
      experts: random.next() < 0.2 ? 2 : 1,
      spread: random.next() < 0.5 ? 0 : random.next(),
      tied: random.next() < 0.3,
      shardings: random.pick([1, 1, 2, 3]),
    };
    const problem = syntheticProblem(options);
    const space = new PlanSpace(problem);
    if (space.meshes.length === 0 || space.count() > MOST_PLANS) continue;
    const simulator = createSimulator(problem, true);
    let fastestSec = Infinity;
    let anySec = Infinity;
    for (const plan of space.enumerate()) {
      const { fits, stepTimeSec } = simulator.estimate(plan, estimate);
      anySec = Math.min(anySec, stepTimeSec);
      if (fits) fastestSec = Math.min(fastestSec, stepTimeSec);
    }
    if (fastestSec === Infinity) continue;
    const bound = lowerBoundSec(problem);
    if (bound > fastestSec || lowerBoundSec(problem, 0) > fastestSec)
      above.push({ ...options, cluster: key });
    if (anySec < fastestSec) tight++;
    gaps.push(fastestSec / bound - 1);
  }
  gaps.sort((a, b) => a - b);
  return { cases: gaps.length, above, medianGap: gaps[gaps.length >> 1], tight };
}
