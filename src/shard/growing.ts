/** Typed arrays that grow as a file is read. */
const LARGE = 1 << 24;

export class GrowingFloat64 {
  private data = new Float64Array(1 << 12);
  length = 0;

  push(value: number): void {
    if (this.length === this.data.length) this.grow();
    this.data[this.length++] = value;
  }

  /** The values from `from` on; a view that the next push may leave behind. */
  view(from = 0): Float64Array {
    return this.data.subarray(from, this.length);
  }

  at(index: number): number {
    return this.data[index];
  }

  private grow(): void {
    // Of large arrays less is kept in reserve: old and new stand side by side for a moment.
    const factor = this.data.length < LARGE ? 2 : 1.25;
    const larger = new Float64Array(Math.ceil(this.data.length * factor));
    larger.set(this.data);
    this.data = larger;
  }
}

/** Lists of numbers of any lengths, one after the other (CSR). */
export class GrowingLists {
  readonly values = new GrowingFloat64();
  readonly starts = new GrowingFloat64();

  /** Ends the list that is being filled through `values`. */
  endList(): void {
    this.starts.push(this.values.length);
  }

  get count(): number {
    return this.starts.length;
  }

  start(list: number): number {
    return list === 0 ? 0 : this.starts.at(list - 1);
  }

  size(list: number): number {
    return this.starts.at(list) - this.start(list);
  }
}

/** Lists of which equal ones are kept once. */
export class DistinctLists {
  private readonly lists = new GrowingLists();
  private readonly byHash = new Map<number, number[]>();

  get filling(): GrowingFloat64 {
    return this.lists.values;
  }

  /** Where the list that is being filled begins. */
  get filledFrom(): number {
    return this.lists.start(this.lists.count);
  }

  /** Ends the list that is being filled; the number of the list kept that equals it. */
  endList(): number {
    const { values } = this.lists;
    const from = this.lists.start(this.lists.count);
    const filled = values.view(from);
    const hash = hashOf(filled);
    const candidates = this.byHash.get(hash);
    for (const candidate of candidates ?? []) {
      if (!equal(values.view(this.lists.start(candidate)), filled, this.lists.size(candidate))) continue;
      values.length = from;
      return candidate;
    }
    const fresh = this.lists.count;
    if (candidates === undefined) this.byHash.set(hash, [fresh]);
    else candidates.push(fresh);
    this.lists.endList();
    return fresh;
  }

  size(list: number): number {
    return this.lists.size(list);
  }

  /** Starts (one more than lists) and values. */
  csr(): { start: Float64Array; value: Float64Array } {
    const start = new Float64Array(this.lists.count + 1);
    start.set(this.lists.starts.view(), 1);
    return { start, value: this.lists.values.view() };
  }
}

const bits = new Float64Array(1);
const words = new Uint32Array(bits.buffer);

function hashOf(values: Float64Array): number {
  let hash = values.length;
  for (let i = 0; i < values.length; i++) {
    bits[0] = values[i];
    hash = Math.imul(hash ^ words[0], 0x01000193);
    hash = Math.imul(hash ^ words[1] ^ (hash >>> 15), 0x85ebca6b);
  }
  return hash;
}

function equal(a: Float64Array, b: Float64Array, aSize: number): boolean {
  if (aSize !== b.length) return false;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
