/** What threads that solve one core tell each other: the best solution, and the dual's prices. In shared memory. */
import type { ShardCore } from './core.js';

const LOCK = 0;
const SOLUTION_VERSION = 1;
const PRICE_VERSION = 2;
const STOP = 3;

/** Plain buffers, to send to a thread. */
export interface ExchangeBuffers {
  readonly words: SharedArrayBuffer;
  readonly cost: SharedArrayBuffer;
  readonly choice: SharedArrayBuffer;
  readonly price: SharedArrayBuffer;
  readonly pricedChoice: SharedArrayBuffer;
}

export class Exchange {
  private readonly words: Int32Array;
  private readonly cost: Float64Array;
  private readonly choice: Int32Array;
  private readonly price: Float64Array;
  private readonly pricedChoice: Int32Array;

  constructor(readonly buffers: ExchangeBuffers) {
    this.words = new Int32Array(buffers.words);
    this.cost = new Float64Array(buffers.cost);
    this.choice = new Int32Array(buffers.choice);
    this.price = new Float64Array(buffers.price);
    this.pricedChoice = new Int32Array(buffers.pricedChoice);
  }

  static for(core: ShardCore): Exchange {
    const cost = new SharedArrayBuffer(8);
    new Float64Array(cost)[0] = Infinity;
    return new Exchange({
      words: new SharedArrayBuffer(16),
      cost,
      choice: new SharedArrayBuffer(4 * core.count),
      price: new SharedArrayBuffer(8 * core.rowCount),
      pricedChoice: new SharedArrayBuffer(4 * core.count),
    });
  }

  /** Cost of the best feasible solution so far; Infinity when there is none. */
  get bestCost(): number {
    this.lock();
    const cost = this.cost[0];
    this.unlock();
    return cost;
  }

  /** Tells a feasible solution; kept when it is the best. @returns whether it is */
  offer(cost: number, choice: Int32Array): boolean {
    this.lock();
    const better = cost < this.cost[0];
    if (better) {
      this.cost[0] = cost;
      this.choice.set(choice);
      Atomics.add(this.words, SOLUTION_VERSION, 1);
    }
    this.unlock();
    return better;
  }

  /** Copies the best solution. @returns its cost */
  take(into: Int32Array): number {
    this.lock();
    into.set(this.choice);
    const cost = this.cost[0];
    this.unlock();
    return cost;
  }

  /** Tells prices of rows and a choice that goes by them. */
  tellPrices(price: Float64Array, choice: Int32Array): void {
    this.lock();
    this.price.set(price);
    this.pricedChoice.set(choice);
    Atomics.add(this.words, PRICE_VERSION, 1);
    this.unlock();
    Atomics.notify(this.words, PRICE_VERSION);
  }

  /** How often prices were told. */
  get priceVersion(): number {
    return Atomics.load(this.words, PRICE_VERSION);
  }

  takePrices(price: Float64Array, choice: Int32Array): void {
    this.lock();
    price.set(this.price);
    choice.set(this.pricedChoice);
    this.unlock();
  }

  /** Waits until prices were told for the first time, or until told to stop. */
  awaitPrices(): void {
    while (this.priceVersion === 0 && !this.stopped) Atomics.wait(this.words, PRICE_VERSION, 0, 100);
  }

  /** Asks all to end. */
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    Atomics.notify(this.words, PRICE_VERSION);
  }

  get stopped(): boolean {
    return Atomics.load(this.words, STOP) === 1;
  }

  private lock(): void {
    while (Atomics.compareExchange(this.words, LOCK, 0, 1) !== 0) Atomics.wait(this.words, LOCK, 1, 1);
  }

  private unlock(): void {
    Atomics.store(this.words, LOCK, 0);
    Atomics.notify(this.words, LOCK, 1);
  }
}
