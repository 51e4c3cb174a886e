import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Calibration } from '../../src/cluster/index.js';
import { loadCluster } from '../../src/cluster/index.js';
import { loadCalibration } from '../../src/cost/calibration.js';
import { loadStack } from '../../src/cost/stack.js';
import { clusterDigest } from '../../src/plan/index.js';
import { PartitionError } from '../../src/util/errors.js';

describe('a calibration file', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'calibration-'))));
  after(() => rmSync(folder, { recursive: true }));

  function load(text: string): Calibration {
    const path = join(folder, 'ours.yaml');
    writeFileSync(path, `schemaVersion: 1\nname: ours\nmethod: measured\n${text}`);
    return loadCalibration(path);
  }

  function fault(text: string): string {
    try {
      load(text);
    } catch (e) {
      expect(e).to.be.instanceOf(PartitionError);
      expect((e as PartitionError).code).to.equal('input');
      const line = (e as PartitionError).line();
      expect(line).to.not.match(/\n|undefined|\[object/);
      return line;
    }
    throw new Error('expected a PartitionError');
  }

  it('lies over a device field by field, and what depends on a measured rate follows it', () => {
    const calibration = load(
      'devices: { h100: { achievableTflops: { bf16: { value: 700, source: profile } }, contractionHalfLength: 64 } }',
    );
    const plain = loadCluster('h100-sxm', 8).groups[0].device;
    const ours = loadCluster('h100-sxm', 8, calibration).groups[0].device;
    expect(ours.achievableFlopPerSec.bf16).to.equal(700e12);
    expect(ours.achievableFlopPerSec.fp16).to.be.closeTo(700e12, 1e6);
    expect(ours.achievableFlopPerSec.fp8).to.equal(plain.achievableFlopPerSec.fp8);
    expect(ours.contractionHalfLength).to.equal(64);
    expect(ours.attention).to.deep.equal(plain.attention);
    expect(loadCluster('a100-80gb', 8, calibration)).to.deep.equal(loadCluster('a100-80gb', 8));
  });

  it('lies over levels of a preset network by name, and keeps the origin of every number', () => {
    const calibration = load(
      'networks: { h100-sxm: { nvlink: { latencyUs: { value: 2, source: all_reduce_perf }, efficiencyByRanks: { ranks: [2, 8], efficiency: [0.7, 0.9], source: x } } } }',
    );
    const cluster = loadCluster('h100-sxm', 64, calibration);
    const plain = loadCluster('h100-sxm', 64);
    expect(cluster.levels[0]).to.deep.equal({
      ...plain.levels[0],
      latencySec: 2e-6,
      efficiencyByRanks: { ranks: [2, 8], efficiency: [0.7, 0.9] },
    });
    expect(cluster.levels[1]).to.deep.equal(plain.levels[1]);
    expect(cluster.sources.map((s) => s.source)).to.include('all_reduce_perf');
  });

  it('reaches clusters in files that build on a preset', () => {
    const calibration = load(
      'networks: { h100-sxm: { nvlink: { efficiency: 0.5 } } }\ndevices: { h100-sxm: { memoryEfficiency: 0.5 } }',
    );
    const path = join(folder, 'cluster.yaml');
    writeFileSync(path, 'groups: [{ preset: h100-sxm, hosts: 2 }]');
    const group = loadCluster(path, undefined, calibration).groups[0];
    expect(group.device.memoryEfficiency).to.equal(0.5);
    expect(group.levels[0].efficiency).to.equal(0.5);
  });

  it('changes the digest of the cluster when it changes a number of it', () => {
    const digest = (calibration?: Calibration): string =>
      clusterDigest(loadCluster('h100-sxm', 16, calibration));
    expect(digest(load('devices: { h100-sxm: { launchOverheadUs: 2 } }'))).to.not.equal(digest());
    expect(digest(load('networks: { h100-sxm: { rail: { latencyUs: 8 } } }'))).to.not.equal(digest());
    expect(digest(load('devices: { a100-80gb: { launchOverheadUs: 2 } }'))).to.equal(digest());
    expect(load('devices: { h100-sxm: { launchOverheadUs: 2 } }').digest).to.not.equal(
      load('devices: { h100-sxm: { launchOverheadUs: 3 } }').digest,
    );
  });

  it('lies over a stack profile, whose plain form stays as it was', () => {
    const calibration = load('stacks: { megatron: { tpExposed: { value: 0.25, source: fit } } }');
    const plain = loadStack('megatron');
    const ours = loadStack('megatron-core', [], calibration);
    expect(ours).to.deep.equal({ ...plain, tpExposed: 0.25 });
    expect(loadStack('megatron')).to.deep.equal(plain);
  });

  it('is refused in one line that names the preset, level, field or number that is wrong', () => {
    expect(fault('devices: { h1000: { memoryEfficiency: 0.5 } }')).to.match(
      /devices\.h1000: unknown device preset .*h100/,
    );
    expect(fault('devices: { h100-sxm: { memoryEficiency: 0.5 } }')).to.match(
      /ours\.yaml: devices\.h100-sxm\.memoryEficiency: unknown field \(did you mean memoryEfficiency/,
    );
    expect(fault('devices: { h100-sxm: { memoryEfficiency: 2 } }')).to.match(
      /memoryEfficiency: expected a number between .*found 2/,
    );
    expect(fault('devices: { h100-sxm: { achievableTflops: { bf17: 3 } } }')).to.match(
      /achievableTflops\.bf17: unknown field/,
    );
    expect(fault('devices: { h100-sxm: 3 }')).to.match(/devices\.h100-sxm: expected a map, found 3/);
    expect(fault('devices: { h100-sxm: {}, h100: {} }')).to.match(/second time/);
    expect(fault('networks: { h100-sxm: { nvlnk: { efficiency: 0.5 } } }')).to.match(
      /nvlnk: unknown level \(levels of h100-sxm: nvlink, rail, spine/,
    );
    expect(fault('networks: { h100-sxm: { nvlink: { kind: torus } } }')).to.match(
      /nvlink\.kind: unknown field/,
    );
    expect(fault('networks: { h100-sxm: { nvlink: { efficiency: many } } }')).to.match(
      /networks\.h100-sxm\.nvlink\.efficiency: expected a number/,
    );
    expect(fault('stacks: { megatron: { tpExpose: 1 } }')).to.match(
      /stacks\.megatron\.tpExpose: unknown field/,
    );
    expect(fault('stacks: { nemotron: {} }')).to.match(/unknown stack preset/);
    expect(fault('devices: { h100-sxm: { __proto__: { memoryEfficiency: 0.5 } } }')).to.match(
      /__proto__: unknown field/,
    );
    expect(fault('device: {}')).to.match(/device: unknown field \(did you mean devices/);
  });

  it('of another schema version, or no calibration at all, is refused', () => {
    const path = join(folder, 'other.yaml');
    const line = (text: string): string => {
      writeFileSync(path, text);
      try {
        loadCalibration(path);
      } catch (e) {
        return (e as PartitionError).line();
      }
      throw new Error('expected a PartitionError');
    };
    expect(line('schemaVersion: 2\nname: x')).to.match(/schemaVersion: expected 1, found 2 .*newer release/);
    expect(line('groups: []')).to.match(/schemaVersion: expected an integer/);
    expect(line('schemaVersion: 1')).to.match(/name: expected text/);
    expect(line('[1, 2')).to.match(/expected YAML/);
    expect(line('- 1')).to.match(/expected a map/);
  });
});
