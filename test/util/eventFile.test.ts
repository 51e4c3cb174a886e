import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c, EventFile } from '../../src/util/eventFile.js';

/** Data of every record; fails on a checksum that does not match. */
function records(bytes: Buffer): Buffer[] {
  const unmask = (masked: number): number => {
    const rotated = (masked - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at);
    expect(unmask(bytes.readUInt32LE(at + 8))).to.equal(crc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + size);
    expect(unmask(bytes.readUInt32LE(at + 12 + size))).to.equal(crc32c(data));
    found.push(data);
    at += size + 16;
  }
  return found;
}

describe('util/eventFile', () => {
  it('computes the checksums that RFC 3720 gives', () => {
    expect(crc32c(Buffer.from('123456789'))).to.equal(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).to.equal(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 255))).to.equal(0x62a8ab43);
  });

  it('writes records that a reader of TFRecords accepts, with the scalars in their place', () => {
    const folder = mkdtempSync(join(tmpdir(), 'events-'));
    const file = new EventFile(folder, 0, 1.5);
    file.add(300, 2.5, { loss: 0.25, none: null });
    file.flush();
    file.add(301, 3.5, { loss: 0.5 });
    file.flush();
    const [version, first, second] = records(readFileSync(file.path));
    rmSync(folder, { recursive: true });
    expect(version.toString('latin1')).to.include('brain.Event:2');
    // wall_time = 2.5, step = 300, summary { value { tag: "loss" simple_value: 0.25 } }, as protoc encodes them.
    expect(first.toString('hex')).to.equal('09000000000000044010ac022a0d0a0b0a046c6f7373150000803e');
    expect(second.subarray(-4).readFloatLE()).to.equal(0.5);
  });
});
