/** What is asked of a job's end, and what is answered. */
import { expect } from 'chai';
import { goodputFacts, parseMtbf } from '../../src/api/goodput.js';
import { checkPriced, parseRisk, riskOf } from '../../src/api/risk.js';
import type { RiskFlags, RiskSubject } from '../../src/api/risk.js';
import { goodputText } from '../../src/report/goodputTable.js';
import { riskTable } from '../../src/report/riskTable.js';
import { PartitionError } from '../../src/util/errors.js';

const DAY_SEC = 86_400;
const MTBF = 'device=40000h,steps=500000,checkpoint=2m,spares=4,repair=2d';
const JOB: RiskSubject = {
  ...{ devices: 1024, hosts: 128, stepTimeSec: 5, steps: 500_000 },
  ...{ usdPerStep: 3, standstillSec: 0, ratios: { low: 0.95, high: 1.15 } },
};

function fault(act: () => unknown): string {
  try {
    act();
  } catch (e) {
    if (e instanceof PartitionError) return e.line();
    throw e;
  }
  return 'accepted';
}

function asked(flags: RiskFlags): NonNullable<ReturnType<typeof parseRisk>> {
  return parseRisk({ mtbf: MTBF, ...flags })!;
}

describe('deadlines and budgets', () => {
  it('a deadline is a duration, or the end of a day counted from the start of another', () => {
    expect(asked({ deadline: '36h' })).to.include({ deadlineSec: 1.5 * DAY_SEC, start: null });
    const dated = asked({ start: '2028-02-01', deadline: '2028-02-29' });
    expect(dated).to.include({ deadlineSec: 29 * DAY_SEC, start: '2028-02-01', deadline: '2028-02-29' });
    expect(asked({ start: '2026-05-01', deadline: '2026-05-01' }).deadlineSec).to.equal(DAY_SEC);
    expect(asked({ maxCost: '2.5E6' }).maxCostUsd).to.equal(2.5e6);
    expect(parseRisk({})).to.equal(null);
    expect(parseRisk({ mtbf: MTBF })).to.equal(null);
  });

  it('what cannot be meant is refused in a line that names the flag', () => {
    const refused: [RiskFlags, RegExp][] = [
      [{ deadline: '0d' }, /--deadline: expected a duration above 0.*found 0d/],
      [{ deadline: '-3d' }, /--deadline: expected a duration above 0.*found -3d/],
      [{ deadline: '3 fortnights' }, /--deadline: expected a duration above 0/],
      [{ deadline: '' }, /--deadline: .*found nothing/],
      [{ deadline: '2026-01-05' }, /--deadline: a date takes --start/],
      [
        { deadline: '2027-02-29', start: '2026-01-01' },
        /--deadline: expected a date YYYY-MM-DD, found 2027-02-29/,
      ],
      [{ deadline: '2026-01-05', start: '2026-01-06' }, /--deadline: 2026-01-05 is before the start/],
      [{ deadline: '3d', start: 'soon' }, /--start: expected a date YYYY-MM-DD, found soon/],
      [{ start: '2026-01-06' }, /--start: says nothing without --deadline or --max-cost/],
      [{ maxCost: '-1' }, /--max-cost: expected US dollars above 0, found -1/],
      [{ maxCost: '0' }, /--max-cost: expected US dollars above 0/],
      [{ maxCost: '1e999' }, /--max-cost: expected US dollars above 0/],
      [{ mtbf: undefined, maxCost: '1e5' }, /--max-cost: expected --mtbf with the steps/],
    ];
    for (const [flags, pattern] of refused)
      expect(
        fault(() => asked(flags)),
        JSON.stringify(flags),
      ).to.match(pattern);
    const terms = [
      '',
      'device=5',
      'device=0h',
      'spares=1.5',
      'steps=0',
      'stragglers=3',
      'shape=0.1',
      'pump=3h',
    ];
    for (const term of terms)
      expect(
        fault(() => parseMtbf(term)),
        term,
      ).to.match(/--mtbf: expected terms such as device=50000h, found/);
    expect(parseMtbf('shape=0.7,restart=0s')).to.include({ failureShape: 0.7, restartSec: 0 });
  });

  it('a cost is only asked for where the cluster has a price', () => {
    const cost = asked({ maxCost: '1e6' });
    expect(fault(() => checkPriced(cost, { cluster: 'h100-sxm', devices: 8 }))).to.equal('accepted');
    expect(fault(() => riskOf({ ...JOB, usdPerStep: null }, parseMtbf(MTBF), cost, 0))).to.match(
      /--max-cost: .* no price/,
    );
  });

  it('without failures and spread the answer is certain on both sides of the end', () => {
    const sure = { ...JOB, ratios: null };
    const endSec = 500_000 * 5;
    const at = (deadline: string, maxCost: string): number[] => {
      const { predicted, uncertain } = riskOf(
        sure,
        parseMtbf('steps=500000'),
        asked({ deadline, maxCost }),
        0,
      );
      expect(uncertain).to.equal(null);
      expect(predicted).to.include({ p10Sec: endSec, p50Sec: endSec, p90Sec: endSec, meanErrorSec: 0 });
      expect(predicted.p50Usd).to.be.closeTo(1.5e6, 1e-6);
      return [predicted.inTime, predicted.withinCost, predicted.both].map((c) => c!.probability);
    };
    expect(at('29d', '1.6e6')).to.deep.equal([1, 1, 1]);
    expect(at('28d', '1.6e6')).to.deep.equal([0, 1, 0]);
    expect(at('29d', '1.4e6')).to.deep.equal([1, 0, 0]);
  });

  it('the chance grows with time, money and spares, and both is the lesser of the two', () => {
    const answer = (deadline: string, maxCost: string, mtbf = MTBF) =>
      riskOf(JOB, parseMtbf(mtbf), asked({ deadline, maxCost }), 3);
    const chances = ['30d', '31d', '32d', '34d'].map((d) => answer(d, '2e6').predicted);
    for (let i = 1; i < chances.length; i++)
      expect(chances[i].inTime!.probability).to.be.at.least(chances[i - 1].inTime!.probability);
    for (const { inTime, withinCost, both } of chances)
      expect(both!.probability).to.equal(Math.min(inTime!.probability, withinCost!.probability));
    const bare = answer('31d', '2e6', MTBF.replace('spares=4', 'spares=0')).predicted;
    expect(bare.inTime!.probability).to.be.below(chances[1].inTime!.probability);
    expect(chances[0].p10Sec).to.be.below(chances[0].p50Sec!);
    expect(chances[0].p50Sec).to.be.below(chances[0].p90Sec!);
    const { uncertain, predicted, usdPerHour } = answer('31d', '2e6');
    expect(uncertain!.p90Sec! - uncertain!.p10Sec!).to.be.above(predicted.p90Sec! - predicted.p10Sec!);
    // Four spare hosts are paid for beside the 128.
    expect(usdPerHour).to.be.closeTo((3 / 5) * 3600 * (132 / 128), 1e-6);
    expect(predicted.p50Usd! / predicted.p50Sec!).to.be.closeTo(usdPerHour! / 3600, 1e-9);
  });

  it('standing still first moves every end by as much', () => {
    const risk = asked({ deadline: '31d', start: '2026-01-01' });
    const now = riskOf(JOB, parseMtbf(MTBF), risk, 1).predicted;
    const later = riskOf({ ...JOB, standstillSec: DAY_SEC }, parseMtbf(MTBF), risk, 1).predicted;
    expect(later.p50Sec! - now.p50Sec!).to.be.closeTo(DAY_SEC, 1e-3);
    expect(later.inTime!.probability).to.be.below(now.inTime!.probability);
    const day = (date: string): number => Date.parse(date) / 1000;
    expect(day(now.p50Date!) - day('2026-01-01')).to.equal(Math.floor(now.p50Sec! / DAY_SEC) * DAY_SEC);
  });

  it('a job that never ends is told as such, in words and numbers', () => {
    const mtbf = parseMtbf('device=10h,checkpoint=1h,restart=1h');
    const facts = goodputFacts(mtbf, JOB);
    expect(goodputText(facts)).to.match(/^goodput {5}0\.0%: 100000 steps are never done/);
    const risk = riskOf(JOB, mtbf, asked({ deadline: '99d', start: '2026-01-01' }), 1);
    expect(risk.predicted).to.include({ meanSec: null, p50Sec: null, p50Date: null, p50Usd: null });
    expect(risk.predicted.inTime).to.deep.equal({ probability: 0, standardError: 0 });
    expect(riskTable(risk))
      .to.include('never')
      .and.not.match(/NaN|Infinity|null|undefined/);
  });
});
