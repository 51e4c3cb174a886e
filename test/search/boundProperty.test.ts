import { expect } from 'chai';
import { checkRandomBounds } from '../support/boundCases.js';

describe('search/bound on random small cases', () => {
  it('is never above the fastest of all plans', function () {
    this.timeout(60000);
    const { cases, above, medianGap } = checkRandomBounds(600, 11);
    expect(cases).to.equal(600);
    expect(above).to.deep.equal([]);
    expect(medianGap).to.be.at.least(0);
  });
});
