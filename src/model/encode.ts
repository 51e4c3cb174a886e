/**
 * Messages to wire bytes, driven by the tables of `schema`: known fields by ascending number, then the unknown ones as
 * they came; the order and the packing that protobuf's own proto2 writers use. Two passes: sizes first (a message's
 * length stands before it), then bytes to a sink.
 */
import { invariant } from '../util/errors.js';
import type { Field, MessageType } from './schema.js';
import { Kind, Wire } from './schema.js';
import { encodedLength, encodeText } from './text.js';
import type { Int64, Message, Payload } from './types.js';

/** Takes the bytes in order. `copy` moves a file range without holding it. */
export interface Sink {
  write(bytes: Uint8Array): void;
  copy(range: Payload & { kind: 'range' }): void;
}

type Loose = Readonly<Record<string, unknown>>;

/** The sizes of a message and of every message in it, in the order the writer meets them. */
export class Measured {
  private readonly sizes: number[] = [];
  readonly sizeBytes: number;

  constructor(
    private readonly message: Message,
    private readonly type: MessageType,
  ) {
    this.sizeBytes = measure(message as Loose, type, this.sizes);
  }

  writeTo(sink: Sink): void {
    const writer = new Writer(sink, this.sizes);
    writer.message(this.message as Loose, this.type);
    writer.flush();
  }
}

function measure(message: Loose, type: MessageType, sizes: number[]): number {
  const slot = sizes.push(0) - 1;
  let total = 0;
  for (const field of type.fields) {
    const value = message[field.name];
    if (value === undefined) continue;
    if (!field.repeated) {
      total += measureValue(value, field, sizes);
    } else {
      const list = value as readonly unknown[];
      for (let i = 0; i < list.length; i++) total += measureValue(list[i], field, sizes);
    }
  }
  const unknown = message['unknown'] as Uint8Array | undefined;
  if (unknown !== undefined) total += unknown.length;
  sizes[slot] = total;
  return total;
}

function measureValue(value: unknown, field: Field, sizes: number[]): number {
  const tagBytes = uintLength(field.number * 8);
  switch (field.kind) {
    case Kind.INT64:
    case Kind.INT32:
      return tagBytes + intLength(value as Int64);
    case Kind.FLOAT:
      return tagBytes + 4;
    case Kind.STRING:
      return tagBytes + delimited(encodedLength(value as string));
    case Kind.BYTES:
      return tagBytes + delimited((value as Uint8Array).length);
    case Kind.MESSAGE:
      return tagBytes + delimited(measure(value as Loose, field.type!, sizes));
    default:
      return tagBytes + delimited(payloadLength(value as Payload));
  }
}

/** Bytes of a payload, wherever it is. */
export function payloadLength(payload: Payload): number {
  return payload.kind === 'bytes' ? payload.bytes.length : payload.length;
}

function delimited(length: number): number {
  return uintLength(length) + length;
}

function uintLength(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function intLength(value: Int64): number {
  if (value < 0) return 10;
  if (typeof value === 'number') return uintLength(value);
  let bytes = 1;
  for (let rest = value; rest >= 128n; rest >>= 7n) bytes++;
  return bytes;
}

const CHUNK_BYTES = 1 << 16;

class Writer {
  private buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  private at = 0;
  private next = 0;

  constructor(
    private readonly sink: Sink,
    private readonly sizes: readonly number[],
  ) {}

  flush(): void {
    if (this.at === 0) return;
    this.sink.write(this.buffer.subarray(0, this.at));
    this.buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    this.at = 0;
  }

  /** The body of a message: its fields, without tag and length. */
  message(message: Loose, type: MessageType): void {
    this.next++;
    for (const field of type.fields) {
      const value = message[field.name];
      if (value === undefined) continue;
      if (!field.repeated) {
        this.value(value, field);
      } else {
        const list = value as readonly unknown[];
        for (let i = 0; i < list.length; i++) this.value(list[i], field);
      }
    }
    const unknown = message['unknown'] as Uint8Array | undefined;
    if (unknown !== undefined) this.bytes(unknown);
  }

  private value(value: unknown, field: Field): void {
    switch (field.kind) {
      case Kind.INT64:
      case Kind.INT32:
        this.uint(field.number * 8 + Wire.VARINT);
        this.int(value as Int64);
        break;
      case Kind.FLOAT:
        this.uint(field.number * 8 + Wire.FIXED32);
        this.room(4);
        this.at = this.buffer.writeFloatLE(value as number, this.at);
        break;
      case Kind.STRING:
        this.uint(field.number * 8 + Wire.LENGTH);
        this.string(value as string);
        break;
      case Kind.BYTES:
        this.uint(field.number * 8 + Wire.LENGTH);
        this.uint((value as Uint8Array).length);
        this.bytes(value as Uint8Array);
        break;
      case Kind.MESSAGE:
        this.uint(field.number * 8 + Wire.LENGTH);
        this.uint(this.sizes[this.next]);
        this.message(value as Loose, field.type!);
        break;
      default:
        this.uint(field.number * 8 + Wire.LENGTH);
        this.payload(value as Payload);
    }
  }

  private payload(payload: Payload): void {
    this.uint(payloadLength(payload));
    if (payload.kind === 'bytes') {
      this.bytes(payload.bytes);
    } else {
      this.flush();
      this.sink.copy(payload);
    }
  }

  private string(text: string): void {
    const length = encodedLength(text);
    this.uint(length);
    if (length > CHUNK_BYTES || length !== text.length) {
      this.bytes(encodeText(text));
      return;
    }
    this.room(length);
    this.at += this.buffer.write(text, this.at, length, 'latin1');
  }

  private bytes(bytes: Uint8Array): void {
    if (bytes.length > CHUNK_BYTES) {
      this.flush();
      this.sink.write(bytes);
      return;
    }
    this.room(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  private int(value: Int64): void {
    if (typeof value === 'number' && value >= 0) {
      this.uint(value);
      return;
    }
    this.room(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 128n; rest >>= 7n) this.buffer[this.at++] = Number(rest & 127n) | 128;
    this.buffer[this.at++] = Number(rest);
  }

  private uint(value: number): void {
    invariant(Number.isSafeInteger(value) && value >= 0, `cannot write ${value} as a varint`);
    this.room(8);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.buffer[this.at++] = (rest % 128) | 128;
    this.buffer[this.at++] = rest;
  }

  private room(bytes: number): void {
    if (this.at + bytes > this.buffer.length) this.flush();
  }
}
