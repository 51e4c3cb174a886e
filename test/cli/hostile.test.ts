/** Broken, strange and malicious files, each with the verdict of its manifest. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspectModel, inspectionTable } from '../../src/api/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectOneLine, hostile, partition, scratchFolder } from './support.js';

interface Row {
  readonly file: string;
  readonly verdict: string;
  readonly line: string;
}

function manifest(): Row[] {
  const lines = readFileSync(join(hostile, 'manifest.csv'), 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => {
    const [file = '', , verdict = ''] = line.split(',');
    return { file, verdict, line };
  });
}

/** The error line of looking into a file; null when that works. Any error but the user's goes through. */
function fault(file: string): string | null {
  try {
    const inspection = inspectModel(join(hostile, file), { tensors: true });
    const table = inspectionTable(inspection);
    // eslint-disable-next-line no-control-regex
    expect(table).to.not.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    return null;
  } catch (e) {
    if (!(e instanceof PartitionError)) throw e;
    expect(e.code).to.equal('input');
    return e.line();
  }
}

describe('hostile files under inspection', function () {
  this.timeout(20_000);

  it('all of the manifest are there', () => expect(manifest()).to.have.length(161));

  for (const { file, verdict, line } of manifest()) {
    it(`${file}: ${verdict}`, () => {
      const found = fault(file);
      if (verdict === 'accept') expect(found, line).to.equal(null);
      if (verdict === 'reject') expect(found, line).to.be.a('string');
      if (found !== null) {
        // eslint-disable-next-line no-control-regex
        expect(found).to.not.match(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
        expect(found.length).to.be.below(1300);
        expect(found.startsWith(join(hostile, file)), found).to.equal(true);
      }
    });
  }
});

describe('hostile files on the command line', function () {
  this.timeout(30_000);
  const folder = scratchFolder('hostile');

  const refused: [string, RegExp][] = [
    ['wire_empty.onnx', /empty/],
    ['wire_truncated_quarter.onnx', /truncated at byte 43/],
    ['wire_length_u64.onnx', /truncated|length/],
    ['notonnx_html.onnx', /HTML/],
    ['notonnx_pytorch_zip.onnx', /PyTorch/],
    ['notonnx_random_64k.onnx', /not an ONNX model/],
    ['graph_cycle_1000.onnx', /cycle of 1000 nodes/],
    ['graph_dangling_input.onnx', /nothing produces the input "ghost"/],
    ['graph_duplicate_initializer.onnx', /two initializers are named "W"/],
    ['attr_axis_out_of_range.onnx', /axis/],
  ];
  for (const [file, pattern] of refused) {
    it(`${file} ends with exit code 3 and one line`, async () => {
      expectOneLine(await partition(['inspect', join(hostile, file)], folder()), 3, pattern);
      const planned = await partition([join(hostile, file), '--devices', '2'], folder());
      expectOneLine(planned, 3, pattern);
    });
  }

  for (const file of ['ok_baseline.onnx', 'graph_chain_100k_reversed.onnx', 'wire_unknown_fields.onnx']) {
    it(`${file} is looked into`, async () => {
      const { code, stdout, stderr } = await partition(['inspect', join(hostile, file), '--json'], folder());
      expect(code, stderr).to.equal(0);
      expect((JSON.parse(stdout) as { ops: number }).ops).to.be.above(0);
    });
  }
});
