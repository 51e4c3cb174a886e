import { expect } from 'chai';
import { copyFileSync, mkdtempSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planModel, writePlanFiles } from '../../src/api/plan.js';
import { simulatePlan } from '../../src/api/simulate.js';
import { explainDifference, parseChanges } from '../../src/api/why.js';
import type { WhyFacts } from '../../src/report/whyTable.js';
import { whySentence, whyTable } from '../../src/report/whyTable.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid, gpt2 } from '../cli/support.js';

function expectAddsUp({ before, after, time, memory, energy }: WhyFacts): void {
  const sum = (rows: readonly { before: number; after: number }[], side: 'before' | 'after'): number =>
    rows.reduce((s, row) => s + row[side], 0);
  for (const [side, facts] of [
    ['before', before],
    ['after', after],
  ] as const) {
    expect(sum(time, side)).to.be.closeTo(facts.stepTimeSec, 1e-9 * facts.stepTimeSec);
    expect(sum(memory, side)).to.be.closeTo(facts.peakMemoryBytes, 1e-9 * facts.peakMemoryBytes);
    expect(sum(energy, side)).to.be.closeTo(facts.energyJoulesPerStep, 1e-9 * facts.energyJoulesPerStep);
  }
  for (const rows of [time, memory, energy])
    for (let i = 1; i < rows.length; i++)
      expect(Math.abs(rows[i].difference)).to.be.at.most(Math.abs(rows[i - 1].difference));
}

describe('why a plan', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'why-'));
  const planPath = join(folder, 'gpt2-small.partition/plan.json');
  const why = (instead: string): WhyFacts => explainDifference(planPath, { instead });

  before(async () => {
    const budget = { maxSec: Infinity, maxEvaluations: 100 };
    const request = { modelPath: gpt2, devices: 16, seq: 512, batch: 256, method: 'greedy', budget };
    const reply = await planModel(request, { clock: () => 0 });
    mkdirSync(join(folder, 'gpt2-small.partition'));
    writePlanFiles(reply, request, join(folder, 'gpt2-small.partition'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('is told apart from another, term by term; terms add up on both sides', () => {
    const facts = why('tp=4,pp=2,recompute=full');
    expectAddsUp(facts);
    expect(facts.after.degrees).to.include({ tp: 4, pp: 2, dp: 2 });
    expect(facts.slowdown).to.be.closeTo(facts.after.stepTimeSec / facts.before.stepTimeSec - 1, 1e-12);
    expect(facts.before.stepTimeSec).to.be.closeTo(simulatePlan(gpt2, planPath).summary.estimateSec, 1e-12);
    const recompute = facts.time.find((t) => t.term === 'recompute')!;
    expect(recompute.before).to.equal(0);
    expect(recompute.after).to.be.above(0);
    expect(whySentence(facts)).to.match(/^tp=4,pp=2,recompute=full is [\d.]+ % slower \(.*\): \+/);
    expect(whyTable(facts)).to.include('where the time goes').and.include('a trillion tokens');
    expectValid('why', { summary: whySentence(facts), ...facts });
  });

  it('against itself differs in nothing', () => {
    const facts = why(planPath);
    for (const rows of [facts.time, facts.memory, facts.energy])
      for (const { difference } of rows) expect(difference).to.equal(0);
    expect(whySentence(facts)).to.match(/is as fast .*no term differs/);
  });

  it('is priced on another cluster, stack or power cap', () => {
    expect(why('cluster=a100-80gb').slowdown).to.be.above(0);
    const capped = why('powerCap=350');
    expectAddsUp(capped);
    expect(capped.after.stepTimeSec).to.be.above(capped.before.stepTimeSec);
    expect(capped.after.energyJoulesPerStep / capped.after.stepTimeSec).to.be.below(
      capped.before.energyJoulesPerStep / capped.before.stepTimeSec,
    );
    expect(why('devices=32,batch=512').after.devices).to.equal(32);
  });

  it('finds its model where run.json says, then beside the plan, and says what to pass when there is none', () => {
    const away = join(folder, 'away/gpt2-small.partition');
    mkdirSync(away, { recursive: true });
    copyFileSync(planPath, join(away, 'plan.json'));
    const lost = (): WhyFacts => explainDifference(join(away, 'plan.json'), { instead: 'zero=3' });
    expect(lost).to.throw(PartitionError, /gpt2-small\.onnx/);
    try {
      lost();
    } catch (e) {
      expect((e as PartitionError).line()).to.match(
        /pass it: partition why <plan.json> <model.onnx> --instead/,
      );
    }
    copyFileSync(gpt2, join(folder, 'away/gpt2-small.onnx'));
    expect(lost().model).to.equal(join(folder, 'away/gpt2-small.onnx'));
    expect(readFileSync(planPath, 'utf8')).to.equal(readFileSync(join(away, 'plan.json'), 'utf8'));
  });

  it('refuses terms that it does not understand, each in one line', () => {
    const refuse = (text: string, pattern: RegExp): void => {
      expect(() => parseChanges(text), text).to.throw(PartitionError, pattern);
    };
    refuse('tpp=4', /found tpp=4/);
    refuse('tp', /tp: expected a whole number of at least 1, found nothing/);
    refuse('tp=0', /whole number/);
    refuse('tp=2.5', /whole number/);
    refuse('zero=4', /0, 1, 2 or 3/);
    refuse('leanness=lean', /leanness: expected a whole number/);
    refuse('recompute=some', /one of none, selective, full/);
    refuse('powerCap=hot', /watts/);
    refuse('', /found nothing/);
    expect(parseChanges('tp=8, pp=4,cluster=h200')).to.deep.equal({
      decisions: { tp: 8, pp: 4 },
      surroundings: { cluster: 'h200' },
    });
  });
});
