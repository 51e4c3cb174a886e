import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { loadDevice } from '../../src/cluster/index.js';
import { SyntheticProfile } from '../support/syntheticProfile.js';
import { expectOneLine, expectValid, gpt2, partition, root, scratchFolder } from './support.js';

describe('partition calibrate', function () {
  this.timeout(60_000);
  const folder = scratchFolder('calibrate');
  const table = join(root, 'test/cost/nccl-allreduce-single-node.csv');

  it('writes a calibration that plans and simulations take, and a plan says which one', async () => {
    const fitted = await partition(['calibrate', table, '--device', 'A100', '--out', 'ours.yaml'], folder());
    expect(fitted.stderr).to.equal('');
    expect(fitted.code).to.equal(0);
    expect(fitted.stdout).to.match(
      /network of a100-80gb: 140 samples, mean error \d\.\d% before, \d\.\d% after/,
    );
    expect(fitted.stdout).to.match(/nvlink\.latencyUs +4\.5 +\d\.\d+/);
    expect(fitted.stdout).to.match(/left alone: the samples hardly depend on it/);
    expect(fitted.stdout).to.match(/written to ours\.yaml/);
    expectValid('calibration', parse(readFileSync(join(folder(), 'ours.yaml'), 'utf8')));
    const plan = (more: string[], out: string) =>
      partition(
        [
          gpt2,
          '--devices',
          '8',
          '--cluster',
          'a100',
          '--seq',
          '256',
          '--budget',
          '40ev',
          '--out',
          out,
          ...more,
        ],
        folder(),
      );
    expect((await plan(['--calibration', 'ours.yaml'], 'with')).code).to.equal(0);
    expect((await plan([], 'without')).code).to.equal(0);
    const read = (name: string) =>
      JSON.parse(readFileSync(join(folder(), name, 'plan.json'), 'utf8')) as {
        cluster: { digest: string };
        calibration?: { name: string; digest: string };
      };
    const planned = read('with');
    expectValid('plan', planned);
    expect(planned.calibration?.name).to.equal('ours');
    expect(planned.cluster.digest).to.not.equal(read('without').cluster.digest);
    expect(read('without')).to.not.have.property('calibration');
    const shown = await partition(['clusters', 'a100', '--calibration', 'ours.yaml'], folder());
    expect(shown.stdout)
      .to.match(/nvlink|network/)
      .and.match(/140 collectives of nccl-allreduce-single-node\.csv/);
    const simulated = await partition(['simulate', gpt2, 'with/plan.json'], folder());
    expect(simulated.stderr).to.match(/priced with calibration ours, this is with none: give --calibration/);
    const same = await partition(
      ['simulate', gpt2, 'with/plan.json', '--calibration', 'ours.yaml', '--json'],
      folder(),
    );
    expect(same.stderr).to.not.match(/calibration/);
    const { estimateSec, plannedSec } = JSON.parse(same.stdout) as {
      estimateSec: number;
      plannedSec: number;
    };
    expect(estimateSec).to.equal(plannedSec);
  });

  it('prints what is published with --json, for collectives and for a trace', async () => {
    const trace = new SyntheticProfile(loadDevice('h100-sxm'), 1, 0.02);
    for (const k of [256, 1024, 4096, 8192]) trace.gemm('bf16', 8192, 4096, k).gemm('bf16', 4096, 4096, k);
    writeFileSync(join(folder(), 'trace.json'), trace.text('NVIDIA H100 80GB HBM3'));
    for (const [file, kind] of [
      [table, 'collective'],
      ['trace.json', 'profile'],
    ]) {
      const { code, stdout, stderr } = await partition(['calibrate', file, '--json'], folder());
      expect(code, stderr).to.equal(0);
      const summary = JSON.parse(stdout) as { kind: string; calibrationPath: string | null };
      expectValid('calibrate', summary);
      expect(summary.kind).to.equal(kind);
      expect(summary.calibrationPath).to.equal(null);
    }
  });

  it('explains itself with examples', async () => {
    const { code, stdout } = await partition(['calibrate', '--help'], folder());
    expect(code).to.equal(0);
    expect(stdout)
      .to.match(/partition calibrate all_reduce_perf\.txt/)
      .and.match(/record_shapes=True/);
  });

  it('refuses wrong usage and bad files in one line, and writes nothing', async () => {
    expectOneLine(await partition(['calibrate'], folder()), 2, /expected a file of measurements/);
    expectOneLine(
      await partition(['calibrate', 'no.csv', '--out', 'x.yaml'], folder()),
      3,
      /no\.csv: no such file/,
    );
    expectOneLine(
      await partition(['calibrate', table, '--kind', 'guess'], folder()),
      2,
      /--kind: expected one of rows, collective, profile, found guess/,
    );
    expectOneLine(
      await partition(['calibrate', table, '--kind', 'profile', '--out', 'x.yaml'], folder()),
      3,
      /found none|traceEvents/,
    );
    expectOneLine(
      await partition(['calibrate', table, '--calibration', 'no.yaml'], folder()),
      3,
      /no\.yaml: no such file/,
    );
    expectOneLine(
      await partition(['calibrate', table, '--out', '/proc/nowhere/x.yaml'], folder()),
      2,
      /cannot write/,
    );
    writeFileSync(join(folder(), 'bad.yaml'), 'schemaVersion: 1\nname: x\ndevices: { h100: { speed: 3 } }\n');
    expectOneLine(
      await partition([gpt2, '--devices', '8', '--calibration', 'bad.yaml'], folder()),
      3,
      /bad\.yaml: devices\.h100-sxm\.speed: unknown field/,
    );
    expect(existsSync(join(folder(), 'x.yaml'))).to.equal(false);
  });
});
