import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { deviceEnergyJoule } from '../../src/cost/energy.js';
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
    expect(8 * joulePerDevice + meterOf(8).fixedWatt).to.be.within(7000, 8400);
  });

  it('counts whole hosts and the network of the devices in use', () => {
    expect(meterOf(8).fixedWatt).to.equal(group.hostWatt + 8 * group.networkWattPerDevice);
    expect(meterOf(1).fixedWatt).to.equal(group.hostWatt + group.networkWattPerDevice);
  });
});
