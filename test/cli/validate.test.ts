import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { COLUMNS } from '../../src/validation/row.js';
import { PLAIN, csvOf } from '../validation/support.js';
import { expectOneLine, expectValid, partition, scratchFolder } from './support.js';

describe('partition validate', function () {
  this.timeout(60_000);
  const folder = scratchFolder('validate');
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder(), name), text);
    return name;
  };

  it('prints one JSON object as published', async () => {
    const file = write('runs.csv', csvOf([PLAIN, { ...PLAIN, id: 'lab-2', hardware: 'Abacus' }]));
    const { code, stdout, stderr } = await partition(['validate', file, '--json', '--quiet'], folder());
    expect(code, stderr).to.equal(0);
    expect(stderr).to.equal('');
    expectValid('validate', JSON.parse(stdout));
  });

  it('prints a table, and takes a stack for all rows', async () => {
    const file = write('runs.csv', csvOf([PLAIN]));
    const { code, stdout } = await partition(['validate', file, '--stack', 'fsdp'], folder());
    expect(code).to.equal(0);
    expect(stdout).to.match(/^source +rows +MAPE/);
  });

  it('refuses in one line what is no table of measured runs', async () => {
    const columns = COLUMNS.filter((c) => c !== 'tp');
    for (const [text, pattern] of [
      [csvOf([PLAIN], columns), /columns\.csv: missing column tp/],
      ['', /expected a header line, found nothing/],
      ['id,"value\n1,2\n', /columns\.csv:1: a quoted field is never closed/],
      [`${csvOf([PLAIN])}\n"x"y,1`, /columns\.csv:3: expected a comma or the end of the line/],
    ] as const)
      expectOneLine(await partition(['validate', write('columns.csv', text)], folder()), 3, pattern);
    expectOneLine(await partition(['validate', 'absent.csv'], folder()), 3, /absent\.csv: no such file/);
    expectOneLine(
      await partition(['validate', '.'], folder()),
      3,
      /expected a csv of measured runs, found a directory/,
    );
    const good = write('runs.csv', csvOf([PLAIN]));
    expectOneLine(
      await partition(['validate', good, '--stack', 'megatorn'], folder()),
      2,
      /did you mean megatron/,
    );
    expectOneLine(
      await partition(['validate', good, '--calibration', 'no.yaml'], folder()),
      3,
      /no\.yaml: no such file/,
    );
  });

  it('says when no row could be predicted', async () => {
    const file = write('bad.csv', csvOf([{ ...PLAIN, gpus: 'x' }]));
    const { code, stdout, stderr } = await partition(['validate', file], folder());
    expect(code).to.equal(3);
    expect(stdout).to.contain('gpus: expected a number above 0, found x');
    expect(stderr).to.match(/^partition: bad\.csv: no row could be predicted[^\n]*\n$/);
  });
});
