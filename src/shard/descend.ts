/**
 * The primal side: from a choice that goes by the dual's prices, first all variables at once, then neighbourhood after
 * neighbourhood. Overfull memory is allowed at a penalty that rises until it is gone; from then on the best feasible
 * solution is kept and the search goes on from it.
 */
import type { Random } from '../util/random.js';
import type { ShardCore } from './core.js';
import { Improver } from './improve.js';
import { NEIGHBOURHOODS, NeighbourhoodSampler } from './neighbourhood.js';
import type { NeighbourhoodChoice } from './neighbourhoodChoice.js';
import { ShardState } from './state.js';

/** Cells of a table in a block. */
const TABLE_LIMIT = 20_000;
const ROUNDS = 6;
/** Shares of the dual's prices that blocks begin with. */
const BASES = [0, 0.5, 0.8, 1, 1, 1.25];
/** Times that all variables are opened at once. */
const WHOLE_ROUNDS = 6;
/** Blocks without room in memory until its penalty rises, and how much. */
const PATIENCE = 60;
const DEARER = 2;
const FIRST_PENALTY = 0.03;
/** Share of the time without a better best after which memory gets cheap for a while, and by up to how many halvings. */
const STALE_SHARE = 0.03;
const MOST_HALVINGS = 6;
/** Blocks between two recounts of costs, which drift when they are not whole. */
const RECOUNT = 5000;

export class Descent {
  bestCost = Infinity;
  readonly best: Int32Array;
  readonly state: ShardState;
  private readonly improver: Improver;
  private readonly sampler: NeighbourhoodSampler;
  private readonly rows: Int32Array;
  private readonly all: number[];
  /** Price of overfull memory, per unit and row. */
  penalty = 0;
  private firstPenalty = 0;
  private overfullFor = 0;
  private blocks = 0;
  private sinceImprovement = 0;
  /** When the best was found, or was last left for somewhere else, as a share of the time. */
  private freshAt = 0;
  private readonly pick: (n: number) => number;

  constructor(
    private readonly core: ShardCore,
    choice: Int32Array,
    private readonly random: Random,
    private readonly choose: NeighbourhoodChoice,
  ) {
    this.state = new ShardState(core, choice);
    this.improver = new Improver(this.state);
    this.sampler = new NeighbourhoodSampler(this.state, random);
    this.rows = new Int32Array(Math.max(1, core.rowCount));
    this.best = Int32Array.from(choice);
    this.all = Array.from({ length: core.count }, (_, i) => i);
    this.pick = (n) => random.int(n);
    this.keep();
  }

  /** Takes the dual's prices for guidance. */
  setPrices(price: Float64Array): void {
    this.improver.prices.setBase(price);
    let sum = 0;
    let priced = 0;
    for (let r = 0; r < price.length; r++) {
      if (price[r] <= 0) continue;
      sum += price[r];
      priced++;
    }
    this.firstPenalty = priced === 0 ? 0 : sum / priced;
    if (this.penalty === 0) this.penalty = this.firstPenalty;
  }

  /** Starts anew from a choice. @param afresh whether overfull memory is cheap again */
  restart(choice: Int32Array, afresh: boolean): void {
    for (let i = 0; i < this.core.count; i++) this.state.move(i, choice[i]);
    this.state.recount();
    if (afresh) this.penalty = this.firstPenalty;
    this.overfullFor = 0;
    this.keep();
  }

  /** Opens everything at once under the prices, a few times. */
  openWhole(stopped: () => boolean): void {
    for (let k = 0; k < WHOLE_ROUNDS && !stopped(); k++) {
      const request = {
        variables: this.all,
        limit: TABLE_LIMIT,
        maxRounds: 1,
        base: 1,
        penalty: this.penalty,
      };
      if (this.improver.open(request, this.pick).gain === 0) break;
      this.keep();
    }
  }

  /** Opens one neighbourhood. @param progress share of the time that is gone */
  step(progress: number): void {
    const { state, random, choose, improver } = this;
    const overfull = state.slack.isOverfull();
    let row = -1;
    if (overfull && random.int(4) > 0) row = this.rows[random.int(state.slack.overfull(this.rows))];
    const arm = choose.next({
      value: state.cost,
      overfull,
      blocks: this.blocks,
      sinceImprovement: this.sinceImprovement,
      progress,
    });
    const variables = this.sampler.draw(NEIGHBOURHOODS[arm], row);
    const base = BASES[random.int(BASES.length)];
    const { penalty } = this;
    const { gain, work } = improver.open(
      { variables, limit: TABLE_LIMIT, maxRounds: ROUNDS, base, penalty },
      this.pick,
    );
    choose.learn(arm, gain / Math.max(1, Math.abs(state.cost)), work);
    this.sinceImprovement = gain > 0 ? 0 : this.sinceImprovement + 1;
    if (++this.blocks % RECOUNT === 0) state.recount();
    if (!state.slack.isOverfull()) this.overfullFor = 0;
    else if (++this.overfullFor >= PATIENCE) {
      // Without prices from the dual the first penalty makes the excess worth a share of the cost.
      const least = (FIRST_PENALTY * Math.abs(state.cost)) / state.slack.excess();
      this.penalty = Math.max(this.penalty * DEARER, least);
      this.overfullFor = 0;
    }
    if (this.keep()) this.freshAt = progress;
    else if (this.bestCost < Infinity && progress - this.freshAt > STALE_SHARE) {
      this.freshAt = progress;
      this.oscillate();
    }
  }

  /** From the best solution on through ones that overfill memory: it is cheap again, and gets dearer until all fits. */
  private oscillate(): void {
    this.restart(this.best, false);
    this.penalty = this.firstPenalty * 2 ** -(MOST_HALVINGS * this.random.next());
  }

  /** Remembers the present solution when it is feasible and the best. @returns whether it is */
  private keep(): boolean {
    const { state } = this;
    if (state.cost >= this.bestCost || state.cost >= this.core.forbidden || state.slack.isOverfull())
      return false;
    this.bestCost = state.cost;
    this.best.set(state.choice);
    return true;
  }
}
