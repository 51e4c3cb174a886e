import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { PartitionError } from '../../src/util/errors.js';

const example = (name: string): string =>
  fileURLToPath(new URL(`../../graphs/clusters/${name}`, import.meta.url));

function faultOf(run: () => unknown): PartitionError {
  try {
    run();
  } catch (e) {
    expect(e).to.be.instanceOf(PartitionError);
    return e as PartitionError;
  }
  throw new Error('expected a PartitionError');
}

describe('loading a cluster', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'cluster-'))));
  after(() => rmSync(folder, { recursive: true }));

  /** Loads a cluster from the text of a YAML file. */
  function load(text: string, devices?: number) {
    const path = join(folder, 'cluster.yaml');
    writeFileSync(path, text);
    return loadCluster(path, devices);
  }

  it('sizes a preset to the devices asked for', () => {
    for (const devices of [1, 4, 8, 1024, 16384])
      expect(loadCluster('h100-sxm', devices).deviceCount).to.equal(devices);
    const cluster = loadCluster('h100-sxm', 1024);
    expect(cluster.groups).to.have.length(1);
    expect(cluster.groups[0].hosts).to.equal(128);
    expect(cluster.levels.map((l) => l.size)).to.deep.equal([8, 256, 1024]);
  });

  it('leaves out the levels that a small job never crosses', () => {
    expect(loadCluster('h100-sxm', 4).levels.map((l) => l.name)).to.deep.equal(['nvlink']);
    expect(loadCluster('h100-sxm', 16).levels.map((l) => l.name)).to.deep.equal(['nvlink', 'rail']);
  });

  it('uses 64 of the 72 devices of an NVLink rack when that divides the job', () => {
    expect(loadCluster('gb200-nvl72', 1024).levels[0].size).to.equal(64);
    expect(loadCluster('gb200-nvl72', 144).levels[0].size).to.equal(72);
  });

  it('takes an equal share of every host when the count is not a multiple of it, and says so', () => {
    const cluster = loadCluster('h100-sxm', 12);
    expect(cluster.groups[0]).to.include({ hosts: 2, devicesPerHost: 6, deviceCount: 12 });
    expect(cluster.notes[0]).to.match(/6 of 8 devices/);
  });

  it('cuts TPU slices out of a torus and joins pods by the data-centre network', () => {
    const slice = loadCluster('tpu-v5p', 1024).levels;
    expect(slice).to.have.length(1);
    expect(slice[0].torus).to.deep.equal({ shape: [8, 8, 16], wraps: [true, true, true] });
    const pods = loadCluster('tpu-v5p', 16384).levels;
    expect(pods.map((l) => l.size)).to.deep.equal([4096, 16384]);
    expect(loadCluster('tpu-v5e', 64).levels[0].torus!.wraps).to.deep.equal([false, false]);
  });

  it('accepts the names under which hardware is commonly known, in any case', () => {
    expect(loadCluster('A100-80GB', 8).name).to.equal('a100-80gb');
    expect(loadCluster('H100', 8).name).to.equal('h100-sxm');
  });

  it('names near presets for a slip of the pen', () => {
    const fault = faultOf(() => loadCluster('h100-smx', 8));
    expect(fault.code).to.equal('usage');
    expect(fault.line()).to.contain('unknown cluster preset "h100-smx"').and.contain('did you mean h100-sxm');
  });

  it('lists the presets when nothing is near', () => {
    expect(faultOf(() => loadCluster('zzzzzzzz', 8)).line()).to.contain('a100-80gb');
  });

  it('refuses a device count that is not a positive integer', () => {
    for (const devices of [0, -1, 1.5, NaN])
      expect(faultOf(() => loadCluster('h100', devices)).code).to.equal('usage');
  });

  it('loads unlike groups and lets the weakest rule the network between them', () => {
    const cluster = loadCluster(example('mixed-a100-h100.yaml'));
    expect(cluster.deviceCount).to.equal(96);
    expect(cluster.groups.map((g) => [g.name, g.deviceCount, g.firstRank])).to.deep.equal([
      ['h100', 32, 0],
      ['a100', 64, 32],
    ]);
    expect(cluster.levels[0].bytesPerSecPerDevice).to.equal(300e9);
    expect(cluster.levels.at(-1)!.size).to.be.at.least(96);
    expect(cluster.levels.at(-1)!.bytesPerSecPerDevice).to.equal(25e9);
  });

  it('sets missing and slow devices apart in groups of equal hosts', () => {
    const cluster = loadCluster(example('h100-oversubscribed.yaml'));
    expect(cluster.deviceCount).to.equal(16 * 8 - 1 - 8);
    expect(cluster.missingCount).to.equal(9);
    expect(cluster.groups.map((g) => [g.hosts, g.devicesPerHost, g.speed])).to.deep.equal([
      [13, 8, 1],
      [1, 7, 1],
      [1, 8, 0.8],
    ]);
    expect(cluster.groups[0].hostIds).to.not.include.members([3, 7, 11]);
    const nominal = cluster.groups[0].device.peakFlopPerSec.bf16;
    expect(cluster.groups[2].device.peakFlopPerSec.bf16).to.equal(nominal * 0.8);
    expect(cluster.slow).to.deep.equal([{ rank: 118, factor: 0.8 }]);
    expect(cluster.groups[0].levels.find((l) => l.name === 'spine')!.oversubscription).to.equal(4);
  });

  it('takes healthy whole hosts first when fewer devices are asked for', () => {
    const cluster = loadCluster(example('h100-oversubscribed.yaml'), 104);
    expect(cluster.groups).to.have.length(1);
    expect(cluster.slow).to.deep.equal([]);
  });

  it('says how many devices there are when more are asked for', () => {
    const fault = faultOf(() => loadCluster(example('mixed-a100-h100.yaml'), 128));
    expect(fault.code).to.equal('usage');
    expect(fault.message).to.contain('96').and.contain('128');
  });

  it('reads hosts of unequal size', () => {
    const cluster = load('groups: [{ preset: h100-sxm, devicesPerHost: [8, 8, 4] }]');
    expect(cluster.groups.map((g) => [g.hosts, g.devicesPerHost])).to.deep.equal([
      [2, 8],
      [1, 4],
    ]);
  });

  it('reads a device and a network of the user’s own', () => {
    const cluster = load(`
devices:
  own:
    peakTflops: { fp32: 10, bf16: { value: 100, source: a label } }
    memoryGiB: 24
    memoryGBps: 600
    cores: 48
    tdpWatt: 200
groups:
  - { device: own, hosts: 2, devicesPerHost: 4, network: [{ name: pcie, kind: switch, devices: host, GBps: 25 }, { name: ethernet, kind: nic, devices: all, GBps: 3 }] }
`);
    expect(cluster.deviceCount).to.equal(8);
    const device = cluster.groups[0].device;
    expect(device.runsAs.fp8).to.equal('bf16');
    expect(device.achievableFlopPerSec.bf16).to.equal(80e12);
    expect(cluster.sources.some((s) => s.source === 'a label' && s.value === 100)).to.equal(true);
  });

  const broken: readonly [string, string, RegExp][] = [
    ['a list instead of a map', '[1, 2]', /document: expected a map, found \[1,2\]/],
    ['nothing', '', /document: expected a map, found nothing/],
    ['no groups', 'name: x', /groups: expected a list, found nothing/],
    ['an empty list of groups', 'groups: []', /groups: expected at least one group/],
    [
      'text for a number',
      'groups: [{ preset: h100, hosts: four }]',
      /groups\[0\]\.hosts: expected an integer .* found "four"/,
    ],
    [
      'a negative number',
      'groups: [{ preset: h100, hosts: -1 }]',
      /groups\[0\]\.hosts: expected an integer .* found -1/,
    ],
    ['a fraction of a host', 'groups: [{ preset: h100, hosts: 1.5 }]', /expected an integer .* found 1.5/],
    [
      'an unknown field',
      'groups: [{ preset: h100, host: 4 }]',
      /groups\[0\]\.host(s: expected|: unknown field)/,
    ],
    [
      'a misspelt field',
      'groups: [{ preset: h100, hosts: 4 }]\nslwo: []',
      /slwo: unknown field \(did you mean slow/,
    ],
    ['an unknown preset', 'groups: [{ preset: h101, hosts: 4 }]', /unknown cluster preset "h101"/],
    [
      'an unknown device',
      'groups: [{ device: h101, hosts: 4, devicesPerHost: 8 }]',
      /unknown device preset "h101"/,
    ],
    [
      'a missing host that does not exist',
      'groups: [{ preset: h100, hosts: 2 }]\nmissing: [{ host: 2 }]',
      /missing\[0\]\.host: expected an integer between 0 and 1, found 2/,
    ],
    [
      'a factor above one',
      'groups: [{ preset: h100, hosts: 2 }]\nslow: [{ host: 0, factor: 2 }]',
      /slow\[0\]\.factor: expected a number between/,
    ],
    [
      'a level without bandwidth',
      'groups: [{ device: h100, hosts: 1, devicesPerHost: 8, network: [{ name: x, kind: nic, devices: all }] }]',
      /network\[0\]\.GBps: expected a number/,
    ],
    [
      'a torus without a shape',
      'groups: [{ device: h100, hosts: 1, devicesPerHost: 8, network: [{ name: x, kind: torus, devices: all, GBps: 1 }] }]',
      /network\[0\]\.torus: expected a map/,
    ],
    [
      'a source without a value',
      'groups: [{ preset: h100, hosts: 1, hostWatt: { source: x } }]',
      /hostWatt\.value: expected a number/,
    ],
    ['broken YAML', 'groups: [{', /expected YAML/],
    [
      'an alias bomb',
      'a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]',
      /expected YAML/,
    ],
  ];
  for (const [what, text, expected] of broken)
    it(`refuses ${what} in one line that names file and field`, () => {
      const fault = faultOf(() => load(text));
      expect(fault.line()).to.match(expected).and.to.contain('cluster.yaml');
      expect(fault.line()).to.not.contain('\n');
      expect(fault.code).to.equal('input');
    });

  it('refuses a missing file and a directory', () => {
    expect(faultOf(() => loadCluster(join(folder, 'absent.yaml'))).line()).to.match(
      /absent\.yaml: no such file/,
    );
    expect(faultOf(() => loadCluster(`${folder}/`)).line()).to.match(/found a directory/);
  });
});
