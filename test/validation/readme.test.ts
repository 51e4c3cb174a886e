import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { dataPath } from '../../src/util/files.js';
import { validateText } from '../../src/validation/validate.js';

describe('the table in the README', () => {
  it('says what partition validate says of the shipped rows', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const path = dataPath('measured/measured.csv');
    const { groups, overall } = validateText(readFileSync(path, 'utf8'), path.pathname);
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    for (const g of groups) {
      const line = readme.split('\n').find((l) => l.startsWith(`| ${g.name} |`));
      const cells = line?.split('|').map((cell) => cell.trim());
      expect(cells?.slice(1, 4), g.name).to.deep.equal([g.name, String(g.rows), percent(g.mape)]);
      expect(cells?.[5], g.name).to.equal(percent(g.yardstickMape));
      expect(cells?.[6], g.name).to.equal(g.leaveOneOutMape === null ? '' : percent(g.leaveOneOutMape));
    }
    expect(readme).to.contain(`| **median of sources** | | **${percent(overall!.medianMape)}** |`);
    expect(readme).to.contain(`hold ${percent(overall!.coverage!)} of the runs`);
    expect(readme).to.contain(`prices ${overall!.predicted} published`);
  });
});
