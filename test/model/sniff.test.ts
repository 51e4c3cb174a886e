import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, readModel } from '../../src/model/index.js';
import { sniff } from '../../src/model/sniff.js';
import { PartitionError } from '../../src/util/errors.js';
import { graphs, modelFiles } from './support.js';

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

describe('sniffing of files that are not ONNX', () => {
  const cases: [string, RegExp][] = [
    ['version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n', /Git-LFS/],
    ['<!DOCTYPE html><html></html>', /HTML/],
    ['  \n<html lang="en">', /HTML/],
    ['<?xml version="1.0"?>', /XML/],
    ['{"a": 1}', /JSON/],
    ['[{"a": 1}]', /JSON/],
    ['PK\x03\x04\x00\x00archive/data.pkl', /PyTorch/],
    ['PK\x03\x04\x14\x00something', /zip/],
    ['\x1f\x8b\x08\x00', /gzip/],
    ['\x80\x02}q\x00', /pickle/],
    ['\x89HDF\r\n\x1a\n', /HDF5/],
    ['GGUF\x03\x00\x00\x00', /GGUF/],
    ['\x1c\x00\x00\x00TFL3', /TensorFlow Lite/],
    ['\x1c\x00\x00\x00ORTM', /ONNX Runtime/],
    ['\x40\x00\x00\x00\x00\x00\x00\x00{"weight": {}}', /safetensors/],
    ['hello, I am a text file\nof two lines\n', /text/],
  ];
  for (const [head, pattern] of cases) {
    it(`knows ${pattern.source} by its first bytes`, () => {
      expect(sniff(latin(head), 1000)?.what).to.match(pattern);
    });
  }

  it('takes no real model for something else', () => {
    for (const file of modelFiles(graphs)) {
      expect(sniff(readFileSync(file).subarray(0, 512), 1e6), file).to.equal(null);
    }
  });

  it('names a missing file and a directory', () => {
    const missing = (): unknown => readModel(join(graphs, 'no-such.onnx'));
    expect(missing).to.throw(PartitionError, /no such file/);
    expect(() => readModel(graphs)).to.throw(PartitionError, /directory/);
  });

  it('refuses protobuf without a graph', () => {
    expect(() => decodeModel(Uint8Array.of(8, 8), 'm')).to.throw(PartitionError, /without a graph/);
  });

  it('reads a file with the right bytes whatever its name', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sniff-'));
    try {
      const path = join(folder, 'model.bin');
      writeFileSync(path, readFileSync(join(graphs, 'resnet50.onnx')));
      expect(readModel(path).producerName).to.equal('pytorch');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
