/** From a job's log to a corrected plan: the monitor's state and plain logs, through the built program. */
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { planModel, writePlanFiles } from '../../src/api/plan.js';
import { replan } from '../../src/api/replan.js';
import { openRunningJob } from '../../src/api/runningJob.js';
import { plannedCluster } from '../../src/api/plannedCluster.js';
import { writeReplanFiles } from '../../src/api/replanFiles.js';
import { simulatePlan } from '../../src/api/simulate.js';
import { decodePlan, encodePlan } from '../../src/plan/codec.js';
import { explain } from '../../src/simulate/explain.js';
import { TIME_TERMS } from '../../src/simulate/terms.js';
import type { ReplanFacts } from '../../src/report/replanTable.js';
import { planDigest } from '../../src/validation/monitor/layout.js';
import { Random } from '../../src/util/random.js';
import { expectOneLine, expectValid, gpt2, partition, scratchFolder } from '../cli/support.js';

const clock = (): number => 0;
const HOSTS = 4;
const STEPS = 120;

interface World {
  /** Times the predicted computing time, of all hosts and of one. */
  readonly computing: number;
  readonly slowHost?: number;
  readonly slowFactor?: number;
  /** Times the predicted rest of the step. */
  readonly rest: number;
}

describe('replanning from what was observed', function () {
  this.timeout(240_000);
  const folder = scratchFolder('observed');
  const path = (name: string): string => join(folder(), name);

  /** A log of the plan's job: every host says how long the step took and how long it computed. */
  const writeLog = (
    name: string,
    { computing, slowHost, slowFactor = 1, rest }: World,
    extra: string[] = [],
  ) => {
    const { base, running, plan } = openRunningJob(path('p/plan.json'), gpt2);
    const { estimate, ranks } = explain(base.problem, running);
    const computeSec = TIME_TERMS.reduce((sum, { key, group }) => {
      const { exposedSec, hiddenSec } = ranks[0].time[key];
      return group === 'compute' || key === 'optimizer' ? sum + exposedSec + hiddenSec : sum;
    }, 0);
    const random = new Random(5);
    const noise = (): number => Math.exp(0.01 * random.normal());
    const lines = [JSON.stringify({ header: { planDigest: planDigest(plan) } }), ...extra];
    for (let step = 0; step < STEPS; step++) {
      const own = Array.from(
        { length: HOSTS },
        (_, h) => computeSec * computing * (h === slowHost ? slowFactor : 1) * noise(),
      );
      const stepTimeSec = Math.max(...own) + (estimate.stepTimeSec - computeSec) * rest;
      own.forEach((sec, h) =>
        lines.push(JSON.stringify({ step, host: `host${h}`, stepTimeSec, computeSec: sec })),
      );
    }
    writeFileSync(path(name), `${lines.join('\n')}\n`);
  };

  before(async () => {
    const request = {
      modelPath: gpt2,
      devices: 8 * HOSTS,
      seq: 1024,
      batch: 256,
      method: 'exhaustive',
      budget: { maxSec: Infinity, maxEvaluations: 400 },
    };
    writePlanFiles(await planModel(request, { clock }), request, path('p'));
    writeLog('slow.jsonl', { computing: 1, slowHost: 2, slowFactor: 1.25, rest: 1 });
    writeLog('computing.jsonl', { computing: 1.2, rest: 1 }, [
      '{"step": 1, "host": "host9", "stepTimeSec": 1}',
      '{"step": 1, "host": "host1", "stepTimeSec": -4}',
      '{"step": 2, "host": "host1", "computeSec": -4}',
    ]);
    writeLog('rest.jsonl', { computing: 1, rest: 1.5 });
  });

  const ask = async (observed: string) =>
    (
      await replan(
        { modelPath: gpt2, planPath: path('p/plan.json'), observed: path(observed), maxEvaluations: 100 },
        { clock },
      )
    ).facts;

  it('slow computing is told from a slow rest of the step', async () => {
    const computing = await ask('computing.jsonl');
    expect(computing.calibration!.compute).to.be.closeTo(1 / 1.2, 0.03);
    expect(computing.condition.slow).to.deep.equal([]);
    const rest = await ask('rest.jsonl');
    expect(rest.calibration!.compute).to.be.closeTo(1, 0.03);
    expect(rest.calibration!.communication * (1 / rest.correction)).to.be.below(0.95);
    // Either way the running plan is foretold to take what it took.
    for (const facts of [computing, rest]) {
      const observedSec = facts.kept!.predictedStepTimeSec * facts.correction;
      expect(facts.kept!.stepTimeSec).to.be.closeTo(observedSec, 1e-9);
    }
  });

  it('a slow host is named, and the plan knows of it afterwards', async () => {
    const request = {
      modelPath: gpt2,
      planPath: path('p/plan.json'),
      observed: path('slow.jsonl'),
      maxEvaluations: 200,
      steps: 1_000_000,
    };
    const reply = await replan(request, { clock });
    const [slow, ...others] = reply.facts.condition.slow;
    expect(others).to.deep.equal([]);
    expect(slow.device).to.equal('host2');
    expect(slow.factor).to.be.closeTo(0.8, 0.03);
    writeReplanFiles(reply, request, path('q'));
    const plan = decodePlan(readFileSync(path('q/plan.json'), 'utf8'), 'q');
    expect(plannedCluster(plan).groups.map((g) => g.speed)).to.include(slow.factor);
    // Whoever reads the plan prices it as it was made: on the cluster with its slow host.
    const { summary } = simulatePlan(gpt2, path('q/plan.json'));
    expect(summary.faults).to.deep.equal([]);
    expect(summary.estimateSec).to.be.closeTo(plan.prediction.stepTimeSec, 1e-9);
    expect(encodePlan(plan)).to.equal(readFileSync(path('q/plan.json'), 'utf8'));
  });

  it('the built program goes from a log over the state of a monitor to a decision', async () => {
    const args = ['replan', gpt2, 'p/plan.json', '--budget', '100ev', '--json'];
    const direct = await partition([...args, '--observed', 'computing.jsonl', '--out', 'r'], folder());
    expect(direct.code, direct.stderr).to.equal(0);
    const facts = JSON.parse(direct.stdout) as ReplanFacts;
    expectValid('replan', facts);
    expect(facts.notes).to.include("hosts that are none of the plan's: host9");
    expect(facts.notes).to.include('2 records are skipped: negative');
    expect(facts.finds.map((f) => f.method)).to.include.members(['keep', 'dp', 'agent', 'anneal']);
    const watch = ['monitor', 'p/plan.json', '--source', 'computing.jsonl', '--once', '--state', 'm'];
    expect((await partition(watch, folder())).code).to.equal(0);
    const state = await partition([...args, '--observed', 'm/state.json', '--out', 's'], folder());
    expect(state.code, state.stderr).to.equal(0);
    const again = JSON.parse(state.stdout) as ReplanFacts;
    expect(again.calibration).to.deep.equal(facts.calibration);
    expect(again.best.plan).to.equal(facts.best.plan);
  });

  it('commands that read a plan take the cluster as the plan says', async () => {
    const args = ['replan', gpt2, 'p/plan.json', '--failed', 'host1', '--budget', '100ev', '--out', 'f'];
    expect((await partition(args, folder())).code).to.equal(0);
    const simulate = await partition(['simulate', gpt2, 'f/plan.json', '--json'], folder());
    expect(simulate.code, simulate.stderr).to.equal(0);
    expect((JSON.parse(simulate.stdout) as { faults: string[] }).faults).to.deep.equal([]);
    for (const command of [
      ['why', 'f/plan.json', gpt2, '--instead', 'zero=1'],
      ['report', 'f/plan.json', '--model', gpt2, '--out', 'f.html'],
      ['emit', 'f/plan.json', '--target', 'torchtitan', '--out', 'e'],
    ]) {
      const { code, stderr } = await partition(command, folder());
      expect(code, `${command[0]}: ${stderr}`).to.equal(0);
      expect(stderr).to.not.match(/differs|fault/);
    }
  });

  it('what is no log of this job is refused in one line', async () => {
    writeFileSync(path('other.jsonl'), `{"header":{"planDigest":"${'0'.repeat(64)}"}}\n`);
    writeFileSync(path('empty.jsonl'), '');
    writeFileSync(path('state.json'), '{"planDigest": 1');
    const run = (...args: string[]) => partition(['replan', gpt2, 'p/plan.json', ...args], folder());
    expectOneLine(await run('--observed', 'other.jsonl'), 3, /other\.jsonl:1: header: expected plan/);
    expectOneLine(await run('--observed', 'empty.jsonl'), 3, /expected records of a job, found none/);
    expectOneLine(await run('--observed', 'state.json'), 3, /expected the state of a monitor/);
    expectOneLine(await run('--slow', 'rank3=7'), 2, /share from 0\.01 to 1/);
    expectOneLine(await run('--steps', '0'), 2, /--steps/);
    expectOneLine(await run('--rollback', 'soon'), 2, /--rollback/);
    expectOneLine(await run('--budgets', '3'), 2, /budgets/);
    expectOneLine(await partition(['replan', gpt2, 'none.json'], folder()), 3, /none\.json: no such file/);
    expectOneLine(await partition(['replan', gpt2], folder()), 2, /expected a plan\.json/);
    const other = join(gpt2, '../bert-large.onnx');
    const { code, stderr } = await partition(['replan', other, 'p/plan.json'], folder());
    expect(code, stderr).to.equal(3);
  });
});
