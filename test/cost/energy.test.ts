import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import {
  deviceEnergyJoule,
  hostDirectWatt,
  hostMainsWatt,
  perTrillionTokens,
} from '../../src/cost/energy.js';
import { EnergyMeter } from '../../src/simulate/power.js';
import type { PlanProblem } from '../../src/simulate/types.js';

describe('energy', () => {
  const cluster = loadCluster('h100-sxm', 8);
  const group = cluster.groups[0];
  const meterOf = (devices: number): EnergyMeter => new EnergyMeter({ cluster, devices } as PlanProblem);

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
    expect(hostMainsWatt(group, 8 * joulePerDevice)).to.be.within(7000, 8400);
  });

  it('counts whole hosts and the network of the devices in use', () => {
    for (const devices of [1, 8])
      expect(meterOf(devices).fixedWatt).to.equal(
        hostMainsWatt(group, 0) + devices * group.networkWattPerDevice,
      );
  });

  it('of a host grows with its devices by their fans and by what its power supplies lose', () => {
    const host = { hostWatt: 1000, coolingShare: 0.1, powerSupplyEfficiency: 0.9 };
    expect(hostDirectWatt(host, 4000)).to.be.closeTo(5500, 1e-9);
    expect(hostMainsWatt(host, 4000)).to.be.closeTo(5500 / 0.9, 1e-9);
  });

  it('of switches starts with a second host', () => {
    const two = loadCluster('h100-sxm', 16);
    const based = { ...two, groups: two.groups.map((g) => ({ ...g, networkBaseWatt: 9000 })) };
    const watt = (devices: number): number =>
      new EnergyMeter({ cluster: based, devices } as unknown as PlanProblem).switchWatt;
    expect(watt(8)).to.equal(8 * group.networkWattPerDevice);
    expect(watt(16)).to.equal(16 * group.networkWattPerDevice + 9000);
  });

  it('carbon and price of a trillion tokens follow from those of a step', () => {
    const per = perTrillionTokens(3.6e6, 2, 1e6, 0.4);
    expect(per).to.deep.equal({ kwh: 1e6, carbonKg: 4e5, priceUsd: 2e6 });
    expect(perTrillionTokens(3.6e6, null, 1e6, 0.4).priceUsd).to.equal(null);
  });
});
