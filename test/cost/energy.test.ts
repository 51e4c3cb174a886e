import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { deviceEnergyJoule, perTrillionTokens, stepEnergy } from '../../src/cost/energy.js';

describe('energy', () => {
  const cluster = loadCluster('h100-sxm', 8);
  const group = cluster.groups[0];

  it('of a busy device lies between idle and the power limit', () => {
    const watt = deviceEnergyJoule(group.device, {
      matrixSec: 0.7,
      memorySec: 0.15,
      networkSec: 0.1,
      idleSec: 0.05,
    });
    expect(watt).to.be.within(group.device.idleWatt, group.device.tdpWatt);
    expect(
      deviceEnergyJoule(group.device, { matrixSec: 0, memorySec: 0, networkSec: 0, idleSec: 10 }),
    ).to.equal(10 * group.device.idleWatt);
  });

  it('of a host of 8 H100 under training load is what power meters read: 7.0 to 8.4 kW', () => {
    // Whole-node AC: 7.75 kW typical (arXiv 2506.14551), 8.4 kW largest (arXiv 2412.08602).
    const joulePerDevice = deviceEnergyJoule(group.device, {
      matrixSec: 0.75,
      memorySec: 0.15,
      networkSec: 0.08,
      idleSec: 0.02,
    });
    const energy = stepEnergy(cluster, [{ group, devices: 8, joulePerDevice }], 1);
    expect(energy.deviceJoule + energy.hostJoule).to.be.within(7000, 8400);
  });

  it('adds hosts, network and PUE, and follows into carbon and price', () => {
    const energy = stepEnergy(cluster, [{ group, devices: 8, joulePerDevice: 1000 }], 2);
    expect(energy.deviceJoule).to.equal(8000);
    expect(energy.hostJoule).to.equal(2 * group.hostWatt);
    expect(energy.networkJoule).to.equal(16 * group.networkWattPerDevice);
    const it = energy.deviceJoule + energy.hostJoule + energy.networkJoule;
    expect(energy.facilityJoule).to.be.closeTo(it * cluster.pue, 1e-6);
    expect(energy.carbonKg).to.be.closeTo((energy.facilityJoule / 3.6e6) * cluster.carbonKgPerKwh, 1e-12);
    expect(energy.costUsd).to.be.closeTo((8 * group.pricePerDeviceHourUsd * 2) / 3600, 1e-12);
  });

  it('powers a whole host for a part of its devices', () => {
    const one = stepEnergy(cluster, [{ group, devices: 1, joulePerDevice: 0 }], 1);
    expect(one.hostJoule).to.equal(group.hostWatt);
  });

  it('scales a step to a trillion tokens', () => {
    const energy = stepEnergy(cluster, [{ group, devices: 8, joulePerDevice: 500 }], 1);
    const per = perTrillionTokens(energy, 1e6);
    expect(per.kwh).to.be.closeTo((energy.facilityJoule / 3.6e6) * 1e6, 1e-6);
    expect(per.costUsd).to.be.closeTo(energy.costUsd * 1e6, 1e-6);
  });
});
