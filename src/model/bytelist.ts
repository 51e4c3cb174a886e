/** Bytes that grow: amortised appending of small runs. */
export class ByteList {
  private store = new Uint8Array(64);
  private length = 0;

  static of(...runs: Uint8Array[]): ByteList {
    const list = new ByteList();
    for (const run of runs) list.push(run);
    return list;
  }

  push(run: Uint8Array): void {
    const needed = this.length + run.length;
    if (needed > this.store.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.store.length));
      grown.set(this.store.subarray(0, this.length));
      this.store = grown;
    }
    this.store.set(run, this.length);
    this.length = needed;
  }

  /** A copy of exactly what was pushed. */
  bytes(): Uint8Array {
    return this.store.slice(0, this.length);
  }
}
