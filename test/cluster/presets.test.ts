import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { expect } from 'chai';
import { parse } from 'yaml';
import { listDevices, listPresets, loadCluster, loadDevice, PRECISIONS } from '../../src/cluster/index.js';
import { dataPath } from '../../src/util/files.js';

const REQUIRED = [
  'a100-40gb',
  'a100-80gb',
  'b200',
  'gb200-nvl72',
  'gb300-nvl72',
  'h100-sxm',
  'h200',
  'mi250x',
  'mi300x',
  'tpu-v4',
  'tpu-v5e',
  'tpu-v5p',
  'tpu-v6e',
  'tpu7x',
  'v100-32gb',
];

function validator(definition: string | null) {
  const schema = JSON.parse(readFileSync(dataPath('schemas/cluster.schema.json'), 'utf8')) as object;
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
  const root = ajv.compile(schema);
  if (definition === null) return root;
  const id = (schema as { $id: string }).$id;
  return ajv.getSchema(`${id}#/definitions/${definition}`)!;
}

describe('presets', () => {
  it('cover the accelerators in use', () => {
    expect(listPresets().map((p) => p.name)).to.include.members(REQUIRED);
  });

  it('carry a source for every figure that they write with one, and many of them', () => {
    for (const preset of listPresets()) {
      expect(preset.sources.length, preset.name).to.be.at.least(25);
      for (const figure of preset.sources)
        expect(figure.source.length, `${preset.name} ${figure.field}`).to.be.above(3);
    }
  });

  it('satisfy the published schema, and so do the example files', () => {
    const cluster = validator(null);
    const device = validator('device');
    const check = (validate: typeof cluster, path: string): void => {
      const ok = validate(parse(readFileSync(path, 'utf8')));
      expect(ok, `${path}: ${JSON.stringify(validate.errors?.[0])}`).to.equal(true);
    };
    for (const folder of ['../../src/data/clusters/', '../../graphs/clusters/']) {
      const root = fileURLToPath(new URL(folder, import.meta.url));
      for (const file of readdirSync(root).filter((f) => f.endsWith('.yaml'))) check(cluster, root + file);
    }
    const root = fileURLToPath(new URL('../../src/data/devices/', import.meta.url));
    for (const file of readdirSync(root)) check(device, root + file);
  });

  it('have physical devices: achievable within peak, idle below busy below the limit', () => {
    for (const name of listDevices()) {
      const device = loadDevice(name);
      for (const precision of PRECISIONS) {
        expect(device.achievableFlopPerSec[precision], `${name} ${precision}`).to.be.above(0);
        expect(device.achievableFlopPerSec[precision]).to.be.at.most(device.peakFlopPerSec[precision]);
      }
      expect(device.peakFlopPerSec.bf16, name).to.be.at.least(device.peakFlopPerSec.fp32);
      expect(device.idleWatt, name).to.be.below(device.networkWatt);
      expect(device.networkWatt, name).to.be.below(device.memoryWatt);
      expect(device.memoryWatt, name).to.be.below(device.matrixWatt);
      expect(device.matrixWatt, name).to.be.at.most(device.tdpWatt);
      expect(device.reservedBytes, name).to.be.below(device.memoryBytes / 8);
      expect(Number.isSafeInteger(device.memoryBytes)).to.equal(true);
    }
  });

  it('run a precision that the hardware lacks as the next best', () => {
    expect(loadDevice('v100').runsAs.bf16).to.equal('fp16');
    expect(loadDevice('a100').runsAs.fp8).to.equal('bf16');
    expect(loadDevice('h100').runsAs.fp4).to.equal('fp8');
    expect(loadDevice('h100').runsAs.fp8).to.equal('fp8');
  });

  it('nest their levels at every size', () => {
    for (const { name } of listPresets())
      for (const devices of [1, 2, 7, 8, 12, 64, 96, 1000, 1024, 16384]) {
        const cluster = loadCluster(name, devices);
        expect(cluster.deviceCount, `${name} ${devices}`).to.equal(devices);
        const sizes = cluster.levels.map((l) => l.size);
        for (let l = 1; l < sizes.length; l++)
          expect(sizes[l] % sizes[l - 1], `${name} ${devices} ${sizes.join()}`).to.equal(0);
        expect(sizes.at(-1), `${name} ${devices}`).to.be.at.least(devices);
        for (const level of cluster.levels)
          if (level.torus !== null) expect(level.torus.shape.reduce((a, b) => a * b, 1)).to.equal(level.size);
      }
  });
});
