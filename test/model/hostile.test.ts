import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkModel, readModel } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { fixtures } from './support.js';

interface Row {
  readonly file: string;
  readonly verdict: string;
  readonly expected: string;
}

const folder = join(fixtures, 'hostile');

/** Faults of shapes, which only inference can see: test/graph judges them. */
const LEFT_TO_INFERENCE = new Set([
  'attr_axis_out_of_range.onnx',
  'attr_transpose_bad_perm.onnx',
  'misc_reshape_two_minus_ones.onnx',
]);

function manifest(): Row[] {
  const lines = readFileSync(join(folder, 'manifest.csv'), 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => {
    const [file = '', , verdict = ''] = line.split(',');
    return { file, verdict, expected: line };
  });
}

/** The error line of reading and checking a file; null when it is accepted. */
function verdictOf(file: string): string | null {
  const path = join(folder, file);
  try {
    checkModel(readModel(path), path);
    return null;
  } catch (e) {
    if (!(e instanceof PartitionError)) throw e;
    expect(e.code).to.equal('input');
    expect(e.where).to.equal(path);
    return e.line();
  }
}

describe('hostile files', () => {
  for (const { file, verdict, expected } of manifest()) {
    it(`${file} is handled as the manifest says: ${verdict}`, () => {
      const start = performance.now();
      const line = verdictOf(file);
      expect(performance.now() - start).to.be.below(5000);
      if (line !== null) {
        expect(line).to.not.include('\n');
        expect(line.length).to.be.below(1200);
      }
      if (verdict === 'accept') expect(line, expected).to.equal(null);
      if (verdict === 'reject' && !LEFT_TO_INFERENCE.has(file)) expect(line, expected).to.be.a('string');
    });
  }

  it('files that are something else are named', () => {
    const named: Record<string, RegExp> = {
      'notonnx_html.onnx': /HTML/,
      'notonnx_json.onnx': /JSON/,
      'notonnx_png.onnx': /PNG/,
      'notonnx_pytorch_zip.onnx': /PyTorch/,
      'notonnx_safetensors.onnx': /safetensors/,
      'notonnx_crlf_mangled.onnx': /text-mode/,
      'notonnx_ort_flatbuffer.onnx': /ONNX Runtime/,
      'wire_empty.onnx': /empty/,
      'wire_truncated_quarter.onnx': /truncated at byte 43 of 43/,
    };
    for (const [file, pattern] of Object.entries(named)) expect(verdictOf(file)).to.match(pattern);
  });
});
