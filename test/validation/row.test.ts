import { expect } from 'chai';
import { readCsv } from '../../src/validation/csv.js';
import { COLUMNS, groupOf, readRows } from '../../src/validation/row.js';
import { PLAIN, csvOf, rowOf, rowsOf } from './support.js';

describe('rows of measured runs', () => {
  it('hold what the columns say, null where a source does not', () => {
    const row = rowOf({ vpp: '', recompute: '', experts: '', seq_parallel: '', note: 'n, "q"' });
    expect(row).to.include({
      line: 2,
      layers: 30,
      heads: 32,
      sequenceLength: 2048,
      devices: 64,
      tp: 2,
      zeroStage: 0,
      metric: 'step_s',
      value: 3,
      note: 'n, "q"',
    });
    expect([row.vpp, row.recompute, row.experts, row.sequenceParallel]).to.deep.equal([
      null,
      null,
      null,
      null,
    ]);
  });

  it('need their columns: missing ones are named, with what looks like a slip', () => {
    const read = (columns: readonly string[]): unknown =>
      readRows(readCsv(csvOf([PLAIN], columns), 'r.csv'), 'r.csv');
    expect(() => read(COLUMNS.filter((c) => c !== 'tp'))).to.throw('missing column tp');
    expect(() => read(COLUMNS.filter((c) => c !== 'tp' && c !== 'value'))).to.throw(
      'missing columns tp, value',
    );
    expect(() => read(COLUMNS.map((c) => (c === 'hardware' ? 'hardwear' : c))))
      .to.throw('missing column hardware')
      .with.property('hint', 'found hardwear for hardware');
    expect(() => read(['a', 'b'])).to.throw('missing columns id, layers');
  });

  it('do without optional columns', () => {
    const columns = COLUMNS.filter(
      (c) => !['note', 'verified', 'kv_heads', 'cp', 'ep', 'zero_stage', 'dp'].includes(c),
    );
    const { rows, faults } = readRows(readCsv(csvOf([PLAIN], columns), 'r.csv'), 'r.csv');
    expect(faults).to.deep.equal([]);
    expect(rows[0]).to.include({ cp: 1, ep: 1, kvHeads: null, zeroStage: null });
  });

  for (const [change, reason] of [
    [{ gpus: 'many' }, 'gpus: expected a number above 0, found many'],
    [{ gpus: '' }, 'gpus: empty'],
    [{ gpus: 64.5 }, 'gpus: expected a whole number below 2^31, found 64.5'],
    [{ gpus: 63 }, 'gpus: 63 is not divisible by tp * pp * cp = 2'],
    [{ gpus: 2 ** 30, dp: 2 ** 29 }, 'gpus: expected at most 1048576, found 1073741824'],
    [{ seq_len: 2 ** 30 }, 'seq_len: expected at most 16777216, found 1073741824'],
    [{ gpus: -8 }, 'gpus: expected a number above 0, found -8'],
    [{ gpus: '0x40' }, 'gpus: expected a number above 0, found 0x40'],
    [{ dp: 31 }, 'dp: expected gpus / (tp * pp * cp) = 32, found 31'],
    [{ value: 'NaN' }, 'value: expected a number above 0, found NaN'],
    [{ value: 0 }, 'value: expected a number above 0, found 0'],
    [{ value: '' }, 'value: empty'],
    [
      { metric: 'furlongs' },
      'metric: expected one of step_s, tokens_per_s_per_gpu, tflops_per_gpu, mfu, found furlongs',
    ],
    [{ zero_stage: 4 }, 'zero_stage: expected one of 0, 1, 2, 3, found 4'],
    [{ recompute: 'some' }, 'recompute: expected one of none, selective, full, found some'],
    [{ seq_len: '' }, 'seq_len: empty'],
    [{ hardware: '' }, 'hardware: empty'],
    [{ id: '' }, 'id: empty'],
  ] as const) {
    it(`say of ${JSON.stringify(change)} that ${reason}`, () => {
      const { rows, faults } = rowsOf({}, change, {});
      expect(rows).to.have.length(2);
      expect(faults.map((f) => f.reason)).to.deep.equal([reason]);
      expect(faults[0].line).to.equal(3);
    });
  }

  it('say which id stands twice, and of a short line how many fields it has', () => {
    const { faults } = rowsOf({ id: 'a-1' }, { id: 'a-1' });
    expect(faults).to.deep.equal([{ line: 3, id: 'a-1', reason: 'id: the same as on line 2' }]);
    const cut = `${csvOf([PLAIN])}\nlab-2,short\n`;
    const { rows, faults: short } = readRows(readCsv(cut, 'r.csv'), 'r.csv');
    expect(rows).to.have.length(1);
    expect(short[0]).to.deep.include({ line: 3, id: 'lab-2' });
    expect(short[0].reason).to.equal(`row: expected ${COLUMNS.length} fields, found 2`);
  });

  it('are grouped by the id before its trailing number', () => {
    expect(['sc21-zero3-0001', 'mcore-h100-0008', 'lab7', 'x_12', '42', 'plain'].map(groupOf)).to.deep.equal([
      'sc21-zero3',
      'mcore-h100',
      'lab',
      'x',
      '42',
      'plain',
    ]);
  });
});
