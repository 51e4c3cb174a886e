import { expect } from 'chai';
import fc from 'fast-check';
import { readCsv } from '../../src/validation/csv.js';

describe('comma-separated values', () => {
  it('are read with the line on which each record begins', () => {
    const table = readCsv('id,note\na,1\n\nb,"two\nlines"\nc,3\n', 'runs.csv');
    expect(table.columns).to.deep.equal(['id', 'note']);
    expect(table.records).to.deep.equal([
      { line: 2, fields: ['a', '1'] },
      { line: 4, fields: ['b', 'two\nlines'] },
      { line: 6, fields: ['c', '3'] },
    ]);
  });

  it('may be quoted, with commas and doubled quotes inside', () => {
    const { records } = readCsv('a,b,c\n"x, y","say ""hi""",\n', 'runs.csv');
    expect(records[0].fields).to.deep.equal(['x, y', 'say "hi"', '']);
  });

  it('may come from Windows: carriage returns, a byte order mark, no final line break', () => {
    const table = readCsv('\ufeffid,value\r\na,1\r\nb,2', 'runs.csv');
    expect(table.columns).to.deep.equal(['id', 'value']);
    expect(table.records.map((r) => r.fields)).to.deep.equal([
      ['a', '1'],
      ['b', '2'],
    ]);
  });

  it('say where a quote is never closed', () => {
    expect(() => readCsv('a,b\n1,2\n3,"4\n5,6\n', 'runs.csv'))
      .to.throw('a quoted field is never closed')
      .with.property('where', 'runs.csv:3');
  });

  it('say where text follows a closing quote', () => {
    expect(() => readCsv('a,b\n"1"x,2\n', 'runs.csv'))
      .to.throw('expected a comma or the end of the line')
      .with.property('where', 'runs.csv:2');
  });

  it('need a header, and no column twice', () => {
    expect(() => readCsv('', 'runs.csv')).to.throw('expected a header line, found nothing');
    expect(() => readCsv('\n\n', 'runs.csv')).to.throw('expected a header line, found nothing');
    expect(() => readCsv('a,b,a\n', 'runs.csv')).to.throw('two columns are called "a"');
  });

  it('come back as they were written', () => {
    const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', 'é') });
    const records = fc.array(fc.tuple(field, field, field), { minLength: 1, maxLength: 8 });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(records, (rows) => {
        const text = ['x,y,z', ...rows.map((r) => r.map(quoted).join(','))].join('\r\n');
        expect(readCsv(text, 'p').records.map((r) => r.fields)).to.deep.equal(rows);
      }),
    );
  });
});
