/**
 * How much noise remembers of its past, from differences alone. For x = r x' + e with independent e of variance s2,
 *
 *     E[(x - x')^2] = 2 s2 / (1 + r),   E[(x - x'')^2] = 2 s2,   r = E[(x - x'')^2] / E[(x - x')^2] - 1
 *
 * to which a change of level adds one difference or two, and a ramp nothing worth speaking of; the correlation about a
 * learned mean would take both for memory. (The ratio is von Neumann's, Annals of Mathematical Statistics 12, 1941, at two
 * lags.) What a first order does not explain, such as jitter on top of a slow tide, is left in the innovations: the sums of
 * neighbouring blocks of them then differ by more than chance, and the scale says by how much.
 */

/** Values over which it is averaged, at most, of each test. */
const SPAN = 2000;
/** Before anything is seen, noise is taken to have this memory, as surely as so many values would say it. */
const USUAL_MEMORY = 0.3;
const USUAL_VALUES = 25;
const MOST_MEMORY = 0.9;
/** Noise that remembers is seldom of first order only, and what lies behind it lasts longer. */
const MARGIN = 1.05;

/** Innovations of a block. */
const BLOCK = 8;
const SPAN_BLOCKS = SPAN / BLOCK;
/** Blocks that say beforehand that innovations are independent. */
const USUAL_BLOCKS = 20;

/** What is averaged: of each test, or of all together. */
const AVERAGES = 5;
const COUNT = 0;
const ONE = 1;
const TWO = 2;
const BLOCKS = 3;
const EXCESS = 4;
/** What each test has by itself: two values, sum and number of the block that is open, sum of the block before. */
const FIELDS = AVERAGES + 5;
const LAST = 5;
const BEFORE = 6;
const SUM = 7;
const IN_BLOCK = 8;
const SUM_BEFORE = 9;

export class NoiseMemory {
  private readonly state: Float64Array;
  private readonly shared = new Float64Array(AVERAGES);

  /** @param alike the tests have one memory */
  constructor(
    private readonly tests: number,
    private readonly alike: boolean,
  ) {
    this.state = new Float64Array(tests * FIELDS);
    for (let i = 0; i < tests; i++) this.state.fill(NaN, i * FIELDS + LAST, i * FIELDS + SUM);
    for (let i = 0; i < tests; i++) this.state[i * FIELDS + SUM_BEFORE] = NaN;
  }

  /** r of a test, 0 to 0.9. */
  of(test: number): number {
    const s = this.alike ? this.shared : this.state;
    const at = this.alike ? 0 : test * FIELDS;
    const n = s[at + COUNT];
    const r = s[at + ONE] > 0 ? s[at + TWO] / s[at + ONE] - 1 : USUAL_MEMORY;
    const likely = (n * r + USUAL_VALUES * USUAL_MEMORY) / (n + USUAL_VALUES);
    // Too little is worse than too much: false alarms grow faster than delays.
    const error = Math.sqrt(1 / (n + USUAL_VALUES));
    return Math.max(0, Math.min(MOST_MEMORY, MARGIN * likely + error));
  }

  /** By how much sums of a test's innovations spread wider than if they were independent; at least 1. */
  scale(test: number): number {
    const s = this.alike ? this.shared : this.state;
    const at = this.alike ? 0 : test * FIELDS;
    const n = s[at + BLOCKS];
    const likely = (n * s[at + EXCESS] + USUAL_BLOCKS) / (n + USUAL_BLOCKS);
    // Only what chance does not explain.
    return Math.sqrt(Math.max(1, likely - Math.sqrt(1 / (n + USUAL_BLOCKS))));
  }

  /** Takes the next innovation, in deviations. */
  addInnovation(test: number, deviate: number): void {
    const s = this.state;
    const at = test * FIELDS;
    s[at + SUM] += deviate;
    if (++s[at + IN_BLOCK] < BLOCK) return;
    // Half of the squared difference is a block's variance, and no level that both have counts.
    const excess = (s[at + SUM] - s[at + SUM_BEFORE]) ** 2 / (2 * BLOCK);
    s[at + SUM_BEFORE] = s[at + SUM];
    s[at + SUM] = 0;
    s[at + IN_BLOCK] = 0;
    if (Number.isNaN(excess)) return;
    const into = this.alike ? this.shared : s;
    const to = this.alike ? 0 : at;
    const n = (into[to + BLOCKS] = Math.min(
      this.alike ? SPAN_BLOCKS * this.tests : SPAN_BLOCKS,
      into[to + BLOCKS] + 1,
    ));
    into[to + EXCESS] += (excess - into[to + EXCESS]) / n;
  }

  /**
   * Takes the next value.
   *
   * @param spread deviation of the test's values, so that tests can be put together
   * @param isUsual false: an outlier, whose differences tell nothing
   */
  add(test: number, value: number, spread: number, isUsual: boolean): void {
    const s = this.state;
    const at = test * FIELDS;
    if (isUsual && spread > 0 && !Number.isNaN(s[at + LAST]) && !Number.isNaN(s[at + BEFORE])) {
      const one = ((value - s[at + LAST]) / spread) ** 2;
      const two = ((value - s[at + BEFORE]) / spread) ** 2;
      if (this.alike) average(this.shared, 0, one, two, SPAN * this.tests);
      else average(s, at, one, two, SPAN);
    }
    s[at + BEFORE] = s[at + LAST];
    s[at + LAST] = isUsual ? value : NaN;
  }

  /** Plain numbers from which `restore` goes on. */
  snapshot(): number[][] {
    const isKnown = Array.from(this.state, (v) => (Number.isNaN(v) ? 0 : 1));
    return [Array.from(this.state, (v) => (Number.isNaN(v) ? 0 : v)), isKnown, Array.from(this.shared)];
  }

  restore([state, isKnown, shared]: readonly (readonly number[])[]): void {
    this.state.set(state.map((v, i) => (isKnown[i] === 1 ? v : NaN)));
    this.shared.set(shared);
  }
}

function average(s: Float64Array, at: number, one: number, two: number, span: number): void {
  const n = Math.min(span, ++s[at + COUNT]);
  s[at + COUNT] = n;
  s[at + ONE] += (one - s[at + ONE]) / n;
  s[at + TWO] += (two - s[at + TWO]) / n;
}
