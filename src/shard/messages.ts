/**
 * Sequential tree-reweighted message passing (TRW-S: Kolmogorov, "Convergent Tree-reweighted Message Passing for Energy
 * Minimization", 2006) on the core's pairwise costs. Its bound never falls while costs stay; going through the variables
 * in order, each taking what is best beside those before it and the messages of those after it, gives good choices.
 */
import type { ShardCore } from './core.js';

export class MessagePasser {
  /** Costs of strategies that messages are added to: the core's, plus what memory is priced at. */
  readonly unary: Float64Array;
  /** Message from the neighbour of a direction (as the core numbers them) to the variable, one entry a strategy. */
  private readonly message: Float64Array;
  private readonly messageAt: Int32Array;
  /** One over the larger of the numbers of earlier and of later neighbours. */
  private readonly weight: Float64Array;
  private readonly belief: Float64Array;

  constructor(private readonly core: ShardCore) {
    const { count, start, edgeStart, edgeTo } = core;
    this.unary = Float64Array.from(core.cost);
    this.messageAt = new Int32Array(edgeTo.length + 1);
    this.weight = new Float64Array(count);
    let largest = 1;
    for (let i = 0; i < count; i++) {
      const size = start[i + 1] - start[i];
      largest = Math.max(largest, size);
      let earlier = 0;
      for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
        this.messageAt[e + 1] = this.messageAt[e] + size;
        if (edgeTo[e] < i) earlier++;
      }
      this.weight[i] = 1 / Math.max(1, earlier, edgeStart[i + 1] - edgeStart[i] - earlier);
    }
    this.message = new Float64Array(this.messageAt[edgeTo.length]);
    this.belief = new Float64Array(largest);
  }

  /** Sends messages from the first variable to the last. */
  forward(): void {
    for (let i = 0; i < this.core.count; i++) {
      this.gather(i);
      this.send(i, true);
    }
  }

  /** Sends messages from the last variable to the first. @returns the bound: no choice costs less */
  backward(): number {
    let bound = this.core.constant;
    for (let i = this.core.count - 1; i >= 0; i--) {
      bound += this.gather(i);
      bound += this.send(i, false);
    }
    return bound;
  }

  /** A choice that follows the messages, variable by variable. */
  decode(choice: Int32Array): void {
    const { core, unary, message, messageAt, belief } = this;
    const { start, edgeStart, edgeTo, edgeTable, table } = core;
    for (let i = 0; i < core.count; i++) {
      const size = start[i + 1] - start[i];
      for (let s = 0; s < size; s++) belief[s] = unary[start[i] + s];
      for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
        const j = edgeTo[e];
        if (j < i) {
          const at = edgeTable[e] + choice[j] * size;
          for (let s = 0; s < size; s++) belief[s] += table[at + s];
        } else {
          const at = messageAt[e];
          for (let s = 0; s < size; s++) belief[s] += message[at + s];
        }
      }
      let best = 0;
      for (let s = 1; s < size; s++) if (belief[s] < belief[best]) best = s;
      choice[i] = best;
    }
  }

  /** Sums what is known of variable i, less its least. @returns the least */
  private gather(i: number): number {
    const { core, unary, message, messageAt, belief } = this;
    const { start, edgeStart } = core;
    const size = start[i + 1] - start[i];
    for (let s = 0; s < size; s++) belief[s] = unary[start[i] + s];
    for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
      const at = messageAt[e];
      for (let s = 0; s < size; s++) belief[s] += message[at + s];
    }
    let least = Infinity;
    for (let s = 0; s < size; s++) if (belief[s] < least) least = belief[s];
    for (let s = 0; s < size; s++) belief[s] -= least;
    return least;
  }

  /** Messages from i to its later (or earlier) neighbours, each less its least. @returns the sum of the leasts */
  private send(i: number, later: boolean): number {
    const { core, message, messageAt, belief, weight } = this;
    const { start, edgeStart, edgeTo, edgeTable, edgeBack, table } = core;
    const size = start[i + 1] - start[i];
    const share = weight[i];
    let sum = 0;
    for (let e = edgeStart[i]; e < edgeStart[i + 1]; e++) {
      const j = edgeTo[e];
      if (j > i !== later) continue;
      const others = start[j + 1] - start[j];
      const from = messageAt[e];
      const back = edgeBack[e];
      const to = messageAt[back];
      // Rows are strategies of i, columns those of j.
      const at = edgeTable[back];
      for (let t = 0; t < others; t++) message[to + t] = Infinity;
      for (let s = 0, cell = at; s < size; s++) {
        const own = share * belief[s] - message[from + s];
        for (let t = to; t < to + others; t++, cell++) {
          const value = own + table[cell];
          if (value < message[t]) message[t] = value;
        }
      }
      let least = Infinity;
      for (let t = to; t < to + others; t++) if (message[t] < least) least = message[t];
      for (let t = to; t < to + others; t++) message[t] -= least;
      sum += least;
    }
    return sum;
  }
}
