import { expect } from 'chai';
import { DriftBank, normalDeviate } from '../../src/validation/monitor/drift.js';
import type { Finding } from '../../src/validation/monitor/finding.js';
import { HostNames } from '../../src/validation/monitor/layout.js';
import { NoiseMemory } from '../../src/validation/monitor/noiseMemory.js';
import { faultOf } from '../../src/validation/monitor/record.js';
import { averageRunLength, thresholdFor } from '../../src/validation/monitor/threshold.js';
import { Watch } from '../../src/validation/monitor/watch.js';
import { Random } from '../../src/util/random.js';
import { jobLayoutOf, jobLog } from '../support/jobLog.js';
import type { JobLogOptions, Weather } from '../support/jobLog.js';

function findingsOf(options: JobLogOptions, edit?: (watch: Watch) => void): Finding[] {
  const layout = jobLayoutOf(options.hosts);
  const names = new HostNames(options.hosts);
  const found: Finding[] = [];
  const watch = new Watch(layout, names, (f) => found.push(f));
  edit?.(watch);
  const checked = { rank: -1, host: -1 };
  for (const record of jobLog(options)) {
    expect(faultOf(record, layout, names, checked)).to.equal(null);
    watch.take(record, checked);
  }
  watch.finish();
  return found;
}

const drifts = (found: readonly Finding[]): Finding[] => found.filter((f) => f.kind === 'drift');

describe('drift tests', function () {
  this.timeout(60_000);

  it('a threshold for a run length has that run length', () => {
    for (const steps of [100, 10_000, 1e6])
      expect(averageRunLength(0.5, thresholdFor(0.5, 1, steps))).to.be.closeTo(2 * steps, 1e-6 * steps);
    expect(thresholdFor(0.5, 100, 1000)).to.be.above(thresholdFor(0.5, 1, 1000));
  });

  it("Student's t becomes the normal deviate of the same probability", () => {
    // Quantiles from tables: t(0.975; 10) = 2.228, t(0.995; 30) = 2.750.
    expect(normalDeviate(2.228, 10)).to.be.closeTo(1.96, 0.02);
    expect(normalDeviate(-2.75, 30)).to.be.closeTo(-2.576, 0.02);
  });

  for (const memory of [0, 0.3, 0.6])
    it(`noise alone with memory ${memory} gives no more alarms than the run length says, and a quarter of them at least`, () => {
      const random = new Random(5);
      const steps = 1000;
      const threshold = thresholdFor(0.5, 1, steps);
      const bank = new DriftBank(1, 0.5, 1e-6);
      let alarms = 0;
      const total = 200_000;
      let noise = random.normal();
      for (let i = 0; i < total; i++) {
        noise = memory * noise + Math.sqrt(1 - memory * memory) * random.normal();
        if (bank.push(0, 3 + 0.03 * noise, threshold) !== null) alarms++;
      }
      expect(alarms).to.be.within((total / steps) * 0.25, (total / steps) * 1.2);
    });

  it('the memory of noise is learned, and neither a change of level nor a ramp is taken for it', () => {
    for (const [change, ramp] of [
      [0, 0],
      [3, 0],
      [0, 5],
    ] as const) {
      const random = new Random(8);
      const memory = new NoiseMemory(1, false);
      let noise = 0;
      for (let i = 0; i < 4000; i++) {
        noise = 0.5 * noise + random.normal();
        memory.add(0, noise + (i >= 2000 ? change : 0) + (ramp * i) / 4000, 1, true);
      }
      expect(memory.of(0), `${change} ${ramp}`).to.be.within(0.47, 0.6);
    }
  });

  it('a job that warms up is not said to become faster', () => {
    for (let seed = 0; seed < 10; seed++) {
      const random = new Random(300 + seed);
      const bank = new DriftBank(1, 0.5, 1e-6);
      const threshold = thresholdFor(0.5, 1, 10_000);
      for (let i = 0; i < 500; i++) {
        const level = Math.log1p(Math.exp(-i / 15));
        expect(bank.push(0, level + 0.02 * random.normal(), threshold), `seed ${seed} step ${i}`).to.equal(
          null,
        );
      }
    }
  });

  it('outliers and a slow start raise no alarm; a change is told with its size and its start', () => {
    const random = new Random(6);
    const bank = new DriftBank(1, 0.5, 1e-6);
    const threshold = thresholdFor(0.5, 1, 10_000);
    for (let i = 0; i < 400; i++) {
      const spike = i < 2 || i % 100 === 50 ? 3 : 0;
      expect(bank.push(0, spike + 0.03 * random.normal(), threshold), `step ${i}`).to.equal(null);
    }
    for (let i = 1; ; i++) {
      const alarm = bank.push(0, 0.06 + 0.03 * random.normal(), threshold);
      if (alarm === null) continue;
      expect(i).to.be.below(25);
      expect(alarm.change).to.be.closeTo(0.06, 0.03);
      expect(alarm.length).to.be.closeTo(i, 3);
      break;
    }
  });

  it('a state that was written and read goes on as if nothing had happened', () => {
    const random = new Random(7);
    const values = Array.from({ length: 300 }, (_, i) => (i < 200 ? 0 : 0.05) + 0.03 * random.normal());
    const whole = new DriftBank(1, 0.5, 1e-6);
    const first = new DriftBank(1, 0.5, 1e-6);
    values.slice(0, 150).forEach((v) => first.push(0, v, 9));
    const second = new DriftBank(1, 0.5, 1e-6);
    second.restore(JSON.parse(JSON.stringify(first.snapshot())) as number[][]);
    const alarms = (bank: DriftBank, part: number[]) => part.map((v) => bank.push(0, v, 9));
    const expected = alarms(whole, values).slice(150);
    expect(alarms(second, values.slice(150))).to.deep.equal(expected);
    expect(expected.some((a) => a !== null)).to.equal(true);
  });
});

describe('what changed in a job', function () {
  this.timeout(120_000);

  for (const [timing, by] of [
    ['barrier', 'host'],
    ['alone', 'host'],
    ['barrier', 'rank'],
  ] as const)
    it(`a host that slows by 5% under 3% noise is named within 50 steps (${timing}, by ${by})`, () => {
      let right = 0;
      const runs = 40;
      for (let seed = 0; seed < runs; seed++) {
        const host = seed % 4;
        const found = findingsOf({
          ...{ hosts: 4, steps: 255, seed, timing, by },
          slow: { host, factor: 1.05, step: 200 },
        });
        const first = drifts(found).find((f) => f.scope !== 'job' && f.step >= 200 && (f.change ?? 0) > 0);
        if (first?.scope === 'host' && first.host === `host${host}` && first.step <= 250) right++;
      }
      expect(right).to.be.at.least(0.9 * runs);
    });

  it('at most one false alarm in 10,000 steps at 3% noise', () => {
    let alarms = 0;
    for (let seed = 0; seed < 4; seed++)
      alarms += drifts(findingsOf({ hosts: 8, steps: 10_000, seed })).length;
    expect(alarms).to.be.at.most(4);
  });

  const weathers: [string, Weather][] = [
    ['remembers its past (0.6)', { memory: 0.6 }],
    ['has heavy tails', { heavyTails: true }],
    [
      'has checkpoints and stumbles',
      { pause: { every: 50, seconds: 12 }, stumble: { every: 100, factor: 2 } },
    ],
  ];
  for (const [name, weather] of weathers)
    it(`at most one false alarm in 10,000 steps when the noise ${name}`, () => {
      let alarms = 0;
      for (let seed = 0; seed < 4; seed++)
        alarms += drifts(findingsOf({ hosts: 8, steps: 5000, seed: 70 + seed, weather })).length;
      expect(alarms).to.be.at.most(2);
    });

  it('a job that slows little by little is no host’s doing', () => {
    const weather = { ramp: { change: 0.1, from: 500, to: 2500 } };
    const found = drifts(findingsOf({ hosts: 8, steps: 3000, seed: 80, weather }));
    expect(found.filter((f) => f.scope !== 'job')).to.deep.equal([]);
    expect(found.some((f) => f.what === 'compute' && f.change! > 0)).to.equal(true);
  });

  it('a slow link level is told from slow computing, and the slow step is laid to it', () => {
    const found = drifts(
      findingsOf({ hosts: 8, steps: 300, seed: 1, link: { level: 'nic', factor: 1.3, step: 200 } }),
    );
    const link = found.find((f) => f.scope === 'level')!;
    expect(link).to.include({ what: 'communication', level: 'nic' });
    expect(link.change).to.be.closeTo(0.3, 0.08);
    const step = found.find((f) => f.what === 'step time')!;
    expect(step).to.include({ scope: 'job', cause: link.number });
    expect(found.filter((f) => f.scope === 'host')).to.deep.equal([]);
  });

  it('computing that slows everywhere is no host, and one rank is not its host', () => {
    const everywhere = drifts(
      findingsOf({ hosts: 8, steps: 300, seed: 2, slowEverywhere: { factor: 1.05, step: 200 } }),
    );
    expect(everywhere[0]).to.include({ scope: 'job', what: 'compute', host: null });
    expect(everywhere.filter((f) => f.scope === 'host')).to.deep.equal([]);
    const rank = drifts(
      findingsOf({ hosts: 4, by: 'rank', steps: 300, seed: 3, slow: { rank: 13, factor: 1.08, step: 200 } }),
    );
    expect(rank[0]).to.include({ scope: 'rank', rank: 13, host: 'host1' });
  });

  it('steps that are not the plan’s are told once the job has settled', () => {
    const found = findingsOf({ hosts: 4, steps: 100, seed: 4, timing: 'alone' });
    expect(found.map((f) => f.kind)).to.deep.equal(['prediction']);
    expect(found[0].change).to.be.closeTo(4 / 5.2 - 1, 0.02);
  });
});
