import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planModel, replayRecord, replayTable } from '../../src/api/index.js';
import type { PlanReply, PlanRequest, ReplayOptions } from '../../src/api/index.js';
import { ranking } from '../../src/simulate/ranking.js';
import { spearman } from '../../src/util/stats.js';
import { expectValid, gpt2, graphs } from '../cli/support.js';

const clock = (): number => 0;

/** A record with a line changed and its checksum put right. */
function forged(text: string, change: (lines: string[]) => void): string {
  const lines = text.trimEnd().split('\n');
  change(lines);
  const body = `${lines.slice(0, -1).join('\n')}\n`;
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${body}${JSON.stringify({ evaluations: lines.length - 2, sha256 })}\n`;
}

describe('recording and replaying a search', function () {
  this.timeout(60_000);
  let folder = '';
  let reply: PlanReply;
  const path = (name: string): string => join(folder, name);
  const plan = (record: string, more: Partial<PlanRequest> = {}): Promise<PlanReply> =>
    planModel(
      {
        modelPath: gpt2,
        devices: 16,
        seq: 512,
        batch: 64,
        budget: { maxSec: Infinity, maxEvaluations: 150 },
        method: 'random',
        record: path(record),
        ...more,
      },
      { clock },
    );
  const replay = (name: string, options: ReplayOptions = {}): ReturnType<typeof replayRecord> =>
    replayRecord(path(name), { modelPath: gpt2, ...options });

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'replay-'));
    reply = await plan('trace.jsonl');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('keeps every plan that the search priced, and nothing else is left', async () => {
    const facts = replay('trace.jsonl');
    expect(facts.evaluations).to.equal(reply.evaluations);
    expect(facts.bestBefore!.before).to.equal(reply.plan.prediction.stepTimeSec);
    expect(readdirSync(folder)).to.deep.equal(['trace.jsonl']);
    await plan('twice.jsonl');
    expect(readFileSync(path('twice.jsonl'), 'utf8')).to.equal(readFileSync(path('trace.jsonl'), 'utf8'));
    rmSync(path('twice.jsonl'));
  });

  it('names no folder, date or host', () => {
    const header = readFileSync(path('trace.jsonl'), 'utf8').split('\n')[0];
    expect(header).to.not.match(/"\/|[A-Z]:\\|\d{4}-\d\d-\d\d/);
  });

  const settings: [string, Partial<PlanRequest>][] = [
    ['on TPUs', { cluster: 'tpu-v5p' }],
    [
      'on a damaged cluster from a file',
      { cluster: join(graphs, 'clusters/mixed-a100-h100.yaml'), devices: 24 },
    ],
    ['under another stack and precision', { stack: 'fsdp', precision: 'fp8' }],
    ['for energy and cost', { objective: 'time=0.5,energy=0.3,cost=0.2' }],
    ['in inference', { phase: 'inference' }],
    ['with the portfolio', { method: 'auto' }],
  ];
  for (const [name, request] of settings)
    it(`is bit-exact ${name}`, async () => {
      await plan('other.jsonl', { ...request, batch: 48 });
      const facts = replay('other.jsonl');
      expect(facts.differences).to.deep.equal({ plans: 0, largest: 0, first: [] });
      expect(facts.tolerance).to.equal(0);
      expectValid('replay', facts);
      rmSync(path('other.jsonl'));
    });

  it('tells which price was changed, and by how much', () => {
    const text = readFileSync(path('trace.jsonl'), 'utf8');
    const wrong = forged(text, (lines) => {
      const [decisions, price] = JSON.parse(lines[7]) as [unknown[], number[]];
      price[1] *= 1.01;
      lines[7] = JSON.stringify([decisions, price]);
    });
    writeFileSync(path('wrong.jsonl'), wrong);
    const facts = replay('wrong.jsonl');
    expect(facts.differences.plans).to.equal(1);
    expect(facts.differences.largest).to.be.closeTo(0.0099, 1e-4);
    expect(facts.differences.first[0]).to.include({ line: 8, field: 'stepTimeSec' });
    expect(replayTable(facts)).to.match(/1 of 150 prices differ from the record \(compared bit by bit\)/);
    expectValid('replay', facts);
    rmSync(path('wrong.jsonl'));
  });

  it('compares another version within a tolerance, and says so', () => {
    const text = readFileSync(path('trace.jsonl'), 'utf8');
    const older = forged(text, (lines) => {
      lines[0] = lines[0].replace(/"programVersion":"[^"]*"/, '"programVersion":"0.0.1"');
      const [decisions, price] = JSON.parse(lines[5]) as [unknown[], number[]];
      lines[5] = JSON.stringify([decisions, price.map((x, i) => (i === 1 ? x * (1 + 1e-12) : x))]);
    });
    writeFileSync(path('older.jsonl'), older);
    const facts = replay('older.jsonl');
    expect(facts.tolerance).to.be.above(0);
    expect(facts.differences.plans).to.equal(0);
    expect(facts.warnings.join()).to.match(/recorded by version 0\.0\.1/);
    rmSync(path('older.jsonl'));
  });

  it('shows what if these were H200s, under another stack, with leaner uplinks', () => {
    const faster = replay('trace.jsonl', { cluster: 'h200' });
    expect(faster.again).to.equal(false);
    expect(faster.tolerance).to.equal(null);
    expect(faster.after.cluster).to.equal('h200');
    for (const p of faster.top) expect(p.after).to.be.at.most(p.before!);
    expect(faster.top).to.have.length(10);
    expect(replayTable(faster)).to.match(/best before .*\n *best after /);
    expectValid('replay', faster);
    const lean = replay('trace.jsonl', { oversubscription: 4 });
    for (const p of lean.top) expect(p.after).to.be.at.least(p.before!);
    expect(lean.rankCorrelation).to.be.within(0.5, 1);
    expect(lean.after.oversubscription).to.deep.equal({ level: 'rail', ratio: 4 });
    expect(replay('trace.jsonl', { stack: 'fsdp' }).after.stack).to.equal('fsdp');
    expect(replay('trace.jsonl', { oversubscription: 1 }).top[0].change).to.equal(1);
  });

  it('keeps the calibration it was priced with, and prices under another one', async () => {
    const calibration = path('ours.yaml');
    const numbers = (name: string, share: number): string =>
      `schemaVersion: 1\nname: ${name}\ndevices:\n  h100-sxm: { memoryEfficiency: { value: ${share}, source: "made up" } }\n`;
    writeFileSync(calibration, numbers('ours', 0.5));
    await plan('calibrated.jsonl', { calibration });
    rmSync(calibration);
    const facts = replay('calibrated.jsonl');
    expect(facts.differences.plans).to.equal(0);
    expect(facts.before.calibration).to.equal('ours');
    expect(facts.after.calibration).to.equal('ours');
    expect(facts.bestBefore!.before).to.be.above(replay('trace.jsonl').bestBefore!.before!);
    writeFileSync(calibration, numbers('faster', 0.95));
    const faster = replay('calibrated.jsonl', { calibration });
    expect(faster.after.calibration).to.equal('faster');
    for (const p of faster.top) expect(p.after).to.be.below(p.before!);
    rmSync(calibration);
    rmSync(path('calibrated.jsonl'));
  });

  it('finds the model beside the record and refuses another one', () => {
    expect(() => replayRecord(path('trace.jsonl'))).to.throw(/gpt2-small.onnx stands neither beside it/);
    copyFileSync(gpt2, path('gpt2-small.onnx'));
    expect(replayRecord(path('trace.jsonl')).model).to.equal(path('gpt2-small.onnx'));
    rmSync(path('gpt2-small.onnx'));
    expect(() => replay('trace.jsonl', { modelPath: join(graphs, 'gpt2-tiny.ts.onnx') })).to.throw(
      /with digest .*this model has|bound|size/,
    );
  });

  it('refuses a plan that is none of the model, and leaves nothing when the search fails', async () => {
    const text = readFileSync(path('trace.jsonl'), 'utf8');
    writeFileSync(
      path('bad.jsonl'),
      forged(text, (lines) => (lines[3] = lines[3].replace(/^\[\[\d+/, '[[7'))),
    );
    expect(() => replay('bad.jsonl')).to.throw(/line 4: no plan of this model/);
    writeFileSync(
      path('bad.jsonl'),
      forged(text, (lines) => (lines[3] = '{"not":"a plan"}')),
    );
    expect(() => replay('bad.jsonl')).to.throw(/line 4: no priced plan/);
    rmSync(path('bad.jsonl'));
    let failure: unknown;
    await plan('failed.jsonl', { method: 'unheard-of' }).catch((e: unknown) => (failure = e));
    expect(failure).to.be.an('error');
    expect(readdirSync(folder)).to.deep.equal(['trace.jsonl']);
  });
});

describe('order of plans before and after', () => {
  it('correlates ranks, equal values sharing one', () => {
    expect(spearman([1, 2, 3], [10, 20, 30])).to.equal(1);
    expect(spearman([1, 2, 3], [3, 2, 1])).to.equal(-1);
    // Ranks 0 1 2 3 and 0.5 0.5 2 3.
    expect(spearman([1, 2, 3, 4], [5, 5, 6, 7])).to.be.closeTo(4.5 / Math.sqrt(5 * 4.5), 1e-12);
    expect(spearman([1], [1])).to.satisfy(Number.isNaN);
  });

  it('ranks only what fits', () => {
    const r = ranking([3, Infinity, 1, 2], [Infinity, 5, 7, 6], 2);
    expect(r).to.deep.include({ plans: 4, fitBefore: 3, fitAfter: 3, rankCorrelation: -1 });
    expect(r.bestBefore).to.deep.equal({ plan: 2, before: 1, after: 7, rankBefore: 1, rankAfter: 3 });
    expect(r.top.map((p) => [p.plan, p.rankBefore, p.rankAfter])).to.deep.equal([
      [1, null, 1],
      [3, 2, 2],
    ]);
    expect(ranking([Infinity], [Infinity], 3).bestBefore).to.equal(null);
  });
});
