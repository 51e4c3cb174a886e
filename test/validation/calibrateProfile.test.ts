import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Device } from '../../src/cluster/index.js';
import { loadCluster, loadDevice } from '../../src/cluster/index.js';
import { loadCalibration } from '../../src/cost/calibration.js';
import { PartitionError } from '../../src/util/errors.js';
import { calibrate } from '../../src/validation/calibrate.js';
import { attentionOf, elementwiseBytes, gemmOf, torchPrecision } from '../../src/validation/profileOps.js';
import { readTraceEvents } from '../../src/validation/profileReader.js';
import { readProfile } from '../../src/validation/profileSamples.js';
import { SyntheticProfile } from '../support/syntheticProfile.js';

/** An H100 that is not the preset. */
function oddDevice(): Device {
  const preset = loadDevice('h100-sxm');
  return {
    ...preset,
    achievableFlopPerSec: { ...preset.achievableFlopPerSec, bf16: 610e12, fp16: 610e12, fp8: 1000e12 },
    contractionHalfLength: 210,
    memoryEfficiency: 0.71,
    launchOverheadSec: 4.4e-6,
    attention: {
      forwardFraction: 0.5,
      forwardHalfLength: 300,
      backwardFraction: 0.41,
      backwardHalfLength: 500,
    },
  };
}

function oddTrace(noise: number): SyntheticProfile {
  const profile = new SyntheticProfile(oddDevice(), 1.3, noise);
  for (let step = 0; step < 3; step++) {
    for (const [m, n, k] of [
      [8192, 8192, 256],
      [8192, 4096, 1024],
      [8192, 4096, 4096],
      [8192, 14336, 4096],
      [8192, 4096, 14336],
      [4096, 128256, 8192],
      [2048, 2048, 512],
    ]) {
      profile.gemm('bf16', m, n, k);
      profile.gemm('fp8', m, n, k, 1, 2);
    }
    profile.gemm('bf16', 1024, 1024, 128, 32);
    for (const s of [512, 1024, 2048, 4096, 16384])
      for (const backward of [false, true]) profile.attention(2, 32, 8, s, 128, backward);
    for (const elements of [1 << 10, 1 << 14, 1 << 17, 1 << 25, 1 << 26, 1 << 28])
      profile.elementwise(elements);
  }
  return profile;
}

describe('calibration from a profiler trace', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'profile-'))));
  after(() => rmSync(folder, { recursive: true }));

  function file(name: string, content: string | Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  async function fault(path: string, options: { device?: string } = {}): Promise<string> {
    try {
      await calibrate({ file: path, ...options });
    } catch (e) {
      expect(e).to.be.instanceOf(PartitionError);
      expect((e as PartitionError).line()).to.not.match(/\n|undefined|NaN|\[object/);
      return (e as PartitionError).line();
    }
    throw new Error('expected a PartitionError');
  }

  /** The device under the calibration of a trace. */
  async function calibrated(path: string): Promise<Device> {
    const { yaml } = await calibrate({ file: path });
    return loadDevice('h100-sxm', [], 'device', 'usage', loadCalibration(file('fitted.yaml', yaml)));
  }

  it('recovers the numbers of the device that made it', async () => {
    const found = await calibrated(file('odd.json', oddTrace(0).text('NVIDIA H100 80GB HBM3')));
    const truth = oddDevice();
    expect(found.achievableFlopPerSec.bf16 / truth.achievableFlopPerSec.bf16).to.be.closeTo(1, 0.01);
    expect(found.achievableFlopPerSec.fp8 / truth.achievableFlopPerSec.fp8).to.be.closeTo(1, 0.01);
    expect(found.contractionHalfLength / truth.contractionHalfLength).to.be.closeTo(1, 0.05);
    expect(found.memoryEfficiency / truth.memoryEfficiency).to.be.closeTo(1, 0.01);
    expect(found.launchOverheadSec / truth.launchOverheadSec).to.be.closeTo(1, 0.02);
    expect(found.attention.forwardFraction / truth.attention.forwardFraction).to.be.closeTo(1, 0.02);
    expect(found.attention.forwardHalfLength / truth.attention.forwardHalfLength).to.be.closeTo(1, 0.1);
    expect(found.attention.backwardFraction / truth.attention.backwardFraction).to.be.closeTo(1, 0.02);
    expect(found.attention.backwardHalfLength / truth.attention.backwardHalfLength).to.be.closeTo(1, 0.1);
  });

  it('does so within a few percent when times scatter, from a gzipped trace, the same every time', async () => {
    const path = file('noisy.json.gz', gzipSync(oddTrace(0.04).text('NVIDIA H100 80GB HBM3')));
    const found = await calibrated(path);
    const truth = oddDevice();
    expect(found.achievableFlopPerSec.bf16 / truth.achievableFlopPerSec.bf16).to.be.closeTo(1, 0.06);
    expect(found.memoryEfficiency / truth.memoryEfficiency).to.be.closeTo(1, 0.06);
    expect(found.attention.forwardFraction / truth.attention.forwardFraction).to.be.closeTo(1, 0.1);
    expect((await calibrate({ file: path })).yaml).to.equal((await calibrate({ file: path })).yaml);
  });

  it('fits the network to the fastest of equal collectives', async () => {
    const plain = loadCluster('h100-sxm', 64);
    const levels = plain.levels.map((level, l) =>
      l === 1 ? { ...level, efficiency: 0.6 } : { ...level, inSwitchReduction: null, efficiency: 0.5 },
    );
    const profile = new SyntheticProfile(loadDevice('h100-sxm'), 1, 0);
    for (let i = 0; i < 40; i++)
      for (const bytes of [1e6, 16e6, 256e6]) {
        profile.collective('allGather', bytes * 8, 8, 1, { ...plain, levels });
        profile.collective('reduceScatter', bytes * 8, 8, 8, { ...plain, levels });
      }
    const path = file('nccl.json', profile.text('NVIDIA H100 80GB HBM3'));
    const { yaml, parts } = await calibrate({ file: path });
    expect(parts.map((p) => p.title)).to.deep.equal(['network of h100-sxm']);
    expect(parts[0].errorAfter).to.be.below(0.03);
    const fitted = loadCluster('h100-sxm', 64, loadCalibration(file('net.yaml', yaml))).levels;
    expect(fitted[0].efficiency).to.be.closeTo(0.5, 0.03);
    expect(fitted[1].efficiency).to.be.closeTo(0.6, 0.04);
  });

  it('leaves alone what the trace cannot tell, and says so', async () => {
    const profile = new SyntheticProfile(loadDevice('h100-sxm'), 1, 0.01);
    for (let i = 0; i < 5; i++) profile.gemm('bf16', 8192, 8192, 4096).gemm('bf16', 8192, 4096, 4096);
    const { parts, notes } = await calibrate({
      file: file('gemms.json', profile.text('NVIDIA H100 80GB HBM3')),
    });
    expect(parts).to.have.length(1);
    const half = parts[0].parameters.find((p) => p.name === 'contractionHalfLength')!;
    expect(half.fitted).to.equal(false);
    expect(half.after).to.equal(half.before);
    expect(half.reason).to.match(/equally long/);
    expect(notes.join('\n'))
      .to.match(/no memory-bound kernels/)
      .and.match(/no attention forward/);
  });

  it('keeps the numbers of the calibration that it starts from', async () => {
    const base = file(
      'base.yaml',
      'schemaVersion: 1\nname: base\ndevices: { h100-sxm: { memoryEfficiency: 0.6 }, h200: { memoryEfficiency: 0.7 } }',
    );
    const profile = new SyntheticProfile(oddDevice(), 1, 0);
    profile
      .gemm('bf16', 8192, 8192, 512)
      .gemm('bf16', 8192, 8192, 8192)
      .gemm('bf16', 4096, 8192, 8192)
      .gemm('bf16', 4096, 8192, 2048);
    const { yaml } = await calibrate({
      file: file('more.json', profile.text('NVIDIA H100 80GB HBM3')),
      base,
    });
    const calibration = loadCalibration(file('both.yaml', yaml));
    expect(calibration.devices.get('h200')).to.deep.equal({ memoryEfficiency: 0.7 });
    expect(calibration.devices.get('h100-sxm')).to.have.property('memoryEfficiency', 0.6);
    expect(calibration.devices.get('h100-sxm')).to.have.nested.property('achievableTflops.bf16.value');
  });

  it('tells boards of one name apart by their memory, and takes the device that the user names', async () => {
    const profile = new SyntheticProfile(loadDevice('a100-40gb'), 1, 0);
    for (const k of [512, 2048, 8192]) profile.gemm('bf16', 8192, 8192, k).gemm('bf16', 4096, 4096, k);
    const text = profile.text('NVIDIA A100-SXM4-40GB', 42e9);
    expect((await calibrate({ file: file('a100.json', text) })).parts[0].title).to.match(/on a100-40gb$/);
    const unnamed = file('unnamed.json', text.replace(/"deviceProperties": \[[^\]]*\],/, ''));
    expect(await fault(unnamed)).to.match(/does not say on what device .*--device/);
    expect((await calibrate({ file: unnamed, device: 'a100' })).parts[0].title).to.match(/on a100-80gb$/);
    expect(await fault(unnamed, { device: 'k80' })).to.match(/unknown device preset "k80"/);
  });

  it('refuses what is no trace, is cut off, broken, or holds nothing to fit, each in a line', async () => {
    const good = oddTrace(0).text('NVIDIA H100 80GB HBM3');
    expect(await fault(file('half.json', good.slice(0, good.length / 2)))).to.match(
      /ends in the middle, after \d+ events: it was cut off/,
    );
    const zipped = gzipSync(good);
    expect(await fault(file('half.json.gz', zipped.subarray(0, zipped.length / 2)))).to.match(/cut off/);
    const damaged = Buffer.from(zipped);
    damaged.fill(7, damaged.length >> 1, (damaged.length >> 1) + 50);
    expect(await fault(file('damaged.json.gz', damaged))).to.match(
      /gzip file is damaged|expected JSON|cut off|do not match/,
    );
    expect(await fault(file('object.json', '{"a": [1, 2]}'))).to.match(
      /expected a profiler trace with "traceEvents", found none/,
    );
    expect(await fault(file('numbers.json', '[1, [2], 3]'))).to.match(/brackets do not match|expected/);
    expect(await fault(file('empty.json', '{"traceEvents": []}'))).to.match(/holds no device kernels/);
    expect(
      await fault(file('event.json', '{"traceEvents": [{"ph": "X", "cat": "kernel", "dur": 1..2}]}')),
    ).to.match(/event 0: expected JSON/);
    expect(
      await fault(
        file('nodur.json', '{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "args": {}}]}'),
      ),
    ).to.match(/event 0: expected numbers in ts and dur/);
    const shapeless = JSON.stringify({
      traceEvents: [
        { ph: 'X', cat: 'cpu_op', name: 'aten::mm', ts: 0, dur: 1, args: { 'External id': 1 } },
        { ph: 'X', cat: 'kernel', name: 'gemm', pid: 0, tid: 7, ts: 1, dur: 1, args: { 'External id': 1 } },
      ],
    });
    expect(await fault(file('shapeless.json', shapeless), { device: 'h100' })).to.match(
      /operators have no shapes .*record_shapes=True/,
    );
    expect(
      await fault(file('kernels.json', shapeless.replace('cpu_op', 'other')), { device: 'h100' }),
    ).to.match(/no operators/);
  });

  it('finds events across chunks, with brackets and quotes inside of strings, in objects and bare lists', async () => {
    const events = Array.from({ length: 30_000 }, (_, i) => ({
      ph: 'X',
      name: `a "b" \\ [{${'x'.repeat(i % 97)}`,
      args: { i, deep: [[{ j: [] }]] },
    }));
    for (const [name, text] of [
      ['list.json', JSON.stringify(events)],
      [
        'object.json',
        JSON.stringify(
          { traceEventsNot: [{ a: 1 }], meta: { traceEvents: [1] }, traceEvents: events, more: [{}] },
          null,
          2,
        ),
      ],
    ] as const) {
      let next = 0;
      const head = await readTraceEvents(file(name, text), (event) => {
        expect((JSON.parse(event) as (typeof events)[number]).args.i).to.equal(next++);
      });
      expect(next).to.equal(events.length);
      expect(head.events).to.equal(events.length);
    }
  });

  it('finds the events when their name lies on the border of two chunks', async () => {
    for (const cut of [1, 5, 12, 13, 14]) {
      const head = `{"pad": "`;
      const text = `${head}${'p'.repeat(2 ** 20 - head.length - 4 - cut)}", "traceEvents": [{"i": 1}]}`;
      let seen = 0;
      await readTraceEvents(file('border.json', text), () => seen++);
      expect(seen, String(cut)).to.equal(1);
    }
  });

  it('reads operators as their schemas say', () => {
    const call = (name: string, dims: unknown[], types: unknown[], concrete: unknown[] = []) => ({
      name,
      dims,
      types,
      concrete,
    });
    expect(
      gemmOf(call('aten::addmm', [[7], [5, 3], [3, 7]], ['float', 'c10::Half', 'c10::Half'])),
    ).to.deep.equal({ precision: 'fp16', batch: 1, m: 5, n: 7, k: 3 });
    expect(
      gemmOf(
        call(
          'aten::bmm',
          [
            [4, 5, 3],
            [4, 3, 7],
          ],
          ['float', 'float'],
        ),
      ),
    ).to.include({ batch: 4, m: 5, n: 7, k: 3 });
    expect(
      gemmOf(
        call(
          'aten::mm',
          [
            [5, 3],
            [4, 7],
          ],
          ['float', 'float'],
        ),
      ),
    ).to.equal(null);
    expect(gemmOf(call('aten::mm', [[5, 3]], ['float']))).to.equal(null);
    expect(
      gemmOf(
        call(
          'toString',
          [
            [5, 3],
            [3, 7],
          ],
          ['float', 'float'],
        ),
      ),
    ).to.equal(null);
    const q = [2, 16, 512, 64];
    const sdpa = call(
      'aten::_scaled_dot_product_flash_attention',
      [q, [2, 4, 1024, 64], [2, 4, 1024, 64]],
      ['c10::BFloat16'],
      ['', '', '', '0.', 'False'],
    );
    expect(attentionOf(sdpa)).to.deep.equal({
      precision: 'bf16',
      batch: 2,
      heads: 16,
      kvHeads: 4,
      queries: 512,
      keys: 1024,
      headDim: 64,
      causal: false,
      backward: false,
    });
    expect(attentionOf({ ...sdpa, concrete: [] })).to.equal(null);
    expect(
      elementwiseBytes(
        call(
          'aten::copy_',
          [
            [10, 10],
            [10, 10],
          ],
          ['float', 'c10::BFloat16'],
        ),
      ),
    ).to.equal(600);
    expect(elementwiseBytes(call('aten::mul', [[10, 10], [10]], ['float', 'float']))).to.equal(
      400 + 40 + 400,
    );
    expect(torchPrecision('c10::Float8_e4m3fn')).to.equal('fp8');
    expect(torchPrecision('long int')).to.equal(null);
  });

  it('counts the time of an operator over all of its kernels, through launches where kernels do not name it', async () => {
    const profile = new SyntheticProfile(loadDevice('h100-sxm'), 1, 0);
    for (let i = 0; i < 12; i++) profile.gemm('bf16', 4096, 4096, 4096, 1, 3);
    const { gemms, gapSec, explainedShare, kernels } = await readProfile(
      file('three.json', profile.text('NVIDIA H100 80GB HBM3')),
    );
    expect(kernels).to.equal(36);
    expect(gemms.map((g) => g.runs)).to.deep.equal([12]);
    expect(gapSec).to.be.closeTo(1e-6, 2e-9);
    expect(explainedShare).to.be.closeTo(1, 1e-9);
  });
});
