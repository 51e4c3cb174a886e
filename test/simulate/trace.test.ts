import { expect } from 'chai';
import { createEngine } from '../../src/simulate/engine.js';
import { counters } from '../../src/simulate/counters.js';
import type { StepFunction } from '../../src/simulate/counters.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import { StageLoad } from '../../src/simulate/load.js';
import { EnergyMeter } from '../../src/simulate/power.js';
import { chromeTrace } from '../../src/simulate/trace.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import type { Candidate } from '../../src/plan/types.js';
import { Random } from '../../src/util/random.js';
import { randomCandidate, syntheticCandidate, syntheticProblem } from '../support/synthetic.js';

interface TraceEvent {
  ph: string;
  pid: number;
  tid: number;
  name: string;
  ts?: number;
  dur?: number;
  id?: number;
  args: Record<string, unknown>;
}

function eventsOf(problem: PlanProblem, candidate: Candidate): TraceEvent[] {
  const run = createEngine(problem).run(candidate, true);
  const text = chromeTrace(run, 'a "title"', counters(problem, candidate, run));
  return (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;
}

/** Integral over the step. */
function integral({ timeSec, value }: StepFunction, endSec: number): number {
  return timeSec.reduce((sum, at, i) => sum + value[i] * ((timeSec[i + 1] ?? endSec) - at), 0);
}

describe('trace of a step', () => {
  const problem = syntheticProblem({ spread: 0.2, tied: true });

  it('follows the Trace Event Format: whole fields, non-negative times, intervals of a thread that never overlap', () => {
    const random = new Random(11);
    const small = syntheticProblem({ spread: 0.2, tied: true, globalBatch: 64 });
    for (let i = 0; i < 25; i++) {
      const events = eventsOf(small, randomCandidate(small, random));
      const threads = new Map<string, [number, number][]>();
      for (const e of events) {
        expect('MXCsf').to.include(e.ph);
        expect(e.pid).to.satisfy(Number.isInteger);
        expect(e.tid).to.satisfy(Number.isInteger);
        expect(e.name).to.be.a('string');
        if (e.ph !== 'M') expect(e.ts).to.be.at.least(0);
        if (e.ph === 'C')
          for (const value of Object.values(e.args)) expect(value).to.satisfy(Number.isFinite);
        if (e.ph !== 'X') continue;
        expect(e.dur).to.be.at.least(0);
        const key = `${e.pid}/${e.tid}`;
        if (!threads.has(key)) threads.set(key, []);
        threads.get(key)!.push([e.ts!, e.ts! + e.dur!]);
      }
      for (const [key, intervals] of threads) {
        intervals.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        for (let k = 1; k < intervals.length; k++)
          expect(intervals[k][0], key).to.be.at.least(intervals[k - 1][1] - 1e-6);
      }
    }
  });

  it('draws the memory of every rank from nothing up to its peak and back', () => {
    const random = new Random(12);
    for (let i = 0; i < 25; i++) {
      const candidate = randomCandidate(problem, random);
      const run = createEngine(problem).run(candidate, true);
      counters(problem, candidate, run).forEach(({ activationBytes: { timeSec, value } }, r) => {
        expect(Math.max(...value)).to.equal(run.peakActivationBytes[r]);
        expect(value[0]).to.be.at.least(0);
        expect(value.at(-1)).to.be.closeTo(0, 1e-9 * run.peakActivationBytes[r]);
        for (let k = 1; k < timeSec.length; k++) expect(timeSec[k]).to.be.above(timeSec[k - 1]);
      });
    }
  });

  it('draws memory whose peak is the memory that the plan is judged by', () => {
    const random = new Random(14);
    for (let i = 0; i < 40; i++) {
      const candidate = randomCandidate(problem, random);
      const run = createEngine(problem).run(candidate, true);
      const { memory } = createSimulator(problem).estimate(candidate, createEstimate());
      counters(problem, candidate, run).forEach(({ stateBytes, otherBytes, activationBytes }, r) => {
        const peak = stateBytes + otherBytes + Math.max(...activationBytes.value);
        expect(peak).to.be.closeTo(memory[r].totalBytes, 1e-6 * peak);
      });
    }
  });

  it('draws power whose integral is the energy of the price, within 2 %', () => {
    const random = new Random(13);
    for (let i = 0; i < 40; i++) {
      const candidate = randomCandidate(problem, random);
      const run = createEngine(problem).run(candidate, true);
      const load = new StageLoad(problem);
      load.fill(candidate);
      const meter = new EnergyMeter(problem);
      counters(problem, candidate, run).forEach(({ watt }, r) => {
        const joule = meter.rankJoule(load, candidate, r, run.stepTimeSec);
        expect(integral(watt, run.stepTimeSec)).to.be.closeTo(joule, 0.02 * joule);
      });
    }
  });

  it('shows each counter from the start of the step to its end', () => {
    const candidate = syntheticCandidate(problem, { tp: 4, pp: 4 });
    const { stepTimeSec } = createEngine(problem).run(candidate);
    const events = eventsOf(problem, candidate).filter((e) => e.ph === 'C');
    for (let pid = 0; pid < 4; pid++)
      for (const name of ['memory (bytes)', 'power (W)']) {
        const of = events.filter((e) => e.pid === pid && e.name === name);
        expect(of[0].ts).to.equal(0);
        expect(of.at(-1)!.ts).to.be.closeTo(stepTimeSec * 1e6, 1);
      }
    const first = events.find((e) => e.name === 'memory (bytes)')!;
    expect(first.args).to.have.all.keys('state', 'activations', 'other');
  });
});
