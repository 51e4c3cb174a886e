import { expect } from 'chai';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeReport } from '../../src/api/report.js';
import { html } from '../../src/report/page/markup.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid, gpt2, root } from '../cli/support.js';
import { writePlanned } from '../support/plannedFolder.js';

const COMMAND = "partition graphs/gpt2-small.onnx --devices 64 --seq 512 --out 'a b'";
const SECTIONS = [
  'Summary',
  'Where the step goes',
  'The pipeline over time',
  'Memory',
  'The cluster',
  'The layers',
  'Energy and carbon',
  'How it was made',
];

/** A comparison of two methods, of which the second could not run; as `partition compare --json` prints it. */
function comparison(): object {
  const row = {
    ...{ isAgent: false, values: [1.2], lowerQuartile: 1.1, median: 1.2, upperQuartile: 1.3, wonShare: 1 },
    ...{ beatsRandomShare: 1, evaluations: 40, wallSec: 0.5, gapToBound: 0.2, gapToBest: 0, proved: 0 },
    ...{ endedEarly: false, capped: false, failure: null },
  };
  const curve = [
    { evaluations: 1, wallSec: 0.01, value: 1.9 },
    { evaluations: 30, wallSec: 0.4, value: 1.2 },
  ];
  return {
    ...{ model: 'gpt2-small.onnx', devices: 64, cluster: 'h100-sxm', objective: 'time', globalBatch: 512 },
    ...{ sequenceLength: 512, lowerBound: 1, warnings: [], seeds: [1], chartPath: null },
    best: { value: 1.2, method: 'greedy', seed: 1 },
    comparisons: [
      {
        by: 'evaluations',
        amount: 40,
        methods: [
          { ...row, method: 'greedy' },
          { ...row, method: 'gpmetis', median: null, failure: 'gpmetis is not installed' },
        ],
      },
    ],
    runs: [{ method: 'greedy', seed: 1, by: 'evaluations', value: 1.2, curve }],
  };
}

describe('a report', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'report-'));
  let planPath = '';

  before(async () => {
    const request = { modelPath: gpt2, devices: 64, seq: 512, batch: 512 };
    planPath = await writePlanned(
      join(folder, 'p'),
      request,
      { pp: 4, tp: 2, vpp: 3, microbatch: 1, schedule: 'interleaved' },
      COMMAND,
    );
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('has every part, the command that made the plan, and asks nobody for anything', () => {
    const { html: page, summary } = makeReport(planPath);
    expect(summary.sections).to.deep.equal(SECTIONS);
    expect(summary.bytes).to.be.below(2 * 2 ** 20);
    expectValid('report', { ...summary, reportPath: 'report.html' });
    expect(page).to.include(COMMAND);
    expect(page).to.not.match(/(?:src|href|action|data|poster)\s*=\s*["']?(?:https?:)?\/\//i);
    expect(page).to.not.match(
      /url\(|@import|fetch\(|XMLHttpRequest|import\(|WebSocket|EventSource|sendBeacon/,
    );
    const said = page.replace(/<script[^]*?<\/script>/g, '');
    expect(said).to.not.match(/NaN|undefined|\[object|Infinity/);
  });

  it('is the same bytes for the same files', () => {
    expect(makeReport(planPath).html).to.equal(makeReport(planPath).html);
  });

  it('tells every table what its columns are, and gives every picture words', () => {
    const { html: page } = makeReport(planPath);
    const count = (pattern: RegExp): number => page.match(pattern)?.length ?? 0;
    expect(count(/<table>/g)).to.be.at.least(6);
    expect(count(/<caption>/g)).to.equal(count(/<table>/g));
    expect(count(/<th scope="col">/g)).to.be.above(count(/<table>/g));
    const pictures = page.match(/<[^>]*role="img"[^>]*>/g)!;
    expect(pictures.length).to.be.at.least(8);
    for (const picture of pictures) expect(picture).to.match(/aria-label="[^"]{10,}"/);
  });

  it('packs every interval of the step', () => {
    const { html: page } = makeReport(planPath);
    const told = /event \((\d+)\s+intervals/.exec(page.replace(/\s+/g, ' '));
    expect(Number(told![1])).to.be.at.least(2 * 4 * 3 * 16);
  });

  it('without its model lacks what only the model tells, and says so', () => {
    const alone = join(folder, 'alone.json');
    copyFileSync(planPath, alone);
    const { html: page, summary } = makeReport(alone);
    expect(summary.model).to.equal(null);
    expect(summary.sections).to.not.include('The pipeline over time').and.not.include('The layers');
    expect(summary.warnings[0]).to.match(/model gpt2-small\.onnx was not found.*--model/);
    expect(page).to.include('The command is not known');
    const { summary: whole } = makeReport(alone, { modelPath: gpt2, seq: 512 });
    expect(whole.sections).to.deep.equal(SECTIONS);
  });

  it('of a committed example needs nothing but the example', () => {
    const { summary } = makeReport(join(root, 'partitions/bert-large.64.json'), {
      modelPath: join(root, 'graphs/bert-large.onnx'),
    });
    expect(summary.sections).to.deep.equal(SECTIONS);
  });

  it('shows a comparison with its curves, and refuses a file that is none', () => {
    const path = join(folder, 'compare.json');
    writeFileSync(path, JSON.stringify(comparison()));
    expectValid('compare', comparison());
    const { html: page, summary } = makeReport(planPath, { compare: path });
    expect(summary.sections).to.include('Methods compared');
    expect(page).to.include('did not run: gpmetis is not installed').and.include('<polyline');
    const failure = (text: string): string => {
      writeFileSync(path, text);
      try {
        makeReport(planPath, { compare: path });
      } catch (e) {
        if (e instanceof PartitionError) return e.line();
      }
      return 'accepted';
    };
    for (const text of [
      '',
      '[]',
      'null',
      '{}',
      '{"model":1,"seeds":[],"comparisons":[]}',
      '{"comparisons":[null]}',
    ])
      expect(failure(text)).to.match(/compare\.json: expected a comparison.*found/);
  });

  it('escapes what comes from files', () => {
    const plan = JSON.parse(readFileSync(planPath, 'utf8')) as {
      model: { name: string };
      warnings: string[];
    };
    plan.model.name = '<img src=x onerror=alert(1)>';
    plan.warnings = ['</script><script>alert(2)</script>'];
    const path = join(folder, 'hostile.json');
    writeFileSync(path, JSON.stringify(plan));
    const { html: page } = makeReport(path);
    expect(page).to.include('&lt;img src=x').and.include('&lt;/script&gt;');
    expect(page).to.not.include('<img').and.not.include('<script>alert');
    expect(html`<a title="${'"><b>'}">${'<&'}</a>`.text).to.equal(
      '<a title="&quot;&gt;&lt;b&gt;">&lt;&amp;</a>',
    );
  });
});
