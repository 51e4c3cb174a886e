/**
 * Solves a core: the dual raises its bound and prices, the descent goes by them. With several threads the first one does
 * both in turn, the others descend from its prices from early on; all tell each other the best solution.
 */
import type { Random } from '../util/random.js';
import type { ShardCore } from './core.js';
import { coreCost } from './core.js';
import { Descent } from './descend.js';
import { DualAscent } from './dual.js';
import { leastUsage } from './leastUsage.js';
import { ShardState } from './state.js';
import { searchExactly } from './exact.js';
import type { Exchange } from './exchange.js';
import { NEIGHBOURHOODS } from './neighbourhood.js';
import type { NeighbourhoodChoice } from './neighbourhoodChoice.js';
import { BanditChoice } from './neighbourhoodChoice.js';

export interface CoreOptions {
  /** Seconds, monotone. */
  readonly clock: () => number;
  /** When to end, on that clock. */
  readonly deadline: number;
  readonly random: Random;
  readonly exchange: Exchange;
  /** Default: the bandit. */
  readonly choose?: NeighbourhoodChoice;
  readonly onNews?: (news: CoreNews) => void;
}

export interface CoreNews {
  readonly cost: number;
  readonly bound: number;
}

export interface CoreResult {
  /** Infinity when no feasible solution was found (when `bound` is Infinity too, there is none); `choice` then means nothing. */
  readonly cost: number;
  readonly choice: Int32Array;
  /** No feasible solution costs less. */
  readonly bound: number;
}

/** Shares of the time for the dual: until the first descent, and in all. */
const FIRST_DUAL = 0.3;
const ALL_DUAL = 0.3;
const FIRST_DUAL_MOST_SEC = 4;
/** Share for the dual after the first descent, however long that took. */
const SECOND_DUAL = 0.1;
/** Share of the time for the first descent, or until there is a feasible solution. */
const FIRST_DESCENT_SHARE = 0.04;
/** Share of the time after which a thread with a worse solution goes on from the best. */
const ADOPT_EVERY = 0.08;
/** Larger cores are not searched through. */
const MOST_SEARCHED = 48;
/** Share of the time without a feasible solution after which the descent starts anew where memory is least. */
const FRUGAL_AFTER = 0.05;
/** Seconds between two news of the descent. */
const NEWS_SEC = 0.25;
/** Bounds are sums of many numbers. */
const ROUNDING = 1e-9;

/** The work of the first thread. */
export function solveCore(core: ShardCore, options: CoreOptions): CoreResult {
  const { clock, deadline, exchange, random } = options;
  const begun = clock();
  const exact = core.count <= MOST_SEARCHED ? searchExactly(core) : null;
  if (exact !== null) return { ...exact, bound: exact.cost };
  const total = deadline - begun;
  const after = (share: number): number => begun + share * total;
  const dual = new DualAscent(core);
  const safeBound = (): number => dual.bound - ROUNDING * Math.abs(dual.bound);
  const isOver = (): boolean => clock() >= deadline || safeBound() >= exchange.bestCost * (1 - 2 * ROUNDING);
  const news = (): void => options.onNews?.({ cost: exchange.bestCost, bound: safeBound() });
  const ascend = (until: number): void => {
    for (let k = 0; clock() < until && !isOver() && !dual.isConverged; k++) {
      dual.step(exchange.bestCost);
      offerDual(core, dual, exchange);
      if (k % 4 === 3) news();
    }
    if (!isOver()) dual.settle(2);
    exchange.tellPrices(dual.price, dual.choice);
  };
  const frugal = leastUsage(core);
  const frugalState = new ShardState(core, frugal);
  if (!frugalState.slack.isOverfull() && frugalState.cost < core.forbidden)
    exchange.offer(frugalState.cost, frugal);
  news();
  dual.warmUp(isOver);
  ascend(Math.min(after(FIRST_DUAL), begun + FIRST_DUAL_MOST_SEC));
  const result = (): CoreResult => {
    const choice = new Int32Array(core.count);
    const cost = exchange.take(choice);
    return { cost, choice, bound: Math.min(safeBound(), cost) };
  };
  if (isOver()) return result();
  const choose = options.choose ?? new BanditChoice(NEIGHBOURHOODS.length, random.fork());
  const descent = new Descent(core, dual.choice, random, choose);
  descent.setPrices(dual.price);
  const descend = (until: number): void => {
    descent.openWhole(isOver);
    const patience = clock() + FRUGAL_AFTER * total;
    let isFrugal = false;
    let tell = clock();
    const isEnough = (): boolean => isOver() || (clock() >= until && exchange.bestCost < Infinity);
    descendUntil(descent, options, begun, isEnough, () => {
      if (clock() >= tell) {
        tell = clock() + NEWS_SEC;
        news();
      }
      if (isFrugal || descent.bestCost < Infinity || clock() < patience) return;
      isFrugal = true;
      descent.restart(frugal, false);
    });
    news();
  };
  descend(clock() + FIRST_DESCENT_SHARE * total);
  if (isOver()) return result();
  ascend(Math.max(after(ALL_DUAL), clock() + SECOND_DUAL * total));
  descent.setPrices(dual.price);
  descent.restart(dual.choice, true);
  descend(deadline);
  return result();
}

/** The work of every other thread, until it is told to stop. */
export function assistCore(core: ShardCore, options: Omit<CoreOptions, 'onNews'>): void {
  const { clock, deadline, exchange, random } = options;
  const begun = clock();
  exchange.awaitPrices();
  const price = new Float64Array(core.rowCount);
  const choice = new Int32Array(core.count);
  exchange.takePrices(price, choice);
  let version = exchange.priceVersion;
  const choose = options.choose ?? new BanditChoice(NEIGHBOURHOODS.length, random.fork());
  const descent = new Descent(core, choice, random, choose);
  descent.setPrices(price);
  const isOver = (): boolean => exchange.stopped || clock() >= deadline;
  descent.openWhole(isOver);
  descendUntil(descent, options, begun, isOver, () => {
    if (version === exchange.priceVersion) return;
    version = exchange.priceVersion;
    exchange.takePrices(price, choice);
    descent.setPrices(price);
  });
}

/** Opens neighbourhood after neighbourhood, tells what is better than before, and now and then goes on from the best. */
function descendUntil(
  descent: Descent,
  { clock, deadline, exchange }: Pick<CoreOptions, 'clock' | 'deadline' | 'exchange'>,
  begun: number,
  isOver: () => boolean,
  afterStep: () => void,
): void {
  const total = deadline - begun;
  let adopt = clock() + ADOPT_EVERY * total;
  let told = descent.bestCost;
  exchange.offer(told, descent.best);
  while (!isOver()) {
    descent.step((clock() - begun) / total);
    if (descent.bestCost < told) {
      told = descent.bestCost;
      exchange.offer(told, descent.best);
    }
    afterStep();
    if (clock() < adopt) continue;
    adopt += ADOPT_EVERY * total;
    goOnFromBest(descent, exchange);
  }
}

/** Tells the choice that follows the messages when it is feasible. */
function offerDual(core: ShardCore, dual: DualAscent, exchange: Exchange): void {
  if (!dual.fits) return;
  const cost = coreCost(core, dual.choice);
  if (cost < core.forbidden) exchange.offer(cost, dual.choice);
}

function goOnFromBest(descent: Descent, exchange: Exchange): void {
  if (exchange.bestCost >= descent.bestCost) return;
  const choice = new Int32Array(descent.best.length);
  exchange.take(choice);
  descent.restart(choice, false);
}
