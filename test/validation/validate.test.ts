import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { validationTable } from '../../src/report/validationTable.js';
import { dataPath } from '../../src/util/files.js';
import { predictionInterval, shippedResiduals } from '../../src/validation/intervals.js';
import { readCsv } from '../../src/validation/csv.js';
import { readRows } from '../../src/validation/row.js';
import { validateText } from '../../src/validation/validate.js';
import { expectValid } from '../cli/support.js';
import { csvOf, PLAIN } from './support.js';

describe('validation against measured runs', function () {
  this.timeout(20_000);

  const rows = [1, 2, 3].flatMap((n) => [
    { ...PLAIN, id: `lab-${n}`, tp: n === 3 ? 4 : n, dp: n === 3 ? 16 : 64 / n, value: 2 + n / 10 },
    { ...PLAIN, id: `other-${n}`, micro_batch: 2 ** n, metric: 'tflops_per_gpu', value: 130 },
  ]);

  it('gives every row its prediction and interval, every source its figures', () => {
    const result = validateText(csvOf(rows), 'runs.csv');
    expectValid('validate', result);
    expect(result.rows.map((r) => r.id)).to.deep.equal(rows.map((r) => r.id));
    for (const row of result.rows) {
      expect(row.predicted).to.be.above(0);
      expect(row.low! <= row.high!, row.id).to.equal(true);
    }
    expect(result.groups.map((g) => [g.name, g.rows])).to.deep.equal([
      ['lab', 3],
      ['other', 3],
    ]);
    const [lab] = result.groups;
    const errors = result.rows
      .filter((r) => r.id.startsWith('lab'))
      .map((r) => Math.abs(r.predicted! / r.measured! - 1));
    expect(lab.mape).to.be.closeTo((errors[0] + errors[1] + errors[2]) / 3, 1e-12);
    expect(result.overall).to.include({ rows: 6, predicted: 6, skipped: 0 });
    expect(result.overall!.regret.sets).to.equal(2);
    const table = validationTable(result);
    expect(table).to.match(/^source +rows +MAPE/);
    expect(table).to.match(/\nlab +3 /);
  });

  it('names bad rows in the order of the file and predicts the others', () => {
    const text = csvOf([
      { ...PLAIN, gpus: 'x' },
      { ...PLAIN, id: 'b-1' },
      { ...PLAIN, id: 'c-1', hardware: 'Abacus' },
    ]);
    const result = validateText(text, 'runs.csv');
    expectValid('validate', result);
    expect(result.rows.map((r) => [r.line, r.id, r.reason])).to.deep.equal([
      [2, 'lab-0001', 'gpus: expected a number above 0, found x'],
      [3, 'b-1', undefined],
      [4, 'c-1', 'hardware: no cluster preset is called Abacus; partition clusters lists them'],
    ]);
    expect(result.overall).to.include({ rows: 3, predicted: 1, skipped: 2 });
    expect(validationTable(result)).to.contain('skipped c-1 (line 4): hardware: no cluster preset');
  });

  it('has nothing to say when no row can be predicted', () => {
    const result = validateText(csvOf([{ ...PLAIN, gpus: 'x' }]), 'runs.csv');
    expect(result.overall).to.equal(null);
    expect(result.groups).to.deep.equal([]);
    expectValid('validate', result);
    expect(validationTable(result)).to.match(/^no row could be predicted/);
  });

  it('ships its rows, whole and well formed', () => {
    const path = dataPath('measured/measured.csv');
    const { rows: shipped, faults } = readRows(
      readCsv(readFileSync(path, 'utf8'), 'measured.csv'),
      'measured.csv',
    );
    expect(faults).to.deep.equal([]);
    expect(shipped).to.have.length(689);
    expect(shipped.every((r) => r.source !== '')).to.equal(true);
  });

  it('ships residuals from which intervals are read, also for software and hardware that nobody measured', () => {
    expect(shippedResiduals().length).to.be.above(10);
    for (const { low, high } of [
      predictionInterval('megatron', 'h100-sxm'),
      predictionInterval('unheard-of', 'h200'),
      predictionInterval('unheard-of', 'unheard-of'),
    ]) {
      expect(low).to.be.within(0.2, 1.2);
      expect(high).to.be.within(0.8, 5);
      expect(low).to.be.below(high);
    }
  });
});
