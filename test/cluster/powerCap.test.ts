import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { analyzeModel, problemOf } from '../../src/api/problem.js';
import type { AnalyzedModel } from '../../src/api/problem.js';
import {
  atPowerCap,
  clockAt,
  leastCapWatt,
  listDevices,
  loadCluster,
  loadDevice,
} from '../../src/cluster/index.js';
import type { Cluster } from '../../src/cluster/index.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { PartitionError } from '../../src/util/errors.js';
import { buildZoo, zooConfig } from '../../src/zoo/index.js';
import { syntheticCandidate } from '../support/synthetic.js';

describe('a power cap', function () {
  this.timeout(30_000);
  const h100 = loadDevice('h100-sxm');

  it('at or above the power limit changes nothing, on any device', () => {
    for (const name of listDevices()) {
      const device = loadDevice(name);
      expect(atPowerCap(device, device.tdpWatt)).to.equal(device);
      expect(atPowerCap(device, 2 * device.tdpWatt)).to.equal(device);
    }
  });

  it('slows matrix units, steadily more the lower it is; memory only below its own draw; links never', () => {
    let previous = h100;
    for (let watt = h100.tdpWatt - 20; watt >= leastCapWatt(h100) + 1; watt -= 20) {
      const capped = atPowerCap(h100, watt);
      expect(capped.achievableFlopPerSec.bf16).to.be.at.most(previous.achievableFlopPerSec.bf16);
      expect(capped.vectorFlopPerSec).to.be.at.most(previous.vectorFlopPerSec);
      expect(capped.memoryBytesPerSec).to.be.at.most(previous.memoryBytesPerSec);
      if (watt >= h100.memoryWatt) expect(capped.memoryBytesPerSec).to.equal(h100.memoryBytesPerSec);
      else expect(capped.memoryBytesPerSec).to.be.below(h100.memoryBytesPerSec);
      for (const level of ['matrixWatt', 'memoryWatt', 'networkWatt'] as const)
        expect(capped[level]).to.be.within(0, watt);
      expect(capped.peakFlopPerSec).to.deep.equal(h100.peakFlopPerSec);
      previous = capped;
    }
    expect(previous.achievableFlopPerSec.bf16).to.be.within(0.05, 0.3 * h100.achievableFlopPerSec.bf16);
  });

  it('meets its draw: the level at the clock is the cap', () => {
    for (const cap of [200, 350, 500, 650]) {
      const clock = clockAt(h100, h100.matrixWatt, cap);
      const draw = h100.idleWatt + (h100.matrixWatt - h100.idleWatt) * clock ** h100.clockExponent;
      expect(draw).to.be.closeTo(cap, 1e-9);
    }
  });

  it('below what the device can keep is refused with the least that it can', () => {
    expect(() => atPowerCap(h100, h100.idleWatt)).to.throw(PartitionError, /at least \d+ W for h100-sxm/);
    expect(() => atPowerCap(h100, NaN)).to.throw(PartitionError);
  });

  describe('on a cluster', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cap-'));
    after(() => {
      rmSync(folder, { recursive: true });
    });
    const capped = (watt: number): Cluster => {
      const file = join(folder, `cap${watt}.yaml`);
      writeFileSync(file, `groups: [{ preset: h100-sxm, hosts: any, powerCapWatt: ${watt} }]\n`);
      return loadCluster(file, 8);
    };

    it('is a field of a group: powerCapWatt', () => {
      expect(capped(400).groups[0].device.matrixWatt).to.equal(400);
      expect(capped(400).groups[0].device).to.deep.equal(atPowerCap(h100, 400));
      expect(() => capped(10)).to.throw(/powerCapWatt: expected a number between \d+ and 700, found 10/);
    });

    it('saves energy where compute bounds the step: the least joules a step lie well below the limit, not at the bottom', () => {
      const name = 'llama3.2-1b';
      const model: AnalyzedModel = analyzeModel(buildZoo(zooConfig(name)), name, { seq: 2048 });
      const price = (watt: number): { joule: number; sec: number } => {
        const { problem } = problemOf(model, capped(watt), { devices: 8, batch: 64 });
        const candidate = syntheticCandidate(problem, { dpShard: 8, zeroStage: 1, microbatch: 2 });
        const e = createSimulator(problem).estimate(candidate, createEstimate());
        return { joule: e.energyJoulesPerStep, sec: e.stepTimeSec };
      };
      const caps = [150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700];
      const prices = caps.map(price);
      for (let i = 1; i < caps.length; i++) expect(prices[i].sec).to.be.at.most(prices[i - 1].sec);
      const least = prices.reduce((best, p, i) => (p.joule < prices[best].joule ? i : best), 0);
      expect(caps[least]).to.be.within(200, 600);
      expect(prices[least].joule).to.be.below(0.99 * prices.at(-1)!.joule);
    });
  });
});
