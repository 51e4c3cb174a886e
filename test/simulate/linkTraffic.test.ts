import { expect } from 'chai';
import { loadStack } from '../../src/cost/stack.js';
import { explain } from '../../src/simulate/explain.js';
import { linkTraffic } from '../../src/simulate/linkTraffic.js';
import type { AxisTraffic } from '../../src/simulate/linkTraffic.js';
import type { TimeKey } from '../../src/simulate/terms.js';
import type { ClassCollective } from '../../src/cost/traffic.js';
import { priceRun } from '../support/run.js';
import type { PricedRun, Run } from '../support/run.js';

const RUN: Run = {
  ...{ model: 'llama-3-8b', sizes: { layers: 16 }, seq: 2048, cluster: 'h100-sxm', devices: 64 },
  ...{
    stack: loadStack(),
    globalBatch: 128,
    microbatch: 1,
    degrees: { pp: 4, tp: 4 },
    zeroStage: 1,
    recompute: 'none',
  },
};
/** Terms of the time that an axis takes. */
const TERMS: Readonly<Record<string, readonly TimeKey[]>> = {
  data: ['parameterGather', 'gradientReduction'],
  pipeline: ['stageTransfer'],
};

function none({ problem }: PricedRun): ClassCollective[][] {
  return Array.from({ length: problem.segmentation.classCount }, () => []);
}

function ofAxis(traffic: readonly AxisTraffic[], axis: string): AxisTraffic {
  return traffic.find((t) => t.axis === axis)!;
}

describe('traffic on the links', () => {
  it('adds up over the levels, and no link carries its bytes faster than its rate', () => {
    const run = priceRun(RUN);
    const { ranks } = explain(run.problem, run.candidate);
    const traffic = linkTraffic(run.problem, run.candidate, none(run));
    expect(traffic.map((t) => t.axis)).to.deep.equal(['data', 'pipeline']);
    const { levels } = run.problem.cluster;
    for (const { axis, bytesPerLevel, sentBytes } of traffic) {
      expect(bytesPerLevel.reduce((a, b) => a + b, 0)).to.be.closeTo(sentBytes, 1e-9 * sentBytes);
      const busy = (time: (typeof ranks)[number]['time']): number =>
        TERMS[axis].reduce((sum, key) => sum + time[key].exposedSec + time[key].hiddenSec, 0);
      const told = Math.max(...ranks.map((r) => busy(r.time)));
      bytesPerLevel.forEach((bytes, l) => {
        expect(bytes / levels[l].bytesPerSecPerDevice, `${axis} on ${levels[l].name}`).to.be.at.most(told);
      });
    }
  });

  it('of data parallelism is a ring of gradients and one of parameters', () => {
    const run = priceRun({ ...RUN, degrees: { dpReplicate: 1 }, devices: 8, globalBatch: 64 });
    const [data] = linkTraffic(run.problem, run.candidate, none(run));
    const held = run.estimate.memory[0];
    // Parameters take 2 bytes and gradients 4, both held whole under ZeRO-1.
    expect(data.sentBytes).to.be.closeTo(
      (7 / 8) * (held.parameterBytes + held.gradientBytes),
      1e-6 * data.sentBytes,
    );
    expect(data).to.include({ axis: 'data', ranks: 8, stride: 1 });
  });

  it('of neighbours that stand on other hosts leaves the host, and of those on the same one does not', () => {
    const far = priceRun(RUN);
    const sent = ofAxis(linkTraffic(far.problem, far.candidate, none(far)), 'pipeline');
    expect(sent.stride).to.equal(16);
    expect(sent.bytesPerLevel[0]).to.equal(0);
    expect(sent.bytesPerLevel[1]).to.be.above(0);
    const near = priceRun({ ...RUN, devices: 8, degrees: { pp: 4, tp: 2 }, globalBatch: 16 });
    const kept = ofAxis(linkTraffic(near.problem, near.candidate, none(near)), 'pipeline');
    expect(kept.bytesPerLevel[0]).to.equal(kept.sentBytes);
  });

  it('of layers is counted for every layer, pass and microbatch', () => {
    const run = priceRun({ ...RUN, degrees: { tp: 8 }, devices: 8, globalBatch: 16 });
    const one = (kind: ClassCollective['kind'], forward: boolean, backward: boolean): ClassCollective => ({
      axis: 'tp',
      kind,
      forward,
      backward,
      inputBytes: 8e6,
      timeSec: 1,
    });
    const bytes = (list: ClassCollective[]): number =>
      ofAxis(
        linkTraffic(
          run.problem,
          run.candidate,
          none(run).map(() => list),
        ),
        'tensor',
      ).sentBytes;
    const times = 16 * run.problem.segmentation.segmentCount;
    expect(bytes([one('reduceScatter', true, false)])).to.be.closeTo(times * 7e6, 1);
    expect(bytes([one('allReduce', true, true)])).to.be.closeTo(times * 4 * 7e6, 1);
    expect(bytes([one('allGather', false, true)])).to.be.closeTo(times * 7 * 8e6, 1);
    expect(bytes([one('allToAll', true, false)])).to.be.closeTo(times * 7e6, 1);
  });
});
