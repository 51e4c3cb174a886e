import { expect } from 'chai';
import { FAMILIES } from '../../src/ops/families.js';
import { knownOps, lookupOp, normalizeDomain } from '../../src/ops/registry.js';

describe('the operator registry', () => {
  it('finds operators by domain and type', () => {
    expect(lookupOp('', 'Add', 14)).to.not.equal(null);
    expect(lookupOp('ai.onnx.ml', 'LabelEncoder', 2)).to.not.equal(null);
    expect(lookupOp('com.example', 'Add', 1)).to.equal(null);
  });

  it('is not fooled by names that live on prototypes', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(lookupOp('', name, 14), name).to.equal(null);
      expect(lookupOp(name, 'Add', 14), name).to.equal(null);
    }
  });

  it('takes ai.onnx as another name of the default domain', () => {
    expect(normalizeDomain('ai.onnx')).to.equal('');
    expect(normalizeDomain(undefined)).to.equal('');
    expect(normalizeDomain('com.microsoft')).to.equal('com.microsoft');
  });

  it('describes every operator once', () => {
    const names = FAMILIES.flatMap((f) => Object.keys(f.rules).map((op) => `${f.domain}::${op}`));
    expect(new Set(names).size).to.equal(names.length);
    expect(knownOps()).to.have.length(names.length);
  });
});
