import { expect } from 'chai';
import fc from 'fast-check';
import { listDevices, loadDevice, PRECISIONS, scaleDevice } from '../../src/cluster/index.js';
import type { Device } from '../../src/cluster/index.js';
import {
  attentionFlop,
  attentionTimeSec,
  elementwiseTimeSec,
  gemmFlop,
  gemmTimeSec,
  memoryBoundTimeSec,
} from '../../src/cost/compute.js';

const DEVICES = listDevices().map((name) => loadDevice(name));
const anyDevice = fc.constantFrom(...DEVICES);
const anyPrecision = fc.constantFrom(...PRECISIONS);
const extent = fc.integer({ min: 1, max: 20000 });

/** Share of the datasheet peak that a square-ish matmul reaches. */
function share(device: Device, m: number, n: number, k: number): number {
  return gemmFlop(1, m, n, k) / gemmTimeSec(device, 'bf16', 1, m, n, k) / device.peakFlopPerSec.bf16;
}

describe('matmul time', () => {
  it('of a large product is near the measured matmul rate on every device', () => {
    for (const device of DEVICES) {
      const rate = gemmFlop(1, 16384, 16384, 16384) / gemmTimeSec(device, 'bf16', 1, 16384, 16384, 16384);
      expect(rate / device.achievableFlopPerSec.bf16, device.name).to.be.within(0.93, 1);
    }
  });

  it('never beats the achievable peak nor the memory roofline', () => {
    fc.assert(
      fc.property(anyDevice, anyPrecision, extent, extent, extent, (device, precision, m, n, k) => {
        const sec = gemmTimeSec(device, precision, 1, m, n, k);
        expect(sec).to.be.at.least(gemmFlop(1, m, n, k) / device.achievableFlopPerSec[precision]);
        expect(sec).to.be.at.least((0.5 * (m * k + k * n + m * n)) / device.memoryBytesPerSec);
      }),
    );
  });

  it('is slower where rows miss the lines of memory, the more the less they are aligned', () => {
    const device = loadDevice('a100-80gb');
    const sec = [14336, 14368, 14352, 14344, 14340, 14338, 14337].map((n) =>
      gemmTimeSec(device, 'bf16', 1, 8192, n, 14336),
    );
    // Per column, from rows of whole lines down to rows of two bytes more.
    const perColumn = sec.map((t, i) => t / [14336, 14368, 14352, 14344, 14340, 14338, 14337][i]);
    for (let i = 1; i < perColumn.length; i++) expect(perColumn[i]).to.be.above(perColumn[i - 1]);
    expect(perColumn[1] / perColumn[0]).to.be.within(1.05, 1.2);
  });

  it('grows with every extent, rows kept whole in memory lines', () => {
    fc.assert(
      fc.property(
        anyDevice,
        extent,
        extent,
        extent,
        fc.integer({ min: 1, max: 64 }),
        (device, m, columns, length, batch) => {
          const n = 64 * Math.ceil(columns / 64);
          const k = 64 * Math.ceil(length / 64);
          const sec = gemmTimeSec(device, 'bf16', batch, m, n, k);
          const grown = [
            gemmTimeSec(device, 'bf16', batch, m + 100, n, k),
            gemmTimeSec(device, 'bf16', batch, m, n + 128, k),
            gemmTimeSec(device, 'bf16', batch, m, n, k + 128),
            gemmTimeSec(device, 'bf16', batch + 1, m, n, k),
          ];
          for (const more of grown) expect(more).to.be.at.least(sec * (1 - 1e-12));
        },
      ),
    );
  });

  it('never grows on a faster device', () => {
    fc.assert(
      fc.property(
        anyDevice,
        extent,
        extent,
        extent,
        fc.double({ min: 0.1, max: 1, noNaN: true }),
        (device, m, n, k, speed) => {
          const slower = scaleDevice(device, speed);
          expect(gemmTimeSec(slower, 'bf16', 1, m, n, k)).to.be.at.least(
            gemmTimeSec(device, 'bf16', 1, m, n, k),
          );
        },
      ),
    );
  });

  it('loses efficiency to short contractions, unfilled waves and skinny outputs', () => {
    const h100 = loadDevice('h100');
    expect(share(h100, 8192, 8192, 128)).to.be.below(0.8 * share(h100, 8192, 8192, 8192));
    expect(share(h100, 128, 8192, 8192)).to.be.below(0.7 * share(h100, 8192, 8192, 8192));
    // 132 output tiles fill 132 cores once; one row more starts a second wave.
    const full = gemmTimeSec(h100, 'bf16', 1, 12 * 256, 11 * 128, 8192);
    expect(gemmTimeSec(h100, 'bf16', 1, 12 * 256 + 1, 11 * 128, 8192)).to.be.above(1.2 * full);
  });

  it('costs nothing when there is nothing to do', () => {
    expect(gemmTimeSec(loadDevice('h100'), 'bf16', 1, 0, 128, 128)).to.equal(0);
  });

  it('runs faster in narrower formats where the hardware has them and equally where it has not', () => {
    const h100 = loadDevice('h100');
    const a100 = loadDevice('a100');
    expect(gemmTimeSec(h100, 'fp8', 1, 8192, 8192, 8192)).to.be.below(
      0.65 * gemmTimeSec(h100, 'bf16', 1, 8192, 8192, 8192),
    );
    expect(gemmTimeSec(a100, 'fp8', 1, 8192, 8192, 8192)).to.equal(
      gemmTimeSec(a100, 'bf16', 1, 8192, 8192, 8192),
    );
  });
});

describe('attention time', () => {
  it('follows the measured cuDNN kernels on Hopper and Blackwell within 15 percent', () => {
    // Megatron-Core MoE report (arXiv 2603.07685) table 9, cuDNN SDPA, TFLOP/s forward and backward at 4k and 16k.
    const measured: readonly [string, number, number, number][] = [
      ['h100-sxm', 4096, 553, 422],
      ['h100-sxm', 16384, 638, 523],
      ['b200', 4096, 1324, 1083],
      ['b200', 16384, 1698, 1298],
    ];
    for (const [name, length, forward, backward] of measured) {
      const device = loadDevice(name);
      const flop = attentionFlop(1, 128, length, length, 128, true);
      const rate = (back: boolean): number =>
        ((back ? 2.5 : 1) * flop) /
        attentionTimeSec(device, 'bf16', 1, 128, 128, length, length, 128, true, back) /
        1e12;
      expect(rate(false) / forward, `${name} ${length} forward`).to.be.within(0.85, 1.15);
      expect(rate(true) / backward, `${name} ${length} backward`).to.be.within(0.85, 1.15);
    }
  });

  it('counts the causal half', () => {
    expect(
      attentionFlop(1, 1, 4096, 4096, 64, true) / attentionFlop(1, 1, 4096, 4096, 64, false),
    ).to.be.closeTo(0.5, 1e-3);
    expect(attentionFlop(1, 1, 1, 4096, 64, true)).to.equal(attentionFlop(1, 1, 1, 4096, 64, false));
    const h100 = loadDevice('h100');
    const causal = attentionTimeSec(h100, 'bf16', 1, 32, 32, 8192, 8192, 128, true);
    expect(causal / attentionTimeSec(h100, 'bf16', 1, 32, 32, 8192, 8192, 128, false)).to.be.within(
      0.48,
      0.56,
    );
  });

  it('of keys shared out among ranks is in all no less than that of all keys', () => {
    const h100 = loadDevice('h100-sxm');
    for (const back of [false, true]) {
      const whole = attentionTimeSec(h100, 'bf16', 1, 32, 32, 32768, 32768, 128, true, back);
      for (const ranks of [2, 4, 16]) {
        const shared = attentionTimeSec(h100, 'bf16', 1, 32, 32, 32768, 32768 / ranks, 128, true, back);
        expect((ranks * shared) / whole).to.be.within(1, 1.8);
      }
    }
    expect(4 * attentionFlop(1, 32, 32768, 8192, 128, true)).to.be.closeTo(
      attentionFlop(1, 32, 32768, 32768, 128, true),
      1e-4 * attentionFlop(1, 32, 32768, 32768, 128, true),
    );
  });

  it('of one decoded token is bound by reading the cache, less of it with grouped keys', () => {
    const h100 = loadDevice('h100');
    const full = attentionTimeSec(h100, 'bf16', 64, 32, 32, 1, 8192, 128, true);
    const grouped = attentionTimeSec(h100, 'bf16', 64, 32, 8, 1, 8192, 128, true);
    const cacheBytes = 2 * 2 * 64 * 32 * 8192 * 128;
    expect(full / (cacheBytes / h100.memoryBytesPerSec)).to.be.within(1, 1.3);
    expect(grouped).to.be.below(0.5 * full);
  });

  it('grows with heads, lengths and batch', () => {
    fc.assert(
      fc.property(
        anyDevice,
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 9000 }),
        fc.boolean(),
        (device, heads, length, back) => {
          const time = (h: number, s: number, b: number): number =>
            attentionTimeSec(device, 'bf16', b, h, h, s, s, 128, true, back);
          const sec = time(heads, length, 1) * (1 - 1e-12);
          expect(time(heads + 1, length, 1)).to.be.at.least(sec);
          expect(time(heads, length, 2)).to.be.at.least(sec);
          expect(time(heads, 2 * length, 1)).to.be.at.least(sec);
        },
      ),
    );
  });
});

describe('memory-bound time', () => {
  it('approaches the bandwidth for long kernels and the launch for short ones', () => {
    const h100 = loadDevice('h100');
    expect(1e9 / memoryBoundTimeSec(h100, 1e9) / h100.memoryBytesPerSec).to.be.within(0.88, 0.9);
    expect(memoryBoundTimeSec(h100, 1000)).to.be.closeTo(h100.launchOverheadSec, 1e-8);
    expect(memoryBoundTimeSec(h100, 0)).to.equal(0);
  });

  it('turns to the vector units when an element takes much work', () => {
    const h100 = loadDevice('h100');
    expect(elementwiseTimeSec(h100, 1e6, 1e12)).to.be.at.least(1e12 / h100.vectorFlopPerSec);
    expect(elementwiseTimeSec(h100, 1e9, 1e6)).to.equal(memoryBoundTimeSec(h100, 1e9));
    expect(elementwiseTimeSec(h100, 0, 0)).to.equal(0);
  });
});
