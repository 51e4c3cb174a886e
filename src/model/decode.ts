/**
 * Messages from wire bytes, driven by the tables of `schema`. Protobuf's rules hold: fields in any order, the last of
 * repeated scalars wins, embedded messages that occur twice merge, repeated numbers come packed, one by one or mixed,
 * a known field with a wire type it cannot have counts as unknown. Unknown fields are kept byte for byte.
 */
import { invariant } from '../util/errors.js';
import { ByteList } from './bytelist.js';
import type { Field, MessageType } from './schema.js';
import { EMPTY, Kind, Wire } from './schema.js';
import type { Message, Payload } from './types.js';
import type { Cursor } from './wire.js';

/** Messages inside messages; an If inside an If costs three. Deeper files are refused, not followed off the stack. */
export const DEEPEST_MESSAGE = 1000;

/** Payloads above this stay in the file when they come from a file. */
export const LARGE_PAYLOAD_BYTES = 1 << 16;

type Loose = Record<string, unknown>;

/** A fresh message of `type` from the bytes up to `end`. */
export function decodeMessage<T extends Message>(cursor: Cursor, type: MessageType, end: number): T {
  const message: Loose = { ...type.template };
  decodeInto(cursor, type, end, message, 0);
  return message as T;
}

function decodeInto(cursor: Cursor, type: MessageType, end: number, message: Loose, depth: number): void {
  if (depth > DEEPEST_MESSAGE) {
    throw cursor.fault(`messages nested deeper than ${DEEPEST_MESSAGE} at byte ${cursor.offset}`);
  }
  const { byNumber } = type;
  let unknown: ByteList | null = null;
  let gathered: Gathered | null = null;
  while (cursor.offset < end) {
    const start = cursor.offset;
    const tag = cursor.tag();
    const wire = tag & 7;
    const field = byNumber[(tag - wire) / 8];
    if (field === undefined || (wire !== field.wire && !isAlternative(field, wire))) {
      cursor.skip(tag, end);
      unknown ??= new ByteList();
      const after = cursor.offset;
      cursor.seek(start);
      unknown.push(cursor.bytes(after - start));
      continue;
    }
    if (field.rivals.length > 0) clearRivals(message, field);
    switch (field.kind) {
      case Kind.MESSAGE: {
        const embedded = embeddedIn(message, field);
        const length = cursor.length(end, field.label);
        decodeInto(cursor, field.type!, cursor.offset + length, embedded, depth + 1);
        break;
      }
      case Kind.RAW:
        message[field.name] = payload(cursor, cursor.length(end, field.label));
        break;
      case Kind.PACKED_FLOAT:
      case Kind.PACKED_DOUBLE:
      case Kind.PACKED_VARINT:
        gathered ??= {};
        gather(gathered, cursor, field, wire, end, message[field.name] as Payload | undefined);
        break;
      default:
        if (field.repeated) readRepeated(cursor, field, wire, end, message);
        else message[field.name] = readScalar(cursor, field, end);
    }
  }
  if (cursor.offset !== end)
    throw cursor.fault(`a field of ${type.name} overruns its message at byte ${end}`);
  if (gathered !== null) finishGathered(gathered, message);
  if (unknown !== null) {
    const before = message['unknown'] as Uint8Array | undefined;
    message['unknown'] =
      before === undefined ? unknown.bytes() : ByteList.of(before, unknown.bytes()).bytes();
  }
}

/** Wire types that a field may have besides its own: packed numbers one by one, and the other way round. */
function isAlternative(field: Field, wire: number): boolean {
  switch (field.kind) {
    case Kind.INT64:
    case Kind.INT32:
    case Kind.FLOAT:
      return field.repeated && wire === Wire.LENGTH;
    case Kind.PACKED_FLOAT:
      return wire === Wire.FIXED32;
    case Kind.PACKED_DOUBLE:
      return wire === Wire.FIXED64;
    case Kind.PACKED_VARINT:
      return wire === Wire.VARINT;
    default:
      return false;
  }
}

/** The last member of a oneof wins. */
function clearRivals(message: Loose, field: Field): void {
  for (const rival of field.rivals) if (rival in message) delete message[rival];
}

/** The message to decode into: appended when repeated, merged into when singular and already there. */
function embeddedIn(message: Loose, field: Field): Loose {
  if (field.repeated) {
    const embedded: Loose = { ...field.type!.template };
    append(message, field, embedded);
    return embedded;
  }
  return (message[field.name] ??= { ...field.type!.template }) as Loose;
}

function append(message: Loose, field: Field, value: unknown): void {
  const list = message[field.name] as unknown[];
  if ((list as readonly unknown[]) === EMPTY) message[field.name] = [value];
  else list.push(value);
}

function readScalar(cursor: Cursor, field: Field, end: number): unknown {
  switch (field.kind) {
    case Kind.STRING:
      return cursor.string(cursor.length(end, field.label));
    case Kind.BYTES:
      return cursor.bytes(cursor.length(end, field.label));
    case Kind.INT64:
      return cursor.int64();
    case Kind.INT32:
      return cursor.int32();
    case Kind.FLOAT:
      return cursor.float();
    default:
      invariant(false, `${field.label} is not a scalar`);
  }
}

function readRepeated(cursor: Cursor, field: Field, wire: number, end: number, message: Loose): void {
  const isPacked = wire === Wire.LENGTH && field.kind !== Kind.STRING && field.kind !== Kind.BYTES;
  if (!isPacked) {
    append(message, field, readScalar(cursor, field, end));
    return;
  }
  const length = cursor.length(end, field.label);
  const stop = cursor.offset + length;
  if (field.kind === Kind.FLOAT && length % 4 !== 0) {
    throw cursor.fault(`packed ${field.label} of ${length} bytes, not a multiple of 4, at byte ${stop}`);
  }
  while (cursor.offset < stop) append(message, field, readScalar(cursor, field, stop));
  if (cursor.offset !== stop) throw cursor.fault(`packed ${field.label} overruns its end at byte ${stop}`);
}

function payload(cursor: Cursor, length: number): Payload {
  const { path } = cursor.source;
  if (path === null || length <= LARGE_PAYLOAD_BYTES) return { kind: 'bytes', bytes: cursor.bytes(length) };
  const offset = cursor.offset;
  cursor.seek(offset + length);
  return { kind: 'range', path, offset, length };
}

/** Packed payloads of one message as they come: usually one run each; several runs or single elements are joined. */
type Gathered = Record<string, { whole: Payload | null; joined: ByteList | null }>;

function gather(
  gathered: Gathered,
  cursor: Cursor,
  field: Field,
  wire: number,
  end: number,
  before: Payload | undefined,
): void {
  const entry = (gathered[field.name] ??= { whole: before ?? null, joined: null });
  let run: Payload;
  if (wire === Wire.LENGTH) {
    const length = cursor.length(end, field.label);
    const width = field.kind === Kind.PACKED_FLOAT ? 4 : field.kind === Kind.PACKED_DOUBLE ? 8 : 1;
    if (length % width !== 0) {
      const what = `packed ${field.label} of ${length} bytes, not a multiple of ${width}`;
      throw cursor.fault(`${what}, at byte ${cursor.offset}`);
    }
    run = payload(cursor, length);
    if (entry.whole === null && entry.joined === null) {
      entry.whole = run;
      return;
    }
  } else {
    const start = cursor.offset;
    cursor.skip(wire, end);
    const length = cursor.offset - start;
    cursor.seek(start);
    run = { kind: 'bytes', bytes: cursor.bytes(length) };
  }
  entry.joined ??= new ByteList();
  if (entry.whole !== null) entry.joined.push(inMemory(cursor, entry.whole));
  entry.whole = null;
  entry.joined.push(inMemory(cursor, run));
}

function inMemory(cursor: Cursor, run: Payload): Uint8Array {
  if (run.kind === 'bytes') return run.bytes;
  const after = cursor.offset;
  cursor.seek(run.offset);
  const bytes = cursor.bytes(run.length);
  cursor.seek(after);
  return bytes;
}

function finishGathered(gathered: Gathered, message: Loose): void {
  for (const [name, { whole, joined }] of Object.entries(gathered)) {
    message[name] = joined === null ? whole! : { kind: 'bytes', bytes: joined.bytes() };
  }
}
