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
const FIRST_DUAL = 0.04;
const ALL_DUAL = 0.3;
const FIRST_DUAL_MOST_SEC = 2;
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
      dual.step(exchange.bestCost < Infinity ? exchange.bestCost : dual.guess);
      offerDual(core, dual, exchange);
      if (k % 4 === 3) news();
    }
    dual.settle(2);
    exchange.tellPrices(dual.price, dual.choice);
  };
  const frugal = leastUsage(core);
  const frugalState = new ShardState(core, frugal);
  if (!frugalState.slack.isOverfull() && frugalState.cost < core.forbidden)
    exchange.offer(frugalState.cost, frugal);
  // One step at least, so that there is a bound.
  dual.step(dual.guess);
  offerDual(core, dual, exchange);
  ascend(Math.min(after(FIRST_DUAL), begun + FIRST_DUAL_MOST_SEC));
  const descent = new Descent(
    core,
    dual.choice,
    random,
    options.choose ?? new BanditChoice(NEIGHBOURHOODS.length, random.fork()),
  );
  const descend = (until: number, enough: () => boolean): void => {
    descent.openWhole(isOver);
    let adopt = clock() + ADOPT_EVERY * total;
    const patience = clock() + FRUGAL_AFTER * total;
    let isFrugal = false;
    let tell = clock();
    for (let told = descent.bestCost; !isOver() && !(clock() >= until && enough());) {
      descent.step((clock() - begun) / total);
      if (descent.bestCost < told) {
        told = descent.bestCost;
        exchange.offer(told, descent.best);
      }
      if (clock() >= tell) {
        tell = clock() + NEWS_SEC;
        news();
      }
      if (!isFrugal && descent.bestCost === Infinity && clock() > patience) {
        isFrugal = true;
        descent.restart(frugal, false);
      }
      if (clock() < adopt) continue;
      adopt += ADOPT_EVERY * total;
      goOnFromBest(descent, exchange);
    }
    exchange.offer(descent.bestCost, descent.best);
    news();
  };
  descent.setPrices(dual.price);
  descend(clock() + FIRST_DESCENT_SHARE * total, () => exchange.bestCost < Infinity);
  ascend(after(ALL_DUAL));
  descent.setPrices(dual.price);
  descent.restart(dual.choice, true);
  descend(deadline, () => true);
  const choice = new Int32Array(core.count);
  const cost = exchange.take(choice);
  return { cost, choice, bound: Math.min(safeBound(), cost) };
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
  const pause = ADOPT_EVERY * (deadline - begun);
  let adopt = clock() + pause;
  for (let told = descent.bestCost; !isOver();) {
    descent.step((clock() - begun) / (deadline - begun));
    if (descent.bestCost < told) {
      told = descent.bestCost;
      exchange.offer(told, descent.best);
    }
    if (version !== exchange.priceVersion) {
      version = exchange.priceVersion;
      exchange.takePrices(price, choice);
      descent.setPrices(price);
    }
    if (clock() < adopt) continue;
    adopt += pause;
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
