/**
 * The price of breaking a limit, found by dual ascent (Tessler et al. 2019): it rises while more than the tolerated share
 * of episodes breaks the limit and falls while fewer do, so that what breaks it is worth learning from but never pays.
 */

const LEAST = 0.25;
const MOST = 4;

export class ConstraintMultiplier {
  value = 1;

  /**
   * @param tolerated share of episodes that may break the limit: the best plans often stand just beside those that do
   * @param rate change of the logarithm per episode and unit of share
   */
  constructor(
    private readonly tolerated = 0.2,
    private readonly rate = 0.02,
  ) {}

  /** @param excess of a finished episode */
  observe(excess: number): void {
    const broken = excess > 0 ? 1 : 0;
    this.value = Math.min(
      MOST,
      Math.max(LEAST, this.value * Math.exp(this.rate * (broken - this.tolerated))),
    );
  }
}
