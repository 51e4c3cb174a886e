import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkModel, locateExternal, parseExternal } from '../../src/model/index.js';
import type { TensorProto } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { attribute, functionOf, graph, model, node, tensor, value } from './support.js';

function external(entries: Record<string, string>): TensorProto {
  const externalData = Object.entries(entries).map(([key, text]) => ({ key, value: text }));
  return tensor('w', 1, [4], { dataLocation: 1, externalData });
}

describe('external data', () => {
  const refused: [string, Record<string, string>][] = [
    ['an absolute path', { location: '/etc/passwd' }],
    ['a parent folder', { location: '../secret' }],
    ['a parent folder inside', { location: 'a/../../secret' }],
    ['a parent folder with backslashes', { location: 'a\\..\\..\\secret' }],
    ['a drive letter', { location: 'C:\\secret' }],
    ['a UNC path', { location: '\\\\host\\share\\x' }],
    ['a URL', { location: 'https://example.com/x' }],
    ['an empty location', { location: '' }],
    ['the folder itself', { location: './' }],
    ['a NUL', { location: 'a\0b' }],
    ['no location', { offset: '0' }],
    ['a negative offset', { location: 'w', offset: '-1' }],
    ['a fractional offset', { location: 'w', offset: '1.5' }],
    ['a hexadecimal offset', { location: 'w', offset: '0x10' }],
    ['an offset with blanks', { location: 'w', offset: ' 1' }],
    ['an empty offset', { location: 'w', offset: '' }],
    ['a length that is no number', { location: 'w', length: 'NaN' }],
    ['a sum beyond 2^53', { location: 'w', offset: '9007199254740991', length: '16' }],
    ['an address in memory', { location: '*/_ORT_MEM_ADDR_/*', offset: '140737488355328' }],
  ];
  for (const [what, entries] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => parseExternal(external(entries), 'm.onnx')).to.throw(
        PartitionError,
        /external data of tensor "w"/,
      );
    });
  }

  it('takes 64-bit offsets and sub-folders', () => {
    const reference = parseExternal(
      external({ location: './weights/w..bin', offset: '5000000000', length: '16' }),
      null,
    );
    expect(reference).to.include({ location: 'weights/w..bin', offset: 5e9, length: 16 });
  });

  it('is looked for in every tensor of the model', () => {
    const bad = external({ location: '../x' });
    const bearer = node('Constant', [], ['c'], { attribute: [attribute('value', { type: 4, t: bad })] });
    const inner = graph({ node: [bearer], output: [value('c')] });
    const branches = [
      attribute('then_branch', { type: 5, g: inner }),
      attribute('else_branch', { type: 5, g: inner }),
    ];
    const sparse = { values: bad, indices: tensor('i', 7, [4]), dims: [9] };
    const hidden = [
      model({ initializer: [bad] }),
      model({ node: [bearer], output: [value('c')] }),
      model({
        input: [value('p')],
        node: [node('If', ['p'], ['y'], { attribute: branches })],
        output: [value('y')],
      }),
      model({
        node: [node('Constant', [], ['c'], { attribute: [attribute('value', { type: 9, tensors: [bad] })] })],
      }),
      model({ sparseInitializer: [sparse] }),
      model({ input: [value('x')] }, { functions: [functionOf('F', [{ ...bearer, output: ['b'] }])] }),
      model(
        { input: [value('x')] },
        { trainingInfo: [{ algorithm: inner, initializationBinding: [], updateBinding: [] }] },
      ),
    ];
    for (const m of hidden)
      expect(() => checkModel(m, 'memory')).to.throw(PartitionError, /leaves the model's folder/);
  });

  describe('on disk', () => {
    let top = '';
    let path = '';
    beforeEach(() => {
      top = mkdtempSync(join(tmpdir(), 'external-'));
      mkdirSync(join(top, 'model/sub'), { recursive: true });
      path = join(top, 'model/m.onnx');
      writeFileSync(path, '');
      writeFileSync(join(top, 'secret.bin'), 'secret');
    });
    afterEach(() => rmSync(top, { recursive: true }));

    const locate = (location: string): unknown =>
      locateExternal(parseExternal(external({ location }), path), path);

    it('finds a file beside the model and below it', () => {
      writeFileSync(join(top, 'model/w.bin'), '1234');
      writeFileSync(join(top, 'model/sub/w.bin'), '12');
      expect(locate('w.bin')).to.include({ sizeBytes: 4 });
      expect(locate('sub/w.bin')).to.include({ sizeBytes: 2 });
    });

    it('says null for a file that is not there', () => {
      expect(locate('none.bin')).to.equal(null);
      expect(locate('none/none.bin')).to.equal(null);
    });

    it('refuses a folder, and links that lead out, of a file as of a folder', () => {
      symlinkSync(join(top, 'secret.bin'), join(top, 'model/link.bin'));
      symlinkSync(top, join(top, 'model/up'));
      expect(() => locate('sub')).to.throw(PartitionError, /is a directory/);
      expect(() => locate('link.bin')).to.throw(PartitionError, /leaves the model's folder/);
      expect(() => locate('up/secret.bin')).to.throw(PartitionError, /leaves the model's folder/);
    });

    it('follows links into the folder that the model itself is linked from, as in the Hugging Face cache', () => {
      mkdirSync(join(top, 'blobs'));
      mkdirSync(join(top, 'snapshot'));
      writeFileSync(join(top, 'blobs/aa'), '');
      writeFileSync(join(top, 'blobs/bb'), '1234');
      path = join(top, 'snapshot/m.onnx');
      symlinkSync('../blobs/aa', path);
      symlinkSync('../blobs/bb', join(top, 'snapshot/m.onnx_data'));
      expect(locate('m.onnx_data')).to.include({ sizeBytes: 4 });
    });

    it('a missing or short file is worth at most a warning', () => {
      const m = model({ initializer: [external({ location: 'w.bin', offset: '0', length: '16' })] });
      expect(checkModel(m, path)).to.deep.include({
        severity: 'warning',
        where: 'graph',
        message: 'has no outputs: every node is dead code',
      });
      writeFileSync(join(top, 'model/w.bin'), 'version https');
      expect(
        checkModel(m, path)
          .map((d) => d.message)
          .join(),
      ).to.match(/ends at byte 13/);
    });
  });
});
