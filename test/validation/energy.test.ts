import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EnergyPrediction } from '../../src/validation/energy.js';
import { energyError, predictEnergy, readEnergyRows } from '../../src/validation/energy.js';

describe('published power', function () {
  this.timeout(60_000);
  let predictions: EnergyPrediction[] = [];
  before(() => {
    predictions = predictEnergy();
  });

  it('of hosts in training is predicted within 15 %, with one set of figures for all rows', () => {
    expect(predictions.map((p) => p.row.id)).to.deep.equal(['en-10', 'en-11', 'en-12', 'en-13', 'en-14']);
    for (const p of predictions) expect(Math.abs(energyError(p)), p.row.id).to.be.at.most(0.15);
    // Fewer tokens a device, more of the run spent waiting: devices draw less.
    const [, , one, eight, many] = predictions.map((p) => p.deviceWatt);
    expect(one).to.be.above(eight);
    expect(eight).to.be.above(many);
  });

  it('of switches is predicted within 15 %', () => {
    const measured = predictions.filter((p) => p.row.switchKw !== null);
    expect(measured).to.have.length(2);
    for (const { row, switchKw } of measured)
      expect(switchKw / row.switchKw!, row.id).to.be.within(0.85, 1.15);
  });

  it('takes no longer in steps than the runs took', () => {
    for (const p of predictions)
      if (p.row.minutes !== null) expect(p.busyShare, p.row.id).to.be.within(0.3, 0.999);
  });

  it('names a reason for every row that it does not model, and has the published figures', function () {
    const { rows } = readEnergyRows();
    expect(rows).to.have.length(22);
    for (const row of rows)
      if (!predictions.some((p) => p.row === row || p.row.id === row.id))
        expect(row.notModelled).to.be.a('string');
    const file = fileURLToPath(new URL('../../../shared/data/throughput/energy.csv', import.meta.url));
    if (!existsSync(file)) {
      console.log('      skipped: no shared data to compare the figures with');
      this.skip();
    }
    const lines = readFileSync(file, 'utf8').split('\n');
    for (const { row } of predictions) {
      const line = lines.find((l) => l.startsWith(`${row.id},`))!;
      expect(line).to.include(`,${row.hostKw},kW/node`);
      if (row.minutes !== null) expect(line).to.match(new RegExp(`${row.minutes.toFixed(2)} min`));
      if (row.switchKw !== null) expect(line).to.include(`${row.switchKw} kW network`);
    }
  });
});
