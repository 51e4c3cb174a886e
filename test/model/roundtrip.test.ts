import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import protobuf from 'onnx-proto';
import { checkModel, decodeModel, encodeModel, readModel, writeModel } from '../../src/model/index.js';
import type { Field, MessageType } from '../../src/model/schema.js';
import { Kind, MODEL } from '../../src/model/schema.js';
import { payloadBytes } from '../../src/model/tensor.js';
import type { Payload } from '../../src/model/types.js';
import { memorySource } from '../../src/model/source.js';
import { Cursor } from '../../src/model/wire.js';
import { bytes as inline, graphs, model, modelFiles, node, sharedFolder, tensor, value } from './support.js';

type Loose = Record<string, unknown>;

/** The class of the independent reader (protobufjs on onnx.proto of IR 8) for a message; null when it is younger. */
function theirClass(type: MessageType): { prototype: object } | null {
  let at: unknown = protobuf.onnx;
  for (const part of type.name.split('.')) at = (at as Loose | undefined)?.[part];
  return (at as { prototype: object } | undefined) ?? null;
}

/** Compares what both readers know; returns the number of values compared. */
function compare(ours: Loose, theirs: Loose, type: MessageType, path: string): number {
  const known = theirClass(type);
  if (known === null) return 0;
  let compared = 0;
  for (const field of type.fields) {
    if (!(field.name in known.prototype)) continue;
    const a = ours[field.name];
    const b = Object.hasOwn(theirs, field.name) ? theirs[field.name] : undefined;
    const at = `${path}.${field.name}`;
    if (field.repeated) {
      const [left, right] = [a as unknown[], (b ?? []) as unknown[]];
      expect(left.length, at).to.equal(right.length);
      for (let i = 0; i < left.length; i++) compared += compareValue(left[i], right[i], field, `${at}[${i}]`);
    } else if (isPacked(field)) {
      compared += comparePacked(a as Payload | undefined, (b ?? []) as unknown[], field, at);
    } else if (a === undefined) {
      expect(b ?? undefined, at).to.equal(undefined);
    } else {
      compared += compareValue(a, b, field, at);
    }
  }
  return compared;
}

function isPacked(field: Field): boolean {
  return [Kind.PACKED_FLOAT, Kind.PACKED_DOUBLE, Kind.PACKED_VARINT].includes(field.kind);
}

function compareValue(a: unknown, b: unknown, field: Field, at: string): number {
  switch (field.kind) {
    case Kind.MESSAGE:
      return compare(a as Loose, b as Loose, field.type!, at);
    case Kind.INT64:
      expect(String(a), at).to.equal(String(b)); // Long prints all its digits
      return 1;
    case Kind.BYTES:
    case Kind.RAW: {
      const mine = field.kind === Kind.RAW ? payloadBytes(a as Payload) : (a as Uint8Array);
      if (Buffer.compare(mine, b as Uint8Array) !== 0) expect.fail(`${at} differs`);
      return 1;
    }
    default:
      if (!Object.is(a, b)) expect.fail(`${at}: ${String(a)} is not ${String(b)}`);
      return 1;
  }
}

function comparePacked(payload: Payload | undefined, theirs: unknown[], field: Field, at: string): number {
  const raw = payload === undefined ? new Uint8Array() : payloadBytes(payload);
  const mine: string[] = [];
  if (field.kind === Kind.PACKED_VARINT) {
    const cursor = new Cursor(memorySource(raw, at));
    while (cursor.offset < raw.length) mine.push(String(cursor.int64()));
  } else {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    const width = field.kind === Kind.PACKED_FLOAT ? 4 : 8;
    for (let i = 0; i < raw.length; i += width) {
      mine.push(String(width === 4 ? view.getFloat32(i, true) : view.getFloat64(i, true)));
    }
  }
  if (mine.join() !== theirs.map(String).join()) expect.fail(`${at} differs`);
  return mine.length;
}

/** Reads, compares with the independent reader, writes and reads again; whether the bytes came back as they were. */
function roundTrip(file: string): { isIdentical: boolean; compared: number } {
  const original = readFileSync(file);
  const read = readModel(file);
  const theirs = protobuf.onnx.ModelProto.decode(original) as unknown as Loose;
  const compared = compare(read as unknown as Loose, theirs, MODEL, 'model');
  const written = encodeModel(read);
  expect(decodeModel(written), file).to.deep.equal(decodeModel(original));
  return { isIdentical: Buffer.compare(written, original) === 0, compared };
}

describe('round trip of real files', () => {
  for (const file of modelFiles(graphs)) {
    it(`${basename(file)} is read as an independent reader reads it and comes back byte for byte`, () => {
      const { isIdentical, compared } = roundTrip(file);
      expect(isIdentical).to.equal(true);
      expect(compared).to.be.above(1000);
      expect(
        checkModel(readModel(file), file).filter((d) => !/topological|imported/.test(d.message)),
      ).to.deep.equal([]);
    });
  }

  for (const [name, mostChanged] of [
    ['models', 0],
    ['full', 0],
    ['corpus', 2],
  ] as const) {
    it(`every file of ${name} keeps its meaning, and all but ${mostChanged} their bytes`, function () {
      this.timeout(120_000);
      const files = modelFiles(sharedFolder(this, name));
      const changed = files.filter((file) => !roundTrip(file).isIdentical);
      console.log(`      ${files.length - changed.length} of ${files.length} byte-identical`);
      expect(changed.length).to.be.at.most(mostChanged);
    });
  }

  it('a model can be written over the file it was read from, payloads and all', () => {
    const folder = mkdtempSync(join(tmpdir(), 'roundtrip-'));
    try {
      const path = join(folder, 'm.onnx');
      const big = new Uint8Array(300_000).map((_, i) => i % 251);
      const written = model({
        node: [node('Add', ['x', 'w'], ['y'])],
        input: [value('x', [75_000])],
        output: [value('y')],
        initializer: [
          tensor('w', 1, [75_000], { rawData: { kind: 'bytes', bytes: big } }),
          tensor('s', 7, [1], { rawData: inline(1, 0, 0, 0, 0, 0, 0, 0) }),
        ],
      });
      writeModel(written, path);
      const read = readModel(path);
      expect(read.graph?.initializer[0]?.rawData?.kind).to.equal('range');
      expect(read.graph?.initializer[1]?.rawData?.kind).to.equal('bytes');
      writeModel({ ...read, producerName: 'a longer name shifts every offset' }, path);
      const again = readModel(path);
      expect(payloadBytes(again.graph!.initializer[0].rawData!)).to.deep.equal(big);
      expect(decodeModel(readFileSync(path))).to.deep.equal({
        ...written,
        producerName: 'a longer name shifts every offset',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('leaves no file behind when a payload cannot be read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'roundtrip-'));
    try {
      const path = join(folder, 'm.onnx');
      const gone = { kind: 'range' as const, path: join(folder, 'gone'), offset: 0, length: 4 };
      const broken = model({ initializer: [tensor('w', 1, [1], { rawData: gone })] });
      expect(() => writeModel(broken, path)).to.throw(/no such file/);
      expect(modelFiles(folder)).to.deep.equal([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
