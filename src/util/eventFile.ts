/**
 * TensorBoard's event files: TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data) of Event
 * messages (tensorflow/core/util/event.proto), here with scalars only.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, unwritable } from './files.js';

/** Scalars of one run of a program, from one step on. */
export class EventFile {
  readonly path: string;
  private records: Buffer[] = [];
  private begun = false;

  /**
   * @param firstStep the file replaces what earlier files of the folder say of steps after it
   * @param nowSec seconds since 1970
   */
  constructor(folder: string, firstStep: number, nowSec: number) {
    this.path = join(folder, `events.out.tfevents.${String(firstStep).padStart(8, '0')}.partition`);
    this.records.push(record(event(nowSec, 0, versionField())));
    // SessionLog { status: START } tells TensorBoard to forget later steps of earlier files.
    if (firstStep > 0) this.records.push(record(event(nowSec, firstStep + 1, message(7, varintField(1, 1)))));
  }

  /** @throws RangeError when a value is no number */
  add(step: number, nowSec: number, scalars: Readonly<Record<string, number | null>>): void {
    const values = Object.entries(scalars).flatMap(([tag, value]) =>
      value === null ? [] : [message(1, Buffer.concat([message(1, Buffer.from(tag)), floatField(2, value)]))],
    );
    this.records.push(record(event(nowSec, step, message(5, Buffer.concat(values)))));
  }

  /** Writes what was added. @throws PartitionError usage when it cannot be written */
  flush(): void {
    const bytes = Buffer.concat(this.records);
    try {
      if (this.begun) appendFileSync(this.path, bytes);
      else {
        makeFolder(join(this.path, '..'));
        writeFileSync(this.path, bytes);
      }
    } catch (e) {
      throw unwritable(this.path, e);
    }
    this.begun = true;
    this.records = [];
  }
}

/** Event { double wall_time = 1; int64 step = 2; oneof what { file_version = 3; summary = 5; session_log = 7 } }. */
function event(nowSec: number, step: number, what: Buffer): Buffer {
  const time = Buffer.alloc(9);
  time[0] = 1 * 8 + 1;
  time.writeDoubleLE(nowSec, 1);
  return Buffer.concat([time, varintField(2, step), what]);
}

function versionField(): Buffer {
  return message(3, Buffer.from('brain.Event:2'));
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = field * 8 + 5;
  bytes.writeFloatLE(value, 1);
  return bytes;
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

function message(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function record(data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeUInt32LE(data.length, 0);
  return Buffer.concat([length, masked(length), data, masked(data)]);
}

function masked(bytes: Uint8Array): Buffer {
  const crc = crc32c(bytes);
  const out = Buffer.alloc(4);
  out.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 0);
  return out;
}

/** Reflected Castagnoli polynomial. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (RFC 3720, appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
