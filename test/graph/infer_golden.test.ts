import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { goldenGraphs, GOLDENS, shapeListing } from '../support/shape_goldens.js';

describe('shape inference of the committed graphs', () => {
  for (const file of goldenGraphs()) {
    it(`gives every tensor of ${file} the reviewed type and shape`, () => {
      const golden = readFileSync(`${GOLDENS}${file.replace('.onnx', '.txt')}`, 'utf8');
      expect(shapeListing(file)).to.equal(golden);
    });
  }
});
