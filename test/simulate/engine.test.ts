import { expect } from 'chai';
import { createEngine } from '../../src/simulate/engine.js';
import { EventHeap } from '../../src/simulate/eventHeap.js';
import { RangeMax } from '../../src/simulate/rangeMax.js';
import { STREAM_COUNT } from '../../src/simulate/timeline.js';
import { chromeTrace } from '../../src/simulate/trace.js';
import { Random } from '../../src/util/random.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

describe('event heap', () => {
  it('gives events by time, then priority, then order of arrival', () => {
    const heap = new EventHeap(2);
    const random = new Random(1);
    const expected: [number, number, number][] = [];
    for (let i = 0; i < 500; i++) {
      const timeSec = random.int(20);
      const priority = random.int(3);
      heap.push(timeSec, priority, i);
      expected.push([timeSec, priority, i]);
    }
    expected.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    for (const [timeSec, , payload] of expected) {
      expect(heap.nextTimeSec()).to.equal(timeSec);
      expect(heap.pop()).to.equal(payload);
    }
    expect(heap.nextTimeSec()).to.equal(Infinity);
  });
});

describe('range maximum', () => {
  it('equals a scan of every range', () => {
    const random = new Random(2);
    const values = Float64Array.from({ length: 37 }, () => random.next());
    const table = new RangeMax(values);
    for (let from = 0; from <= 37; from++)
      for (let to = from; to <= 37; to++)
        expect(table.over(from, to)).to.equal(Math.max(0, ...values.subarray(from, to)));
  });
});

describe('event engine', () => {
  const problem = syntheticProblem({ spread: 0.2, tied: true });

  it('never runs two things at once on one stream, and every task once', () => {
    const random = new Random(4);
    for (let i = 0; i < 40; i++) {
      const candidate = randomCandidate(problem, random);
      const { timeline, stepTimeSec } = createEngine(problem).run(candidate, true);
      const t = timeline!;
      const byStream = new Map<number, [number, number][]>();
      let computed = 0;
      for (let k = 0; k < t.count; k++) {
        const key = t.rank[k] * STREAM_COUNT + t.stream[k];
        byStream.set(key, [...(byStream.get(key) ?? []), [t.startSec[k], t.endSec[k]]]);
        if (t.stream[k] === 0 && t.microbatch[k] >= 0) computed++;
        expect(t.endSec[k]).to.be.at.most(stepTimeSec * (1 + 1e-12));
      }
      // Gradient reductions are drawn where they may begin, under the last backward; they share no stream with gathers.
      for (const [key, intervals] of byStream) {
        if (key % STREAM_COUNT === 2) continue;
        intervals.sort((a, b) => a[0] - b[0]);
        for (let k = 1; k < intervals.length; k++)
          expect(intervals[k][0]).to.be.at.least(intervals[k - 1][1] - 1e-12);
      }
      const microbatches =
        problem.globalBatch / (candidate.dpReplicate * candidate.dpShard * candidate.microbatch);
      const tasks = candidate.schedule === 'zb-h1' ? 3 : 2;
      expect(computed).to.equal(tasks * microbatches * candidate.pp * candidate.vpp);
    }
  });

  it('holds one microbatch more per rank towards the front of a 1F1B pipeline', () => {
    const equal = syntheticProblem({ layers: 30 });
    const start = Int32Array.from([0, 8, 16, 24, 32]);
    const run = createEngine(equal).run(syntheticCandidate(equal, { tp: 4, pp: 4, stageStart: start }));
    const layer = run.peakActivationBytes[2] / 2 / 8;
    expect(run.peakActivationBytes[1]).to.be.closeTo(3 * 8 * layer, 1);
    expect(run.peakActivationBytes[3]).to.be.below(8 * layer);
  });

  it('idles a rank for the whole step less its work', () => {
    const run = createEngine(problem).run(syntheticCandidate(problem, { tp: 8, pp: 4 }));
    for (let r = 0; r < 4; r++) {
      expect(run.idleSec[r]).to.be.within(0, run.stepTimeSec);
      expect(run.finishSec[r]).to.be.at.most(run.stepTimeSec);
    }
  });

  it('gives the same events and the same trace each time', () => {
    const candidate = syntheticCandidate(problem, { tp: 4, pp: 4, vpp: 2 });
    const engine = createEngine(problem);
    const first = engine.run(candidate, true);
    engine.run(syntheticCandidate(problem, { pp: 8 }));
    expect(chromeTrace(engine.run(candidate, true))).to.equal(chromeTrace(first));
  });
});

describe('trace', () => {
  it('is JSON that names every rank and stream and joins every message to the task it feeds', () => {
    const problem = syntheticProblem({ globalBatch: 64 });
    const candidate = syntheticCandidate(problem, { tp: 4, pp: 4 });
    const text = chromeTrace(createEngine(problem).run(candidate, true), 'a test');
    const trace = JSON.parse(text) as {
      traceEvents: { ph: string; id?: number; ts?: number; name: string }[];
    };
    const count = (ph: string): number => trace.traceEvents.filter((e) => e.ph === ph).length;
    expect(trace.traceEvents.filter((e) => e.name === 'process_name')).to.have.length(4);
    expect(trace.traceEvents.filter((e) => e.name === 'thread_name')).to.have.length(16);
    // 16 microbatches over 3 cuts, both ways.
    expect(count('s')).to.equal(2 * 3 * 16);
    expect(count('f')).to.equal(count('s'));
    const start = new Map(trace.traceEvents.filter((e) => e.ph === 's').map((e) => [e.id, e.ts!]));
    for (const e of trace.traceEvents) if (e.ph === 'f') expect(e.ts).to.be.at.least(start.get(e.id)!);
  });
});
