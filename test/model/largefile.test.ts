import { expect } from 'chai';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkModel, readModel, readNumbers, tensorBytes } from '../../src/model/index.js';
import { writeSparse } from '../support/sparse.js';

const GIB = 2 ** 30;

describe('model files beyond 2 and 4 GiB', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'large-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const cases: [string, number[]][] = [
    ['one weight of 2.5 GiB', [2.5 * GIB]],
    ['two weights of 2.5 GiB', [2.5 * GIB, 2.5 * GIB]],
    ['one weight of 5 GiB', [5 * GIB]],
    ['two thousand weights of 4 MiB', Array.from({ length: 2000 }, () => 4 << 20)],
  ];
  for (const [what, sizes] of cases) {
    it(`${what} are read in under a second without being loaded`, () => {
      const path = join(folder, 'large.onnx');
      const fileBytes = writeSparse(path, sizes);
      const rssBefore = process.memoryUsage().rss;
      const start = performance.now();
      const model = readModel(path);
      const diagnostics = checkModel(model, path);
      const elapsed = performance.now() - start;
      expect(elapsed).to.be.below(1000);
      expect(process.memoryUsage().rss - rssBefore).to.be.below(150 * 2 ** 20);
      expect(diagnostics).to.deep.equal([]);
      const initializers = model.graph!.initializer;
      expect(initializers.slice(0, -1).map(tensorBytes)).to.deep.equal(sizes);
      const ranges = initializers.slice(0, -1).map((t) => (t.rawData?.kind === 'range' ? t.rawData : null));
      expect(ranges.every((r) => r !== null)).to.equal(true);
      expect(ranges.at(-1)!.offset + ranges.at(-1)!.length).to.be.below(fileBytes);
      // What stands behind the weights is read from beyond 4 GiB.
      expect(readNumbers(initializers.at(-1)!, 10)).to.deep.equal(Float64Array.of(42));
      expect(model.opsetImport).to.deep.equal([{ version: 17 }]);
    });
  }

  it('a large file that is cut short says where it ends', () => {
    const path = join(folder, 'cut.onnx');
    const fileBytes = writeSparse(path, [5 * GIB]);
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, fileBytes - GIB);
    closeSync(fd);
    expect(() => readModel(path)).to.throw(`truncated at byte ${fileBytes - GIB}`);
  });
});
