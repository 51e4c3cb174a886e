import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { loadCluster } from '../../src/cluster/index.js';
import { loadCalibration } from '../../src/cost/calibration.js';
import { collectiveTimeSec } from '../../src/cost/collective.js';
import { loadStack } from '../../src/cost/stack.js';
import { PartitionError } from '../../src/util/errors.js';
import { calibrate } from '../../src/validation/calibrate.js';
import { collectiveKind, isNcclTests, readCollectiveTable } from '../../src/validation/collectiveTable.js';
import { readCsv } from '../../src/validation/csv.js';
import { fitParameters } from '../../src/validation/fit.js';
import { Predictor } from '../../src/validation/predict.js';
import { readRows } from '../../src/validation/row.js';

const table = fileURLToPath(new URL('../cost/nccl-allreduce-single-node.csv', import.meta.url));

/** What a program of nccl-tests prints for these times in microseconds. */
function ncclTests(
  program: string,
  hosts: number,
  perHost: number,
  rows: readonly (readonly [number, number])[],
): string {
  const ranks = hosts * perHost;
  const lines = [
    '# nThread 1 nGpus 1 minBytes 8 maxBytes 1073741824 step: 2(factor) warmup iters: 5 iters: 20',
    '#',
    '# Using devices',
  ];
  for (let r = 0; r < ranks; r++)
    lines.push(
      `#  Rank ${String(r).padStart(2)} Group  0 Pid ${3000 + r} on  node${Math.floor(r / perHost)} device ${String(r % perHost).padStart(2)} [0x07] NVIDIA H100 80GB HBM3`,
    );
  if (program !== '') lines.push(`# Collective test starting: ${program}`);
  lines.push(
    '#',
    '#                                                              out-of-place                       in-place          ',
    '#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong',
    '#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)       ',
  );
  for (const [bytes, us] of rows) {
    const algbw = bytes / us / 1e3;
    const busbw = (algbw * 2 * (ranks - 1)) / ranks;
    lines.push(
      `${bytes}  ${bytes / 4}  float  sum  -1  ${us.toPrecision(4)}  ${algbw.toFixed(2)}  ${busbw.toFixed(2)}  0  ${us.toPrecision(4)}  ${algbw.toFixed(2)}  ${busbw.toFixed(2)}  0`,
    );
  }
  return [...lines, '# Out of bounds values : 0 OK', '# Avg bus bandwidth    : 100.0', '#', ''].join('\n');
}

describe('fits of a few parameters', () => {
  const sizes = [1, 10, 100, 1000, 10_000, 100_000];
  const line = ([start, slope]: readonly number[], out: Float64Array): void =>
    sizes.forEach((n, i) => (out[i] = start + slope * n));
  const truth = Float64Array.from(sizes, (n) => 50 + 0.02 * n);
  const start = { name: 'start', prior: 20, lower: 1, upper: 1000 };
  const slope = { name: 'slope', prior: 0.05, lower: 0.001, upper: 1 };

  it('fits all that is asked for, to the figures asked for, whatever one absurd sample says', () => {
    const spoilt = truth.slice();
    spoilt[2] *= 1000;
    const options = { all: true, errorCap: 0.7, digits: 3, pull: 0.004 };
    const range = (value: number, prior: number, p: { lower: number; upper: number }): number =>
      ((value - prior) / (p.upper - p.lower)) ** 2;
    const idle = { name: 'idle', prior: 3.14159, lower: 1, upper: 10 };
    const fit = fitParameters([start, slope, idle], line, spoilt, { ...options, distance: range });
    expect(fit.values).to.deep.equal([50, 0.02, 3.14]);
    expect(fit.errorAfter).to.be.closeTo(0.7 / 6, 1e-3);
  });

  it('find the parameters that made the samples', () => {
    const fit = fitParameters([start, slope], line, truth);
    expect(fit.values[0]).to.be.closeTo(50, 0.5);
    expect(fit.values[1]).to.be.closeTo(0.02, 0.0002);
    expect(fit.errorAfter).to.be.below(0.01).and.below(fit.errorBefore);
    expect(fit.parameters.every((p) => p.fitted && p.reason === null)).to.equal(true);
  });

  it('leave alone what has no influence, what is lacking, and what is right already', () => {
    const idle = { name: 'idle', prior: 3, lower: 1, upper: 9 };
    const lacking = { ...start, prior: 50, lacking: 'nobody measured it' };
    const fit = fitParameters([lacking, slope, idle], line, truth);
    expect(fit.parameters[0]).to.deep.equal({
      name: 'start',
      before: 50,
      after: 50,
      fitted: false,
      reason: 'nobody measured it',
    });
    expect(fit.parameters[1].fitted).to.equal(true);
    expect(fit.parameters[2]).to.include({
      after: 3,
      fitted: false,
      reason: 'the samples hardly depend on it',
    });
    const right = fitParameters(
      [
        { ...start, prior: 50 },
        { ...slope, prior: 0.02 },
      ],
      line,
      truth,
    );
    expect(right.parameters.map((p) => p.fitted)).to.deep.equal([false, false]);
    expect(right.values).to.deep.equal([50, 0.02]);
  });

  it('fit no more numbers than the samples can bear, the most telling first', () => {
    const one = (values: readonly number[], out: Float64Array): void => {
      out[0] = values[0] + values[1] * 1000;
    };
    const fit = fitParameters([start, slope], one, [200]);
    expect(fit.parameters.map((p) => p.fitted)).to.deep.equal([false, true]);
    expect(fit.parameters[0].reason).to.match(/too few samples/);
  });

  it('count heavy samples for more', () => {
    const constant = ([c]: readonly number[], out: Float64Array): void => void out.fill(c);
    const knob = { name: 'c', prior: 3, lower: 0.1, upper: 100 };
    expect(fitParameters([knob], constant, [1, 10], { weights: [1, 5] }).values[0]).to.be.closeTo(10, 0.02);
    expect(fitParameters([knob], constant, [1, 10], { weights: [5, 1] }).values[0]).to.be.closeTo(1, 0.002);
  });
});

describe('calibration from measured collectives', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'collectives-'))));
  after(() => rmSync(folder, { recursive: true }));

  function file(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  async function fault(
    path: string,
    options: { device?: string; cluster?: string; kind?: 'rows' | 'collective' } = {},
  ): Promise<string> {
    try {
      await calibrate({ file: path, ...options });
    } catch (e) {
      expect(e).to.be.instanceOf(PartitionError);
      expect((e as PartitionError).line()).to.not.match(/\n|undefined|NaN|\[object/);
      return (e as PartitionError).line();
    }
    throw new Error('expected a PartitionError');
  }

  it('lowers the error on 280 measured all-reduces of two kinds of host', async () => {
    const { kind, parts, yaml } = await calibrate({ file: table });
    expect(kind).to.equal('collective');
    expect(parts.map((p) => [p.title, p.samples])).to.deep.equal([
      ['network of a100-80gb', 140],
      ['network of v100-8x32gb', 140],
    ]);
    for (const part of parts) {
      expect(part.errorAfter)
        .to.be.below(part.errorBefore * 0.95)
        .and.below(0.05);
      expect(part.groups).to.have.length(7);
      expect(part.groups.reduce((sum, g) => sum + g.samples, 0)).to.equal(140);
    }
    // The file holds what the table says: pricing with it gives the error after.
    const calibration = loadCalibration(file('fitted.yaml', yaml));
    const cluster = loadCluster('a100-80gb', 8, calibration);
    const own = readCollectiveTable(readFileSync(table, 'utf8'), table).filter((s) => s.device === 'A100');
    const error =
      own.reduce(
        (sum, s) =>
          sum +
          Math.abs(
            Math.log(
              collectiveTimeSec('allReduce', s.bytes, { size: s.ranks, stride: 1 }, cluster) / s.timeSec,
            ),
          ),
        0,
      ) / own.length;
    expect(error).to.be.closeTo(parts[0].errorAfter, 1e-9);
    const { value, source } = calibration.networks.get('a100-80gb')!.get('nvlink')!['latencyUs'] as {
      value: number;
      source: string;
    };
    expect(value).to.be.within(2, 6);
    expect(source).to.match(/140 collectives of nccl-allreduce-single-node\.csv/);
  });

  it('recovers the network that made what nccl-tests prints, one host and many', async () => {
    const plain = loadCluster('h100-sxm', 32);
    const levels = plain.levels.map((l, i) =>
      i === 0
        ? { ...l, latencySec: 2.1e-6, overheadSec: 31e-6, efficiency: 0.61, inSwitchReduction: null }
        : { ...l, latencySec: 15e-6, efficiency: 0.5 },
    );
    const sizes = Array.from({ length: 16 }, (_, i) => 2 ** (12 + i) * 8);
    const rows = (ranks: number): (readonly [number, number])[] =>
      sizes.map((b) => [
        b,
        collectiveTimeSec(
          'allGather',
          b,
          { size: ranks, stride: 1 },
          { deviceCount: ranks, levels: levels.slice(0, ranks > 8 ? 2 : 1) },
          1,
        ) * 1e6,
      ]);
    const text = ncclTests('all_gather_perf', 1, 8, rows(8)) + ncclTests('all_gather_perf', 4, 8, rows(32));
    const { parts, yaml } = await calibrate({ file: file('gather.txt', text) });
    expect(parts[0].errorAfter).to.be.below(0.02);
    const fitted = loadCluster('h100-sxm', 32, loadCalibration(file('h100.yaml', yaml))).levels;
    expect(fitted[0].efficiency).to.be.closeTo(0.61, 0.02);
    expect(fitted[0].overheadSec * 1e6).to.be.closeTo(31, 3);
    expect(fitted[1].efficiency).to.be.closeTo(0.5, 0.03);
    // The loss of a switch that reduces is not measured by gathering.
    expect(parts[0].parameters.find((p) => p.name === 'nvlink.inSwitchReduction')).to.include({
      fitted: false,
    });
  });

  it('understands the names that libraries use, and tells all-reduce by its bandwidths where no name is given', () => {
    expect(
      ['all_reduce', 'AllReduce', '_allgather_base', 'reduce-scatter', 'alltoall', 'sendrecv'].map(
        collectiveKind,
      ),
    ).to.deep.equal(['allReduce', 'allReduce', 'allGather', 'reduceScatter', 'allToAll', 'p2p']);
    expect(collectiveKind('toString')).to.equal(null);
    const text = ncclTests('', 2, 4, [[2 ** 28, 3000]]);
    expect(isNcclTests(text)).to.equal(true);
    expect(readCollectiveTable(text, 'x')).to.deep.equal([
      {
        device: 'NVIDIA H100 80GB HBM3',
        kind: 'allReduce',
        ranks: 8,
        ranksPerHost: 4,
        rankStride: null,
        alone: true,
        bytes: 2 ** 28,
        timeSec: 3e-3,
      },
    ]);
  });

  it('takes ranks that are spread over hosts, and the preset that the user names', async () => {
    const cluster = loadCluster('h100-sxm', 64);
    const rows = [1e6, 1e7, 1e8, 1e9].map(
      (b) => `${b},8,1,${collectiveTimeSec('allReduce', b, { size: 8, stride: 8 }, cluster, 1)}`,
    );
    const path = file('spread.csv', `bytes,ranks,ranks_per_host,seconds\n${rows.join('\n')}\n`);
    const { parts } = await calibrate({ file: path, cluster: 'h100' });
    expect(parts[0].title).to.equal('network of h100-sxm');
    expect(parts[0].errorBefore).to.be.below(1e-9);
    expect(parts[0].parameters.every((p) => !p.fitted)).to.equal(true);
    expect(await fault(path)).to.match(/does not say on what hardware .*--cluster/);
  });

  it('is refused in a line that names the line and column, or what to do', async () => {
    const csv = (rows: string): string => file('bad.csv', `device,ranks,bytes,seconds\n${rows}\n`);
    expect(await fault(csv('A100,2,1000,abc'))).to.match(
      /bad\.csv:2: seconds: expected a number above 0, found "abc"/,
    );
    expect(await fault(csv('A100,2,1000,1\nA100,1,1000,1'))).to.match(
      /bad\.csv:3: ranks: expected a whole number of at least 2/,
    );
    expect(await fault(csv('A100,2,-5,1'))).to.match(/bytes: expected a whole number/);
    expect(await fault(csv('A100,2,,1'))).to.match(/bytes: .*found nothing/);
    expect(await fault(csv('B9000,2,1000,1'))).to.match(/unknown hardware B9000 .*--cluster/);
    expect(await fault(csv('A100,9,1000,1'))).to.match(/9 ranks do not fit hosts of 8 devices/);
    expect(await fault(csv(''))).to.match(/at least one measured collective/);
    expect(await fault(csv('A100,2,1000,1'), { device: 'V100' })).to.match(
      /no measured collective of device V100 .*A100/,
    );
    expect(await fault(csv('A100,2,1000,1'), { cluster: 'nowhere' })).to.match(
      /--cluster: unknown hardware nowhere/,
    );
    expect(await fault(file('columns.csv', 'device,bytes,seconds\n'))).to.match(/missing column ranks/);
    expect(await fault(file('kind.csv', 'collective,ranks,bytes,seconds\nsquash,2,10,1\n'))).to.match(
      /collective: expected one of allReduce/,
    );
    const headless = ncclTests('all_reduce_perf', 1, 8, [[1e6, 30]]).replace(/#\s+Rank.*\n/g, '');
    expect(await fault(file('headless.txt', headless))).to.match(/expected the lines "# Rank ..."/);
    expect(await fault(file('words.txt', 'all is well\n'))).to.match(/found none of them .*--kind/);
    expect(await fault(file('words.txt', 'all is well\n'), { kind: 'rows' })).to.match(/missing columns/);
    expect(await fault(join(folder, 'absent.csv'))).to.match(/no such file/);
    expect(await fault(folder)).to.match(/found a directory/);
  });
});

describe('calibration from measured runs', function () {
  this.timeout(60_000);
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'rows-'))));
  after(() => rmSync(folder, { recursive: true }));

  const columns =
    'id,source,model_name,layers,hidden,ffn,heads,vocab,seq_len,hardware,gpus,precision,tp,pp,micro_batch,global_batch,recompute,metric,value';
  /** Step times of six settings of one model, as a stack with these numbers takes them. */
  function runs(stack: { matrixEfficiency: number; stepOverheadSec: number }): string {
    const lines = [
      [8, 1, 1, 32],
      [8, 2, 1, 32],
      [8, 4, 2, 64],
      [16, 4, 2, 64],
      [16, 8, 1, 128],
      [32, 4, 4, 128],
      [32, 8, 2, 512],
      [8, 8, 1, 16],
      [16, 2, 2, 32],
      [8, 1, 2, 16],
    ].map(
      ([gpus, tp, pp, batch], i) =>
        `made-${i},Megatron-LM README,GPT,24,2048,8192,16,51200,2048,A100-80GB,${gpus},bf16,${tp},${pp},1,${batch},full,step_s,1`,
    );
    const text = [columns, ...lines].join('\n');
    const predictor = new Predictor();
    const { prepared, faults } = predictor.prepareAll(readRows(readCsv(text, 'made'), 'made').rows);
    expect(faults).to.deep.equal([]);
    const times = predictor.predictAll(prepared, {
      stack: (name) => ({ ...loadStack(name), onDevice: {}, ...stack }),
    });
    return [columns, ...lines.map((line, i) => line.replace(/,1$/, `,${times[i].stepTimeSec}`))].join('\n');
  }

  it('moves the numbers of a stack towards those that made the rows, and lowers the error', async () => {
    const path = join(folder, 'made.csv');
    writeFileSync(path, runs({ matrixEfficiency: 0.7, stepOverheadSec: 0.05 }));
    const { kind, parts, yaml } = await calibrate({ file: path });
    expect(kind).to.equal('rows');
    expect(parts).to.have.length(1);
    const [part] = parts;
    expect(part.samples).to.equal(10);
    expect(part.errorAfter).to.be.below(part.errorBefore / 2);
    // Ten rows bear two numbers.
    expect(part.parameters.length).to.be.at.most(2);
    expect(part.groups.map((g) => g.name)).to.deep.equal(['made']);
    expect(part.notes.join()).to.match(/left alone/);
    const fitted = join(folder, 'fitted.yaml');
    writeFileSync(fitted, yaml);
    const stack = part.title.replace('stack ', '');
    const calibrated = loadStack(stack, [], loadCalibration(fitted));
    expect(calibrated).to.not.deep.equal(loadStack(stack));
  });

  it('fits the stack that the user names, names the rows that cannot be priced, and fits nothing to two rows', async () => {
    const path = join(folder, 'few.csv');
    const good = runs({ matrixEfficiency: 0.7, stepOverheadSec: 0 }).split('\n').slice(0, 3).join('\n');
    writeFileSync(
      path,
      `${good}\nodd-1,x,GPT,24,2048,8192,16,51200,2048,Z80,8,bf16,1,1,1,32,full,step_s,1\nodd-2,x\n`,
    );
    const { parts, notes } = await calibrate({ file: path, stack: 'megatron' });
    expect(parts[0].title).to.equal('stack megatron');
    expect(parts[0].parameters).to.deep.equal([]);
    expect(parts[0].notes[0]).to.match(/2 rows are too few/);
    expect(notes.join('\n'))
      .to.match(/line 4 \(odd-1\) left out: .*Z80/)
      .and.match(/line 5 \(odd-2\) left out/);
  });

  it('is refused when no row can be priced', async () => {
    const path = join(folder, 'none.csv');
    writeFileSync(
      path,
      `${columns}\nodd-1,x,GPT,24,2048,8192,16,51200,2048,Z80,8,bf16,1,1,1,32,full,step_s,1\n`,
    );
    try {
      await calibrate({ file: path });
    } catch (e) {
      expect((e as PartitionError).line()).to.match(
        /none\.csv: no row can be priced, the first because of .*Z80/,
      );
      return;
    }
    throw new Error('expected a PartitionError');
  });

  it('lowers the error of published step times', async function () {
    const shared = fileURLToPath(new URL('../../../shared/data/throughput/measured.csv', import.meta.url));
    if (!existsSync(shared)) {
      console.log('      skipped: the shared measured runs are not here');
      this.skip();
    }
    const lines = readFileSync(shared, 'utf8').split('\n');
    const path = join(folder, 'published.csv');
    writeFileSync(path, [lines[0], ...lines.filter((l) => /^(korthikanti|sc21-0)/.test(l))].join('\n'));
    const { parts } = await calibrate({ file: path });
    for (const part of parts) {
      expect(part.errorAfter).to.be.at.most(part.errorBefore);
      expect(part.samples).to.be.above(0);
    }
  });
});
