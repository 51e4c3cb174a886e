import { expect } from 'chai';
import fc from 'fast-check';
import { decodeMessage } from '../../src/model/decode.js';
import { Measured } from '../../src/model/encode.js';
import type { MessageType } from '../../src/model/schema.js';
import { ATTRIBUTE, GRAPH, Kind, MODEL, NODE, TENSOR, TYPE } from '../../src/model/schema.js';
import { memorySource } from '../../src/model/source.js';
import type { Message } from '../../src/model/types.js';
import { Cursor } from '../../src/model/wire.js';
import { PartitionError } from '../../src/util/errors.js';

function encode(message: Message, type: MessageType): Uint8Array {
  const chunks: Uint8Array[] = [];
  const measured = new Measured(message, type);
  measured.writeTo({
    write: (chunk) => chunks.push(Uint8Array.from(chunk)),
    copy: () => expect.fail('no ranges in these messages'),
  });
  const all = new Uint8Array(Buffer.concat(chunks));
  expect(all.length).to.equal(measured.sizeBytes);
  return all;
}

function decode(bytes: Uint8Array, type: MessageType): Message {
  return decodeMessage(new Cursor(memorySource(bytes, 'test')), type, bytes.length);
}

const int64 = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer(),
  fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((b) => (Number.isSafeInteger(Number(b)) ? Number(b) : b)),
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ maxLength: 4 }),
  fc.string({ minLength: 90, maxLength: 110 }),
);
const payload = fc.uint8Array({ maxLength: 12 }).map((bytes) => ({ kind: 'bytes' as const, bytes }));

/** Any message that the tables describe, at most `depth` deep. */
function anyMessage(type: MessageType, depth: number): fc.Arbitrary<Message> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of type.fields) {
    const one = anyValue(field.kind, field.type, depth);
    if (field.repeated) parts[field.name] = one === null ? fc.constant([]) : fc.array(one, { maxLength: 3 });
    else if (one !== null) parts[field.name] = fc.option(one, { nil: undefined, freq: 2 });
  }
  return fc.record(parts).map((raw) => {
    const message: Record<string, unknown> = {};
    for (const field of type.fields) {
      const isTaken = field.rivals.some((rival) => rival in message);
      const value = raw[field.name];
      if (value !== undefined && !isTaken) message[field.name] = value;
    }
    return message;
  });
}

function anyValue(kind: Kind, type: MessageType | null, depth: number): fc.Arbitrary<unknown> | null {
  switch (kind) {
    case Kind.STRING:
      return text;
    case Kind.BYTES:
      return fc.uint8Array({ maxLength: 9 });
    case Kind.INT64:
      return int64;
    case Kind.INT32:
      return fc.integer();
    case Kind.FLOAT:
      return fc.float();
    case Kind.MESSAGE:
      return depth === 0 ? null : anyMessage(type!, depth - 1);
    case Kind.PACKED_FLOAT:
      return fc.array(fc.nat(255), { maxLength: 3 }).map((b) => bytesOf(b.flatMap((x) => [x, x, 1, 2])));
    case Kind.PACKED_DOUBLE:
      return fc
        .array(fc.nat(255), { maxLength: 3 })
        .map((b) => bytesOf(b.flatMap((x) => [x, x, 1, 2, 3, 4, 5, 6])));
    case Kind.RAW:
    case Kind.PACKED_VARINT:
      return payload;
  }
}

function bytesOf(values: number[]): { kind: 'bytes'; bytes: Uint8Array } {
  return { kind: 'bytes', bytes: Uint8Array.from(values) };
}

/** A varint of any length up to ten bytes. */
function varint(value: bigint): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}

describe('the wire format', () => {
  for (const type of [MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, TYPE]) {
    it(`reads back every ${type.name} that it writes`, () => {
      fc.assert(
        fc.property(anyMessage(type, 3), (message) => {
          const bytes = encode(message, type);
          const back = decode(bytes, type);
          expect(back).to.deep.equal(message);
          expect(encode(back, type)).to.deep.equal(bytes);
        }),
        { numRuns: 60, seed: 7 },
      );
    });
  }

  it('reads every 64-bit integer exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (big) => {
        const bytes = Uint8Array.from(varint(big));
        const value = new Cursor(memorySource(bytes, 'test')).int64();
        expect(BigInt(value)).to.equal(big);
        expect(typeof value).to.equal(
          big >= -(2n ** 53n) + 1n && big <= 2n ** 53n - 1n ? 'number' : 'bigint',
        );
      }),
      {
        seed: 7,
        examples: [[2n ** 53n - 1n], [2n ** 53n], [-(2n ** 53n)], [1n - 2n ** 53n], [-1n], [-(2n ** 63n)]],
      },
    );
  });

  it('ends every damaged message with an input error or a message', () => {
    fc.assert(
      fc.property(
        anyMessage(MODEL, 3),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        (message, flips, cut) => {
          const whole = encode(message, MODEL);
          const bytes = whole.slice(0, whole.length - (cut % (whole.length + 1)));
          for (const [at, byte] of flips) if (bytes.length > 0) bytes[at % bytes.length] = byte;
          try {
            const back = decode(bytes, MODEL);
            expect(decode(encode(back, MODEL), MODEL)).to.deep.equal(back);
          } catch (e) {
            expect(e).to.be.instanceOf(PartitionError);
            expect((e as PartitionError).code).to.equal('input');
          }
        },
      ),
      { numRuns: 400, seed: 7 },
    );
  });

  it('keeps unknown fields of every wire type byte for byte', () => {
    const unknown = [
      [0xf8, 0x06, 5], // field 111, varint
      [0xf9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8], // fixed64
      [0xfa, 0x06, 2, 9, 9], // bytes
      [0xfb, 0x06, 0x08, 1, 0xfc, 0x06], // group
      [0xfd, 0x06, 1, 2, 3, 4], // fixed32
    ].flat();
    const message = decode(Uint8Array.from([0x22, 1, 0x41, ...unknown]), NODE);
    expect(message.unknown).to.deep.equal(Uint8Array.from(unknown));
    expect(encode(message, NODE)).to.deep.equal(Uint8Array.from([0x22, 1, 0x41, ...unknown]));
  });

  it('takes a known field with an impossible wire type for an unknown one', () => {
    const bytes = Uint8Array.of(0x20, 7); // NodeProto.op_type as a varint
    const message = decode(bytes, NODE) as Message & { opType?: string };
    expect(message.opType).to.equal(undefined);
    expect(encode(message, NODE)).to.deep.equal(bytes);
  });

  it('joins packed and single elements of a payload', () => {
    const float = [0, 0, 0x80, 0x3f];
    const bytes = Uint8Array.from([0x25, ...float, 0x22, 8, ...float, ...float, 0x25, ...float]);
    const message = decode(bytes, TENSOR) as { floatData?: { bytes: Uint8Array } };
    expect(message.floatData?.bytes).to.deep.equal(Uint8Array.from([...float, ...float, ...float, ...float]));
  });

  it('merges embedded messages and lets the last member of a oneof win', () => {
    // TypeProto: tensor_type {elem_type 1}, tensor_type {shape {}}, then sequence_type {}.
    const merged = decode(Uint8Array.of(0x0a, 2, 0x08, 1, 0x0a, 2, 0x12, 0), TYPE);
    expect(merged).to.deep.equal({ tensorType: { elemType: 1, shape: { dim: [] } } });
    const replaced = decode(Uint8Array.of(0x0a, 2, 0x08, 1, 0x22, 0), TYPE);
    expect(replaced).to.deep.equal({ sequenceType: {} });
  });

  it('refuses messages nested beyond its limit instead of overflowing the stack', () => {
    // sequence_type {elem_type {sequence_type {...}}}, 3000 levels, built from the inside.
    const parts: number[] = [];
    for (let level = 0, length = 0; level < 3000; level++) {
      const head = [level % 2 === 0 ? 0x0a : 0x22, ...varint(BigInt(length))];
      parts.unshift(...head);
      length += head.length;
    }
    expect(() => decode(Uint8Array.from(parts), TYPE)).to.throw(PartitionError, /nested deeper/);
  });

  it('writes lengths and offsets beyond 32 bits', () => {
    const range = { kind: 'range' as const, path: 'elsewhere', offset: 6e9, length: 5e9 };
    const written: Uint8Array[] = [];
    const copied: unknown[] = [];
    const measured = new Measured({ rawData: range } as Message, TENSOR);
    measured.writeTo({ write: (b) => written.push(Uint8Array.from(b)), copy: (r) => copied.push(r) });
    expect(measured.sizeBytes).to.equal(6 + 5e9);
    expect(copied).to.deep.equal([range]);
    expect(Buffer.concat(written)).to.deep.equal(Buffer.from([0x4a, ...varint(5_000_000_000n)]));
  });
});
