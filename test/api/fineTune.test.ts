/** `partition train --from-log` as a library: observed jobs as lessons, the guard, and what becomes of the old policy. */
import { expect } from 'chai';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadCheckpoint } from '../../src/agent/checkpoint.js';
import { SHIPPED_PATH } from '../../src/agent/pretrained.js';
import { fineTunePolicy } from '../../src/api/trainFineTune.js';
import type { FineTuneRequest } from '../../src/api/trainFineTune.js';
import { findJobs, observedProblem, openJob, variedProblem } from '../../src/api/trainJobs.js';
import { replacePolicy } from '../../src/api/trainGuard.js';
import { checkCandidate } from '../../src/plan/candidate.js';
import { randomPlan } from '../../src/search/random.js';
import { Cutter } from '../../src/search/cutRules.js';
import { PlanSpace } from '../../src/search/space.js';
import { PartitionError } from '../../src/util/errors.js';
import { Random } from '../../src/util/random.js';
import { buildZoo, applyOverrides, zooConfig } from '../../src/zoo/index.js';
import { writeModel } from '../../src/model/index.js';
import { atPace, jobLog } from '../support/jobLog.js';
import { writePlanned } from '../support/plannedFolder.js';

const HOOKS = { clock: () => 0, now: () => 0, stopped: () => false };

const TINY = `
like: ${fileURLToPath(new URL('../../src/data/training/fine-tune.yaml', import.meta.url))}
budget: { updates: 3 }
problems: 2
observed: 1
updatesPerProblem: 1
episodes: 3
teacher: { evaluations: 60, steps: 1, memory: 2 }
graphs: [{ zoo: [gpt2-small], layers: [2, 4], seq: [256] }]
clusters: [{ presets: [h100-sxm], devices: [8, 32] }]
guard: { evaluations: 8, seeds: [1], meanTolerance: 1, instanceTolerance: 1, suite: [t5-base-tpu-64, resnet50-16] }
`;

describe('api/trainFineTune', function () {
  this.timeout(60_000);
  let folder = '';
  const at = (...path: string[]): string => join(folder, ...path);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fine-tune-'));
    const modelPath = at('tiny.onnx');
    writeModel(buildZoo(applyOverrides(zooConfig('gpt2-small'), { layers: 4 })), modelPath);
    const request = { modelPath, devices: 32, seq: 256, batch: 256 };
    for (const name of ['jobs/a', 'jobs/b'])
      await writePlanned(at(name), request, { tp: 1, pp: 1 }, 'partition');
    const { prediction } = JSON.parse(readFileSync(at('jobs/a/plan.json'), 'utf8')) as {
      prediction: { stepTimeSec: number };
    };
    const stepSec = prediction.stepTimeSec;
    const log = (slow: number): string =>
      [...atPace(jobLog({ hosts: 4, steps: 60, seed: 3, slow: { host: 1, factor: slow, step: 0 } }), stepSec)]
        .map((record) => `${JSON.stringify(record)}\n`)
        .join('');
    writeFileSync(at('jobs/a/observed.jsonl'), log(1.25));
    writeFileSync(at('jobs/b/train.log'), log(1));
    writeFileSync(at('tiny.yaml'), TINY);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const ask = (out: string, more: Partial<FineTuneRequest> = {}): FineTuneRequest => ({
    configPath: at('tiny.yaml'),
    from: at('jobs'),
    out: at(out),
    resume: false,
    ...more,
  });

  it('finds the jobs of a folder and reads into each what was observed of it', () => {
    const jobs = findJobs(at('jobs')).map(openJob);
    expect(jobs.map((j) => j.files.logPath)).to.deep.equal([
      at('jobs/a/observed.jsonl'),
      at('jobs/b/train.log'),
    ]);
    const [slow, healthy] = jobs;
    expect(slow.condition.slow).to.have.length(1);
    expect(slow.condition.slow[0].host).to.equal(1);
    expect(slow.condition.slow[0].factor).to.be.closeTo(0.8, 0.03);
    expect(healthy.condition.slow).to.deep.equal([]);
    // The log's hosts compute for longer than the plan foretells, or shorter: the problem's devices do so too.
    for (const { condition } of jobs) expect(condition.rates!.compute).to.be.within(0.05, 5);
    expect(slow.notes.at(-1)).to.match(/devices compute at \d+ %/);
    expect(observedProblem(slow).cluster.slow).to.have.length(8);
    expect(observedProblem(healthy).cluster.slow).to.deep.equal([]);
    expect(findJobs(at('jobs/a/observed.jsonl'))[0].planPath).to.equal(at('jobs/a/plan.json'));
  });

  it('varies devices, batch and faults, and every variation that has meshes has plans', () => {
    const job = openJob(findJobs(at('jobs/a'))[0]);
    const seen = new Set<string>();
    for (let i = 0; i < 40; i++) {
      const random = new Random(i);
      const problem = variedProblem(job, random);
      seen.add(`${problem.devices} ${problem.globalBatch} ${problem.cluster.slow.length}`);
      const space = new PlanSpace(problem);
      if (space.meshes.length === 0) continue;
      const plan = randomPlan(space, new Cutter(problem), random);
      expect(checkCandidate(problem, plan)).to.equal(null);
    }
    expect(seen.size).to.be.above(15);
  });

  it('fine-tunes, judges, replaces the policy and keeps the old one; the same again gives the same bytes', async () => {
    const facts = await fineTunePolicy(ask('one'), HOOKS);
    expect(facts.verdict!.accepted).to.equal(true);
    expect(facts.verdict!.instances.filter((i) => i.kind === 'observed')).to.have.length(6);
    expect(facts.verdict!.instances.filter((i) => i.kind === 'suite')).to.have.length(2);
    expect(facts).to.include({ updates: 3, plannedUpdates: 3, episodes: 18, oldPolicy: SHIPPED_PATH });
    const policy = readFileSync(facts.policyPath, 'utf8');
    expect(readFileSync(facts.candidatePath, 'utf8')).to.equal(policy);
    expect(readFileSync(facts.previousPath!, 'utf8')).to.equal(readFileSync(SHIPPED_PATH, 'utf8'));
    expect(loadCheckpoint(facts.policyPath).weights).to.not.deep.equal(loadCheckpoint(SHIPPED_PATH).weights);
    expect(existsSync(at('one/checkpoint.json'))).to.equal(false);
    // Stopped after the first update and resumed, it comes to the same.
    let asked = 0;
    const stopping = { ...HOOKS, stopped: () => asked++ > 0 };
    const cut = await fineTunePolicy(ask('two'), stopping);
    expect(cut).to.include({ updates: 1, verdict: null, previousPath: null });
    expect(readFileSync(cut.policyPath, 'utf8')).to.equal(readFileSync(SHIPPED_PATH, 'utf8'));
    const faults: [Partial<FineTuneRequest>, RegExp][] = [
      [{}, /two: a training stands there already/],
      [{ resume: true, seed: 9 }, /checkpoint of another training/],
    ];
    for (const [more, message] of faults) await refused(ask('two', more), message);
    const resumed = await fineTunePolicy(ask('two', { resume: true }), HOOKS);
    expect(readFileSync(resumed.policyPath, 'utf8')).to.equal(policy);
    expect(resumed.verdict).to.deep.equal(facts.verdict);
  });

  it('a policy that is refused leaves the old one in place', async () => {
    const strict = TINY.replace(
      'meanTolerance: 1, instanceTolerance: 1',
      'meanTolerance: 0, instanceTolerance: 0',
    );
    // A step so large that nothing learned is left.
    writeFileSync(at('ruin.yaml'), `${strict}ppo: { learningRate: 3, epochs: 4 }\n`);
    const facts = await fineTunePolicy(
      ask('ruined', { configPath: at('ruin.yaml'), install: at('own.json') }),
      HOOKS,
    );
    expect(facts.verdict!.accepted).to.equal(false);
    expect(facts.verdict!.reasons).to.not.deep.equal([]);
    expect(facts).to.include({ previousPath: null, installedPath: null });
    expect(readFileSync(facts.policyPath, 'utf8')).to.equal(readFileSync(SHIPPED_PATH, 'utf8'));
    expect(existsSync(at('own.json'))).to.equal(false);
  });

  it('replacing keeps the policy that stood there', () => {
    mkdirSync(at('r'));
    const [old, candidate] = [at('r/p.json'), at('r/c.json')];
    writeFileSync(old, 'old');
    writeFileSync(candidate, 'new');
    replacePolicy(old, candidate, null);
    expect([old, `${old}.previous`].map((p) => readFileSync(p, 'utf8'))).to.deep.equal(['new', 'old']);
  });

  it('logs, plans and models that do not belong together are refused in one line', async () => {
    const other = at('other');
    mkdirSync(other);
    copyFileSync(at('jobs/a/plan.json'), join(other, 'plan.json'));
    const header = JSON.stringify({ header: { planDigest: 'f'.repeat(64) } });
    writeFileSync(join(other, 'x.jsonl'), `${header}\n{"step":1,"host":"host0","stepTimeSec":1}\n`);
    const modelPath = at('tiny.onnx');
    await refused(ask('x', { from: other, modelPath }), /header: expected plan .*, found fff/);
    writeModel(buildZoo(applyOverrides(zooConfig('gpt2-small'), { layers: 5 })), at('five.onnx'));
    await refused(
      ask('x', { from: at('jobs/a'), modelPath: at('five.onnx') }),
      /the plan is for tiny\.onnx with digest .*, the model has/,
    );
    await refused(ask('x', { from: at('nowhere') }), /nowhere: no such file/);
    mkdirSync(at('empty'));
    await refused(ask('x', { from: at('empty') }), /expected a folder with plan\.json and a log/);
    copyFileSync(at('jobs/a/observed.jsonl'), at('empty/lone.jsonl'));
    rmSync(at('plan.json'), { force: true });
    await refused(ask('x', { from: at('empty/lone.jsonl') }), /expected --plan with the plan of the job/);
  });

  async function refused(request: FineTuneRequest, message: RegExp): Promise<void> {
    const error = await fineTunePolicy(request, HOOKS).then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).to.be.instanceOf(PartitionError);
    expect((error as PartitionError).line()).to.match(message);
  }
});
