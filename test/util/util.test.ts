import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { PartitionError, invariant, oneLine } from '../../src/util/errors.js';
import { writeFileAtomic } from '../../src/util/files.js';
import { formatBytes, formatSeconds, formatSi, formatTable, formatUsd } from '../../src/util/format.js';
import { shellLine } from '../../src/util/shell.js';
import { Random } from '../../src/util/random.js';
import { mean, median, quantile } from '../../src/util/stats.js';

describe('errors for people', () => {
  it('are one line of place, message and hint', () => {
    const e = new PartitionError('input', 'expected 3 bytes,\nfound 2', 'a.onnx', 'fetch it again');
    expect(e.line()).to.equal('a.onnx: expected 3 bytes,\\u000afound 2 (fetch it again)');
  });

  it('escape control and direction characters and shorten what is long', () => {
    expect(oneLine('a\u202eb\u001b[31m')).to.equal('a\\u202eb\\u001b[31m');
    expect(oneLine('x'.repeat(1e6)).length).to.be.lessThan(130);
  });

  it('begin with internal when an invariant breaks', () => {
    expect(() => invariant(false, 'order')).to.throw(/^internal: order$/);
  });
});

describe('seeded randomness', () => {
  it('repeats for a seed and differs between seeds', () => {
    const draw = (seed: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 5 }, () => random.uint32());
    };
    expect(draw(1)).to.deep.equal(draw(1));
    expect(new Random(1).uint32()).to.not.equal(new Random(2).uint32());
  });

  it('is uniform enough: a chi-square over 16 bins stays below its 0.1 % critical value', () => {
    const random = new Random(42);
    const bins = new Array<number>(16).fill(0);
    const draws = 160000;
    for (let i = 0; i < draws; i++) bins[random.int(16)]++;
    const expected = draws / 16;
    const chi = bins.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chi).to.be.lessThan(37.7);
  });

  it('has standard normal deviates', () => {
    const random = new Random(3);
    const values = Array.from({ length: 50000 }, () => random.normal());
    expect(mean(values)).to.be.closeTo(0, 0.02);
    expect(mean(values.map((v) => v * v))).to.be.closeTo(1, 0.03);
  });

  it('shuffles into a permutation and forks independent streams', () => {
    const random = new Random(5);
    expect(random.shuffle([1, 2, 3, 4, 5, 6]).sort()).to.deep.equal([1, 2, 3, 4, 5, 6]);
    expect(random.fork().uint32()).to.not.equal(random.fork().uint32());
  });
});

describe('numbers for people', () => {
  it('are scaled with three digits', () => {
    expect(formatBytes(1536)).to.equal('1.50 KiB');
    expect(formatBytes(80 * 2 ** 30)).to.equal('80.0 GiB');
    expect(formatSi(1.557e9)).to.equal('1.56 G');
    expect(formatSi(2e18, 'FLOP')).to.equal('2.00 EFLOP');
    expect(formatSeconds(0.00123)).to.equal('1.23 ms');
    expect(formatSeconds(Infinity)).to.equal('inf');
  });

  it('stand in aligned columns', () => {
    expect(
      formatTable([
        ['name', 'n'],
        ['a', '10'],
        ['bcd', '5'],
      ]),
    ).to.equal('name   n\na     10\nbcd    5');
  });

  it('have quantiles by interpolation', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).to.equal(2.5);
    expect(median([5])).to.equal(5);
    expect(quantile([], 0.5)).to.be.NaN;
  });
});

describe('words for a shell', () => {
  it('are bare where they may be, else in single quotes', () => {
    expect(shellLine(['partition', 'a b.onnx', '--bind', 'seq=4', "it's", ''])).to.equal(
      "partition 'a b.onnx' --bind seq=4 'it'\\''s' ''",
    );
  });
});

describe('money', () => {
  it('is told in three digits', () => {
    expect([0.0323, 159.2, 1690, 12_600_000].map(formatUsd)).to.deep.equal([
      '0.0323 USD',
      '159 USD',
      '1.69 k USD',
      '12.6 M USD',
    ]);
  });
});

describe('writing a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'partition-util-'));
  after(() => rmSync(folder, { recursive: true }));

  it('replaces it whole and leaves nothing else behind', () => {
    const path = join(folder, 'deep', 'x.json');
    writeFileAtomic(path, 'one');
    writeFileAtomic(path, 'two');
    expect(readFileSync(path, 'utf8')).to.equal('two');
    expect(readdirSync(join(folder, 'deep'))).to.deep.equal(['x.json']);
  });

  it('writes into a pipe and does not replace it', async function () {
    const pipe = join(folder, 'pipe');
    if (spawnSync('mkfifo', [pipe]).status !== 0) this.skip();
    const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'ignore'] });
    let read = '';
    reader.stdout.setEncoding('utf8').on('data', (text: string) => (read += text));
    const ended = new Promise((resolve) => reader.on('close', resolve));
    writeFileAtomic(pipe, 'one');
    await ended;
    expect(read).to.equal('one');
    expect(statSync(pipe).isFIFO()).to.equal(true);
    rmSync(pipe);
  });

  it('fails with the place and a hint when a file is in the way', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => writeFileAtomic(join(folder, 'file', 'x.json'), '')).to.throw(
      PartitionError,
      /cannot write/,
    );
  });
});
