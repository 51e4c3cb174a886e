/** Writes the protobuf wire format (protobuf.dev/programming-guides/encoding): small messages, built in memory. */

const VARINT = 0;
const LENGTH_DELIMITED = 2;

export class WireWriter {
  private buffer = Buffer.alloc(256);
  private length = 0;

  /** What was written since the last `clear`; valid until the next write. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  clear(): this {
    this.length = 0;
    return this;
  }

  /** A field of type uint32, uint64, non-negative int32 or int64, bool or enum; exact to 2^53. */
  uint(field: number, value: number): this {
    this.varint(field * 8 + VARINT);
    this.varint(value);
    return this;
  }

  string(field: number, text: string): this {
    const size = Buffer.byteLength(text);
    this.head(field, size);
    this.length += this.buffer.write(text, this.length);
    return this;
  }

  /** A sub-message, or bytes. */
  message(field: number, bytes: Uint8Array): this {
    this.head(field, bytes.length);
    this.append(bytes);
    return this;
  }

  /** A repeated field of integers, packed. */
  uints(field: number, values: readonly number[]): this {
    if (values.length === 0) return this;
    let size = 0;
    for (const value of values) size += varintSize(value);
    this.head(field, size);
    for (const value of values) this.varint(value);
    return this;
  }

  /** A message as it stands in a stream: its length, then itself. */
  delimited(bytes: Uint8Array): this {
    this.reserve(bytes.length + 10);
    this.varint(bytes.length);
    this.append(bytes);
    return this;
  }

  private head(field: number, size: number): void {
    this.reserve(size + 20);
    this.varint(field * 8 + LENGTH_DELIMITED);
    this.varint(size);
  }

  private append(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  private varint(value: number): void {
    this.reserve(10);
    let rest = value;
    while (rest >= 128) {
      this.buffer[this.length++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.length++] = rest;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.alloc(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.bytes);
    this.buffer = grown;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}
