import { readdirSync, existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { inferModel } from '../../src/graph/infer.js';
import { readModel } from '../../src/model/read.js';
import { backwardOf, factorsOf, workOf } from '../../src/ops/defaults.js';
import { SHARED } from '../support/oracle.js';
import { checkFactors } from '../support/op_harness.js';
import { instanceOf } from '../support/instance.js';

const GRAPHS = new URL('../../graphs/', import.meta.url).pathname;

/** Faults of every rule on every node of a model whose symbols are all bound. */
function faults(path: string, size: number): { checked: number; faults: string[] } {
  const model = readModel(path);
  const symbols = inferModel(model).symbols;
  const bind = Object.fromEntries(symbols.map((s) => [s.name, size]));
  const inferred = inferModel(model, { bind });
  const list: string[] = [];
  let checked = 0;
  for (const node of inferred.nodes) {
    const op = instanceOf(inferred, node);
    if (op === null || node.rule === null) continue;
    checked++;
    const note = (text: string): void => {
      const shapes = [...node.inputs].map((_, i) => JSON.stringify(op.inputShape(i))).join(' ');
      list.push(`${node.opType} ${shapes} -> ${JSON.stringify(op.outputShape(0))}: ${text}`);
    };
    try {
      const rule = factorsOf(node.rule, op);
      if (rule.inputs.length !== op.inputCount || rule.outputs.length !== op.outputCount)
        note('layout count');
      else checkFactors(op, rule);
      const { flop } = workOf(node.rule, op);
      if (!(flop >= 0) || !Number.isFinite(flop)) note(`flop ${String(flop)}`);
      const backward = backwardOf(node.rule, op);
      for (const g of backward?.grads ?? [])
        if (!(g.flop >= 0) || op.inputShape(g.input) === null) note('gradient');
      for (const i of backward?.savesInputs ?? [])
        if (op.inputShape(i) === null) note('saves an omitted input');
      for (const i of backward?.savesOutputs ?? [])
        if (op.outputShape(i) === null) note('saves an omitted output');
    } catch (e) {
      note(e instanceof Error ? e.message : String(e));
    }
  }
  return { checked, faults: list };
}

describe('every operator rule on every node of real graphs', () => {
  for (const file of readdirSync(GRAPHS).filter((f) => f.endsWith('.onnx'))) {
    it(`keeps the factor, work and gradient contracts in ${file}`, () => {
      const result = faults(GRAPHS + file, 8);
      expect(result.faults).to.deep.equal([]);
      expect(result.checked).to.be.greaterThan(50);
    });
  }

  it('keeps them in the whole corpus', function () {
    if (!existsSync(`${SHARED}corpus/manifest.csv`)) {
      console.log('      skipped: the shared corpus is not here');
      this.skip();
    }
    this.timeout(120_000);
    const list: string[] = [];
    let checked = 0;
    for (const line of readFileSync(`${SHARED}corpus/manifest.csv`, 'utf8').split('\n').slice(1)) {
      const file = line.split(',')[0];
      if (!file.endsWith('.onnx')) continue;
      let result: ReturnType<typeof faults>;
      try {
        result = faults(SHARED + file, 4);
      } catch {
        // Files that are wrong, or become so when every symbol is bound to the same number, are another test's matter.
        continue;
      }
      checked += result.checked;
      for (const f of result.faults) list.push(`${file}: ${f}`);
    }
    console.log(`      ${String(checked)} nodes checked`);
    expect(list.slice(0, 20)).to.deep.equal([]);
  });
});
