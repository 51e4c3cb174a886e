import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { listPresets, loadCluster } from '../../src/cluster/index.js';
import type { Level, Topology } from '../../src/cluster/index.js';
import {
  COLLECTIVE_KINDS,
  collectiveCurve,
  collectiveTimeSec,
  curveAlgorithm,
  curveTimeSec,
} from '../../src/cost/collective.js';
import { membersWithin } from '../../src/cost/route.js';
import { quantile } from '../../src/util/stats.js';

const PRESETS = listPresets().map((p) => p.name);
const TOPOLOGIES = PRESETS.flatMap((name) => [8, 256, 1024].map((devices) => loadCluster(name, devices)));
const anyTopology = fc.constantFrom(...TOPOLOGIES);
const anyKind = fc.constantFrom(...COLLECTIVE_KINDS);
/** A group whose block is a power of two of ranks inside the job. */
const anyGroup = fc.record({ log: fc.integer({ min: 0, max: 10 }), skip: fc.integer({ min: 0, max: 9 }) });

function groupOf(pick: { log: number; skip: number }, topology: Topology): { size: number; stride: number } {
  const size = Math.min(2 ** pick.log, topology.deviceCount);
  return { size, stride: Math.min(2 ** pick.skip, topology.deviceCount / size) };
}

function withLevels(topology: Topology, change: (level: Level, index: number) => Level): Topology {
  return { deviceCount: topology.deviceCount, levels: topology.levels.map(change) };
}

/** Bus bandwidth of an all-reduce as nccl-tests prints it, GB/s. */
function busGBps(preset: string, ranks: number, bytes: number): number {
  const cluster = loadCluster(preset, Math.max(8, ranks));
  const sec = collectiveTimeSec('allReduce', bytes, { size: ranks, stride: 1 }, cluster);
  return (2 * (ranks - 1) * bytes) / ranks / sec / 1e9;
}

describe('collectives', () => {
  it('of a group of one, or of nothing, cost nothing', () => {
    for (const topology of TOPOLOGIES)
      for (const kind of COLLECTIVE_KINDS) {
        expect(collectiveTimeSec(kind, 1e9, { size: 1, stride: 1 }, topology)).to.equal(0);
        expect(collectiveTimeSec(kind, 0, { size: 8, stride: 1 }, topology)).to.equal(0);
      }
  });

  it('take longer for more bytes and never less than the bytes over the links', () => {
    fc.assert(
      fc.property(
        anyTopology,
        anyKind,
        anyGroup,
        fc.double({ min: 1, max: 1e10, noNaN: true }),
        (topology, kind, pick, bytes) => {
          const group = groupOf(pick, topology);
          const sec = collectiveTimeSec(kind, bytes, group, topology);
          expect(collectiveTimeSec(kind, bytes * 1.5, group, topology)).to.be.at.least(sec);
          const links = Math.max(...topology.levels.map((l) => l.bytesPerSecPerDevice));
          const sent =
            kind === 'p2p' || kind === 'broadcast'
              ? bytes / group.size
              : (bytes * (group.size - 1)) / group.size;
          if (group.size > 1) expect(sec).to.be.at.least(sent / links);
        },
      ),
    );
  });

  it('never get slower with more bandwidth, nor faster with more latency or oversubscription', () => {
    fc.assert(
      fc.property(
        anyTopology,
        anyKind,
        anyGroup,
        fc.integer({ min: 10, max: 33 }),
        fc.nat(2),
        (topology, kind, pick, log, at) => {
          const group = groupOf(pick, topology);
          const bytes = 2 ** log;
          const sec = collectiveTimeSec(kind, bytes, group, topology);
          const change = (patch: (level: Level) => Partial<Level>): number =>
            collectiveTimeSec(
              kind,
              bytes,
              group,
              withLevels(topology, (l, i) => (i === at ? { ...l, ...patch(l) } : l)),
            );
          expect(change((l) => ({ bytesPerSecPerDevice: 2 * l.bytesPerSecPerDevice }))).to.be.at.most(sec);
          expect(change((l) => ({ latencySec: 2 * l.latencySec }))).to.be.at.least(sec);
          expect(change((l) => ({ oversubscription: 4 * l.oversubscription }))).to.be.at.least(sec);
        },
      ),
    );
  });

  it('take the best algorithm: never worse than the flat ring, the tree or any other', () => {
    fc.assert(
      fc.property(
        anyTopology,
        anyKind,
        anyGroup,
        fc.integer({ min: 10, max: 33 }),
        (topology, kind, pick, log) => {
          const group = groupOf(pick, topology);
          const curve = collectiveCurve(kind, group, topology);
          const bytes = 2 ** log;
          const sec = collectiveTimeSec(kind, bytes, group, topology);
          expect(curveTimeSec(curve, bytes)).to.equal(sec);
          curve.algorithms.forEach((_, i) =>
            expect(sec).to.be.at.most(curve.startSec[i] + curve.secPerByte[i] * bytes),
          );
          if (group.size > 1) expect(curve.algorithms).to.include(curveAlgorithm(curve, bytes));
        },
      ),
    );
  });

  it('all-reduce costs at least an all-gather and at most a reduce-scatter and an all-gather', () => {
    fc.assert(
      fc.property(anyTopology, anyGroup, fc.integer({ min: 10, max: 33 }), (topology, pick, log) => {
        const group = groupOf(pick, topology);
        const time = (kind: 'allReduce' | 'allGather' | 'reduceScatter'): number =>
          collectiveTimeSec(kind, 2 ** log, group, topology);
        expect(time('allReduce')).to.be.at.most(
          (time('allGather') + time('reduceScatter')) * (1 + 1e-9) + 1e-3,
        );
        expect(time('allGather')).to.equal(time('reduceScatter'));
      }),
    );
  });

  it('go up the hierarchy instead of in a ring when latency rules', () => {
    const cluster = loadCluster('h100-sxm', 1024);
    const curve = collectiveCurve('allReduce', { size: 128, stride: 8 }, cluster);
    expect(curveAlgorithm(curve, 1024)).to.match(/tree/);
    expect(curveAlgorithm(curve, 16 * 2 ** 30)).to.match(/ring|hierarchical/);
    expect(curveTimeSec(curve, 1024)).to.be.below(0.1e-3);
  });

  it('inside a host beat the same group spread over hosts', () => {
    const cluster = loadCluster('h100-sxm', 64);
    for (const kind of COLLECTIVE_KINDS) {
      const near = collectiveTimeSec(kind, 64e6, { size: 8, stride: 1 }, cluster);
      expect(collectiveTimeSec(kind, 64e6, { size: 8, stride: 8 }, cluster), kind).to.be.above(2 * near);
    }
  });

  it('share the NICs of a host with the groups beside them', () => {
    const cluster = loadCluster('h100-sxm', 64);
    const group = { size: 8, stride: 8 };
    const shared = collectiveTimeSec('allReduce', 1e9, group, cluster);
    const alone = collectiveTimeSec('allReduce', 1e9, group, cluster, 1);
    expect(shared / alone).to.be.within(6, 8.1);
    expect(collectiveTimeSec('allReduce', 1e9, group, cluster, 8)).to.equal(shared);
  });

  it('pay for an oversubscribed spine only when they cross it', () => {
    const flat = loadCluster('h100-sxm', 512);
    const narrow = withLevels(flat, (l) => (l.kind === 'spine' ? { ...l, oversubscription: 8 } : l));
    const inside = { size: 32, stride: 8 };
    const across = { size: 64, stride: 8 };
    expect(collectiveTimeSec('allReduce', 1e9, inside, narrow)).to.equal(
      collectiveTimeSec('allReduce', 1e9, inside, flat),
    );
    expect(collectiveTimeSec('allGather', 1e9, { size: 2, stride: 256 }, narrow)).to.be.above(
      6 * collectiveTimeSec('allGather', 1e9, { size: 2, stride: 256 }, flat),
    );
    expect(collectiveTimeSec('allReduce', 1e9, across, narrow)).to.be.above(
      collectiveTimeSec('allReduce', 1e9, across, flat),
    );
  });

  it('on a torus run on all axes of the group at once', () => {
    const cluster = loadCluster('tpu-v5p', 1024);
    const perLink = (cluster.levels[0].bytesPerSecPerDevice / 6) * cluster.levels[0].efficiency;
    const time = (size: number, stride: number): number =>
      collectiveTimeSec('allGather', 1e9, { size, stride }, cluster);
    // One closed axis uses two links of each chip, two axes four, three axes six.
    expect(time(8, 1)).to.be.closeTo(((7 / 8) * 1e9) / (2 * perLink), 20e-6);
    expect(time(64, 1)).to.be.closeTo(((63 / 64) * 1e9) / (4 * perLink), 20e-6);
    expect(time(1024, 1)).to.be.closeTo(((1023 / 1024) * 1e9) / (6 * perLink), 20e-6);
    // Half of an axis is a line: one link.
    expect(time(4, 1)).to.be.closeTo(((3 / 4) * 1e9) / perLink, 20e-6);
  });

  it('count the members of a group in each domain', () => {
    expect(membersWithin({ size: 8, stride: 1 }, 8, 64)).to.equal(8);
    expect(membersWithin({ size: 16, stride: 1 }, 8, 64)).to.equal(8);
    expect(membersWithin({ size: 8, stride: 8 }, 8, 64)).to.equal(1);
    expect(membersWithin({ size: 8, stride: 2 }, 8, 64)).to.equal(4);
    expect(membersWithin({ size: 4, stride: 2 }, 8, 64)).to.equal(4);
    expect(membersWithin({ size: 5, stride: 2 }, 10, 10)).to.equal(5);
    // Groups of three straddle hosts of eight: priced as if every member were on its own.
    expect(membersWithin({ size: 3, stride: 1 }, 8, 24)).to.equal(1);
  });
});

describe('collectives against measurements', () => {
  it('match 280 measured all-reduces of 2 to 8 A100 and V100: median error below 5 %, nine in ten below 21 %', () => {
    const text = readFileSync(new URL('./nccl-allreduce-single-node.csv', import.meta.url), 'utf8');
    const errors: number[] = [];
    for (const line of text.trim().split('\n').slice(1)) {
      const [device, ranks, bytes, seconds] = line.split(',');
      const cluster = loadCluster(device === 'A100' ? 'a100-80gb' : 'v100-8x32gb', 8);
      const sec = collectiveTimeSec('allReduce', Number(bytes), { size: Number(ranks), stride: 1 }, cluster);
      errors.push(Math.abs(sec / Number(seconds) - 1));
    }
    expect(errors).to.have.length(280);
    expect(quantile(errors, 0.5)).to.be.below(0.05);
    expect(quantile(errors, 0.9)).to.be.below(0.21);
  });

  it('match the published bus bandwidths of H200, B200 and MI300X hosts within 6 %', () => {
    // stas00/ml-engineering@744d01e network/README.md.
    const measured: readonly [string, number, number, number][] = [
      ['h200', 4, 8, 363.3],
      ['h200', 5, 8, 414.2],
      ['h200', 6, 8, 435.6],
      ['h200', 7, 8, 460.0],
      ['h200', 8, 8, 473.1],
      ['b200', 4, 8, 673.2],
      ['b200', 5, 8, 677.8],
      ['b200', 6, 8, 778.2],
      ['b200', 7, 8, 811.2],
      ['b200', 8, 8, 838.0],
      ['mi300x', 8, 4, 312.9],
      ['mi300x', 2, 4, 47.7],
      ['h200', 32, 4, 364.9],
    ];
    for (const [preset, ranks, gib, expected] of measured)
      expect(busGBps(preset, ranks, gib * 2 ** 30) / expected, `${preset} x ${ranks}`).to.be.within(
        0.94,
        1.06,
      );
  });

  it('match measured MoE dispatch on H100 and GB200 within 10 %', () => {
    // arXiv 2603.07685 table 7: 4,096 tokens of 7,168 bf16 to 8 experts each.
    const bytes = 4096 * 7168 * 8 * 2;
    const us = (preset: string, ranks: number): number =>
      collectiveTimeSec('allToAll', bytes, { size: ranks, stride: 1 }, loadCluster(preset, 256)) * 1e6;
    expect(us('h100-sxm', 8) / 1265).to.be.within(0.9, 1.1);
    expect(us('h100-sxm', 64) / 9164).to.be.within(0.9, 1.1);
    expect(us('gb200-nvl72', 64) / 930).to.be.within(0.9, 1.1);
  });
});
