/** The part of the page on failures. */
import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeReport } from '../../src/api/report.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid, gpt2 } from '../cli/support.js';
import { writePlanned } from '../support/plannedFolder.js';

const MTBF = 'device=3000h,host=20000h,repair=1d,spares=1,checkpoint=5m,stragglers=1%,steps=3000000';

describe('the time to train on a page', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'goodput-page-'));
  let planPath = '';
  const section = (options: Parameters<typeof makeReport>[1]): string => {
    const { html: page } = makeReport(planPath, options);
    return /<section id="training"[^]*?<\/section>/.exec(page)?.[0] ?? '';
  };

  before(async () => {
    const request = { modelPath: gpt2, devices: 64, seq: 512, batch: 512 };
    const failures = { mtbf: MTBF, maxCost: '1e5' };
    planPath = await writePlanned(join(folder, 'p'), { ...request, failures }, { pp: 4, tp: 2 }, 'partition');
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('stands there when failures were stated as the plan was made, or are now', () => {
    const { summary, html } = makeReport(planPath);
    expect(summary.sections).to.include('Time to train');
    expectValid('report', { ...summary, reportPath: 'report.html' });
    expect(html).to.include(MTBF);
    expect(makeReport(planPath).html).to.equal(html);
    expect(section({ failures: { mtbf: 'device=9000h' } })).to.include('--mtbf device=9000h');
    const run = join(folder, 'p/run.json');
    const text = readFileSync(run, 'utf8');
    const told = JSON.parse(text) as { request: { failures?: object } };
    delete told.request.failures;
    writeFileSync(run, JSON.stringify(told));
    expect(makeReport(planPath).summary.sections).to.not.include('Time to train');
    writeFileSync(run, text);
  });

  it('draws the formula, simulated jobs and the best interval, and words for who does not see them', () => {
    const said = section({});
    expect(said.match(/<circle/g)).to.have.length.within(5, 10);
    expect(said).to.match(
      /aria-label="Expected time of the job against the work between checkpoints; lowest at/,
    );
    expect(said)
      .to.match(/checkpoints<\/th>/)
      .and.match(/waiting for repairs<\/th>/);
    expect(said).to.not.match(/NaN|undefined|\[object|Infinity/);
    expect(said).to.include('within 100 k USD').and.not.include('both');
    const dated = section({ failures: { start: '2026-01-01', deadline: '2026-01-31' } });
    expect(dated).to.include('by 2026-01-31').and.include('both');
    expect(dated).to.match(/2026-0\d-\d\d, \d/);
  });

  it('has no picture where nothing fails, and none where the job never ends', () => {
    const sure = section({ failures: { mtbf: 'steps=1000' } });
    expect(sure).to.include('Nothing fails').and.not.include('<svg');
    expect(sure).to.include('100.0% ± 0.0%');
    const hopeless = section({ failures: { mtbf: 'device=1h,checkpoint=2h,restart=3h' } });
    expect(hopeless)
      .to.match(/never/)
      .and.not.match(/NaN|undefined|Infinity/);
  });

  it('refuses what the flags refuse', () => {
    const fault = (failures: Record<string, string>): string => {
      try {
        makeReport(planPath, { failures });
      } catch (e) {
        if (e instanceof PartitionError) return e.line();
      }
      return 'accepted';
    };
    expect(fault({ mtbf: 'device=50' })).to.match(
      /--mtbf: expected terms such as device=50000h, found device=50/,
    );
    expect(fault({ deadline: '2026-02-30' })).to.match(
      /--deadline: expected a date YYYY-MM-DD, found 2026-02-30/,
    );
  });
});
