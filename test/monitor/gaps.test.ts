import { expect } from 'chai';
import type { Finding } from '../../src/validation/monitor/finding.js';
import type { MonitorRecord } from '../../src/validation/monitor/record.js';
import { MonitorSession } from '../../src/validation/monitor/session.js';
import { jobLayoutOf, jobLog } from '../support/jobLog.js';

const STEP_SEC = 5.4;
const START_SEC = 1_790_000_000;

/** Findings of a log, and the counts. */
function watch(
  hosts: number,
  records: Iterable<MonitorRecord>,
): { found: Finding[]; session: MonitorSession } {
  const found: Finding[] = [];
  const session = new MonitorSession(jobLayoutOf(hosts), 'jsonl', null, (f) => found.push(f));
  for (const record of records) session.line(JSON.stringify(record), 'log');
  session.finish();
  return { found, session };
}

function* clocked(
  records: Iterable<MonitorRecord>,
  clock: (record: MonitorRecord, usualSec: number) => number | undefined,
  only = false,
): Generator<MonitorRecord> {
  for (const record of records) {
    const timeSec = clock(record, START_SEC + record.step! * STEP_SEC);
    const { stepTimeSec, ...rest } = record;
    yield {
      ...(only ? { step: rest.step!, host: rest.host! } : { ...rest, stepTimeSec: stepTimeSec! }),
      timeSec: timeSec!,
    };
  }
}

const kinds = (found: readonly Finding[]): string[] => found.map((f) => f.kind);

describe('clocks and gaps', () => {
  it('a clock that is set back or forward is told once, and is no drift', () => {
    const log = jobLog({ hosts: 4, steps: 300, seed: 21 });
    const leaps = clocked(log, ({ host, step }, sec) => {
      if (host !== 'host2' || step! < 150) return sec;
      return step! < 200 ? sec - 3600 : sec;
    });
    const { found, session } = watch(4, leaps);
    expect(found[0]).to.include({ kind: 'clock', host: 'host2', step: 150 });
    expect(kinds(found)).to.deep.equal(['clock', 'pause']);
    expect(session.watch.counts.clockJumps).to.equal(1);
  });

  it('a pause of hours is told once, and the slow steps after it are no drift', () => {
    const paused = function* (): Generator<MonitorRecord> {
      for (const record of jobLog({ hosts: 4, steps: 300, seed: 22 })) {
        const isSlow = record.step! >= 200 && record.step! < 206;
        yield isSlow
          ? { ...record, stepTimeSec: record.stepTimeSec! * 2, computeSec: record.computeSec! * 2 }
          : record;
      }
    };
    const { found } = watch(
      4,
      clocked(paused(), ({ step }, sec) => (step! < 200 ? sec : sec + 3 * 3600)),
    );
    expect(kinds(found)).to.deep.equal(['pause']);
    expect(found[0]).to.include({ scope: 'job', step: 200 });
    expect(found[0].after).to.be.closeTo(3 * 3600 + STEP_SEC, 1);
    expect(found[0].message).to.match(/^no step for 108\d\d s before step 200/);
  });

  it('step times that follow from time stamps alone survive both', () => {
    const only = clocked(
      jobLog({ hosts: 1, steps: 300, seed: 23, by: 'host' }),
      ({ step }, sec) => sec + (step! >= 120 ? 7200 : 0) - (step! >= 180 ? 10_000 : 0),
      true,
    );
    const { found, session } = watch(1, only);
    expect(kinds(found)).to.deep.equal(['pause', 'clock']);
    expect(session.watch.times.median()).to.be.closeTo(STEP_SEC, 1e-3);
    expect(session.watch.times.quantile(0.999)).to.be.closeTo(STEP_SEC, 1e-3);
  });
});

describe('who says nothing any more', () => {
  it('a silent rank is named with its host, and its return', () => {
    const log = [...jobLog({ hosts: 2, devicesPerHost: 8, steps: 200, seed: 31, by: 'rank' })];
    const { found } = watch(
      2,
      log.filter(({ rank, step }) => rank !== 11 || step! < 100 || step! >= 150),
    );
    expect(kinds(found)).to.deep.equal(['silent', 'back']);
    expect(found[0]).to.include({ scope: 'rank', rank: 11, host: 'host1', sinceStep: 100 });
    expect(found[0].step).to.be.within(118, 128);
    expect(found[0].message).to.match(/^rank 11 \(host1\) says nothing any more, since step 100/);
    expect(found[1]).to.include({ scope: 'rank', rank: 11, step: 150 });
  });

  it('a silent host says it for all of its ranks', () => {
    const log = [...jobLog({ hosts: 2, devicesPerHost: 8, steps: 200, seed: 32, by: 'rank' })];
    const { found } = watch(
      2,
      log.filter(({ rank, step }) => rank! < 8 || step! < 100 || step! >= 150),
    );
    expect(found.map((f) => `${f.kind} ${f.scope} ${f.host}`)).to.deep.equal([
      'silent host host1',
      'back host host1',
    ]);
  });

  it('unknown hosts, negative times and values of the wrong type are counted and quoted; the others go on', () => {
    const good = [...jobLog({ hosts: 2, steps: 40, seed: 33 })].map((r) => JSON.stringify(r));
    const bad = [
      '{"step":5,"host":"stranger","stepTimeSec":5}',
      '{"step":5,"host":"host0","stepTimeSec":-5}',
      '{"step":5,"host":"host0","stepTimeSec":"5"}',
      '{"step":5,"host":"host0","stepTimeSec":1e300}',
      '{"step":5,"host":7,"stepTimeSec":5}',
      '{"step":5,"rank":99,"stepTimeSec":5}',
      '{"step":-5,"stepTimeSec":5}',
      '{"step":5,"timeSec":-1,"stepTimeSec":5}',
      '[1,2]',
      'null',
    ];
    const session = new MonitorSession(jobLayoutOf(2), 'jsonl', null, () => undefined);
    [...good.slice(0, 20), ...bad, ...good.slice(20)].forEach((line, i) => session.line(line, 'log', i + 1));
    expect(session.watch.counts.accepted).to.equal(80);
    const faults = {
      'unknown host': 2,
      negative: 2,
      'not a number': 1,
      'out of range': 1,
      rank: 1,
      step: 1,
      'no record': 2,
    };
    expect(session.faults).to.deep.equal(faults);
    expect(session.quoted[0]).to.deep.equal({ fault: 'unknown host', where: 'log:21', text: bad[0] });
    expect([...session.names.strangers]).to.deep.equal(['stranger']);
  });
});
