import type { ClassCosts, ShardKey } from '../cost/types.js';
import type { ExpertTraffic } from './experts.js';
import type { KernelClock } from './kernels.js';
import type { RankScale } from './scale.js';
import type { LayerStrategy } from './solve.js';

/** One layer being priced: where the figures go, and what they are read off. */
export interface Pricing {
  readonly costs: ClassCosts;
  /** Row of the layer's class in every column. */
  readonly c: number;
  readonly strategy: LayerStrategy;
  readonly traffic: ExpertTraffic;
  readonly key: ShardKey;
  readonly scale: RankScale;
  readonly clock: KernelClock;
  readonly trains: boolean;
}
