/**
 * The protobuf wire format (protobuf.dev/programming-guides/encoding): a cursor over a byte source that reads varints,
 * fixed-width numbers and length-delimited runs, and skips what is not wanted without reading it.
 * Every fault is the file's: a PartitionError 'input' that names the byte.
 */
import { PartitionError } from '../util/errors.js';
import { Wire } from './schema.js';
import type { ByteSource } from './source.js';
import { TextReader } from './text.js';
import type { Int64 } from './types.js';

/** Windows begin small behind a skipped payload, where little may be wanted, and double while reading goes on. */
const FIRST_WINDOW_BYTES = 1 << 12;
const WINDOW_BYTES = 1 << 16;
/** Longer single texts and byte strings are no part of a graph (and V8 strings end at 2^29 characters). */
const LONGEST_FIELD_BYTES = 1 << 28;
/** Up to here a copy, which V8 keeps on its own heap, is cheaper than a view. */
const SMALL_BYTES = 64;
const LARGEST_FIELD_NUMBER = 2 ** 29 - 1;
const NO_BYTES = Buffer.alloc(0);
const EMPTY_BYTES = new Uint8Array(0);

export class Cursor {
  private buffer: Buffer = NO_BYTES;
  /** Offset in the source of buffer[0]. */
  private base = 0;
  private at = 0;
  private limit = 0;
  private windowBytes = FIRST_WINDOW_BYTES;
  private reader: TextReader | null = null;
  private readonly scratch = new DataView(new ArrayBuffer(8));

  constructor(readonly source: ByteSource) {}

  /** Where the next byte will be read, from the start of the source. */
  get offset(): number {
    return this.base + this.at;
  }

  seek(offset: number): void {
    const at = offset - this.base;
    if (at >= 0 && at <= this.limit) {
      this.at = at;
    } else {
      this.base = offset;
      this.at = 0;
      this.limit = 0;
      this.windowBytes = FIRST_WINDOW_BYTES;
    }
  }

  private refill(): void {
    const offset = this.base + this.at;
    if (offset >= this.source.sizeBytes)
      throw this.fault(`truncated at byte ${offset} of ${this.source.sizeBytes}`);
    const bytes = this.source.window(offset, this.windowBytes);
    this.windowBytes = Math.min(2 * this.windowBytes, WINDOW_BYTES);
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.base = offset;
    this.at = 0;
    this.limit = bytes.length;
  }

  private byte(): number {
    if (this.at === this.limit) this.refill();
    return this.buffer[this.at++];
  }

  /**
   * An unsigned varint as a double: exact to 2^53, which every sound tag and length is. Larger ones stay large, and
   * fail when compared with the bytes that are left.
   */
  uint(): number {
    let byte = this.byte();
    if (byte < 128) return byte;
    let value = byte & 127;
    let scale = 128;
    for (let i = 1; i < 10; i++) {
      byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    throw this.fault(`a varint longer than 10 bytes at byte ${this.offset - 10}`);
  }

  /** A signed 64-bit varint (two's complement), exact. */
  int64(): Int64 {
    let byte = this.byte();
    if (byte < 128) return byte;
    const start = this.offset - 1;
    // Seven bits a byte: four bytes to `low`, four to `middle`, the last two to `high`; bits beyond 64 are dropped.
    let low = byte & 127;
    let middle = 0;
    let high = 0;
    for (let i = 1; ; i++) {
      if (i === 10) throw this.fault(`a varint longer than 10 bytes at byte ${start}`);
      byte = this.byte();
      if (i < 4) low |= (byte & 127) << (7 * i);
      else if (i < 8) middle |= (byte & 127) << (7 * (i - 4));
      else high |= (byte & 127) << (7 * (i - 8));
      if (byte < 128) break;
    }
    const signed = (high << 24) >> 24;
    if (signed === 0 || signed === -1) {
      const value = (signed === 0 ? middle : middle - 0x10000000) * 0x10000000 + low;
      if (Number.isSafeInteger(value)) return value;
    }
    return BigInt.asIntN(64, (BigInt(signed) << 56n) | (BigInt(middle) << 28n) | BigInt(low));
  }

  /** A 32-bit varint: the low 32 bits of what is there, as protobuf defines it. */
  int32(): number {
    const value = this.int64();
    return typeof value === 'number' ? value | 0 : Number(BigInt.asIntN(32, value));
  }

  float(): number {
    for (let i = 0; i < 4; i++) this.scratch.setUint8(i, this.byte());
    return this.scratch.getFloat32(0, true);
  }

  /** `length` bytes that may be kept. The caller has checked that they are there. */
  bytes(length: number): Uint8Array {
    if (length > LONGEST_FIELD_BYTES && this.source.path !== null) {
      throw this.fault(`a field of ${length} bytes at byte ${this.offset} is too long to be part of a graph`);
    }
    if (length === 0) return EMPTY_BYTES;
    if (length <= SMALL_BYTES && length <= this.limit - this.at) {
      const small = new Uint8Array(length);
      for (let i = 0; i < length; i++) small[i] = this.buffer[this.at++]!;
      return small;
    }
    if (this.source.path !== null && length <= this.limit - this.at) {
      const start = this.at;
      this.at += length;
      return new Uint8Array(this.buffer.subarray(start, this.at));
    }
    const offset = this.offset;
    const bytes = this.source.read(offset, length);
    this.seek(offset + length);
    return bytes;
  }

  string(length: number): string {
    const text = (this.reader ??= new TextReader());
    if (length > this.limit - this.at && length <= FIRST_WINDOW_BYTES) this.refill();
    if (length > this.limit - this.at) {
      // Too long for a window, or the system cut the window short.
      const bytes = this.bytes(length);
      return text.decode(Buffer.from(bytes.buffer, bytes.byteOffset, length), 0, length);
    }
    const start = this.at;
    this.at += length;
    return text.decode(this.buffer, start, start + length);
  }

  /** The next tag as number * 8 + wire type, checked. */
  tag(): number {
    const tag = this.uint();
    if (tag < 8 || tag > LARGEST_FIELD_NUMBER * 8 + 7) {
      throw this.fault(`an impossible field number at byte ${this.offset - 1} (tag ${tag})`);
    }
    return tag;
  }

  /** A length that must fit before `end`. */
  length(end: number, what: string): number {
    const start = this.offset;
    const length = this.uint();
    const left = end - this.offset;
    if (length > left) {
      const where =
        end === this.source.sizeBytes
          ? `truncated at byte ${end} of ${end}`
          : `a length that overruns its message at byte ${start}`;
      throw this.fault(`${where}: ${what} wants ${length} bytes, ${Math.max(left, 0)} are left`);
    }
    return length;
  }

  /** Skips the value after `tag`; groups are walked without recursion. */
  skip(tag: number, end: number): void {
    const open: number[] = [];
    let current = tag;
    for (;;) {
      const number = Math.floor(current / 8);
      switch (current % 8) {
        case Wire.VARINT:
          this.uint();
          break;
        case Wire.FIXED64:
          this.advance(8, end);
          break;
        case Wire.FIXED32:
          this.advance(4, end);
          break;
        case Wire.LENGTH:
          this.advance(this.length(end, `field ${number}`), end);
          break;
        case Wire.GROUP_START:
          open.push(number);
          break;
        case Wire.GROUP_END:
          if (open.pop() !== number)
            throw this.fault(`the end of a group that was not open at byte ${this.offset}`);
          break;
        default:
          throw this.fault(`wire type ${current % 8}, which does not exist, at byte ${this.offset - 1}`);
      }
      if (open.length === 0) return;
      if (this.offset >= end) throw this.fault(`a group that does not end before byte ${end}`);
      current = this.tag();
    }
  }

  private advance(count: number, end: number): void {
    const to = this.offset + count;
    if (to > end)
      throw this.fault(`truncated at byte ${end}: a field wants ${count} bytes at byte ${to - count}`);
    this.seek(to);
  }

  fault(message: string): PartitionError {
    return new PartitionError(
      'input',
      message,
      this.source.where,
      'the file is damaged or not an ONNX model',
    );
  }
}
