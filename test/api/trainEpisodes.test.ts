/** `partition train` on one placement or schedule. */
import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { trainEpisodes } from '../../src/api/trainEpisodes.js';
import { PartitionError } from '../../src/util/errors.js';
import { expectValid } from '../cli/support.js';
import { writePlanned } from '../support/plannedFolder.js';

const HOOKS = { clock: () => 0, now: () => 0, stopped: () => false };

/** Two chains that meet; the best is one chain to a device: 2 + 2 against 4 + 4 on one. */
const WORKLOAD = {
  devices: [{ name: 'gpu', count: 2 }],
  ops: ['a', 'b', 'c', 'd'].map((name) => ({ name, time: { gpu: 2 } })),
  edges: [
    { from: 'a', to: 'b', transferTime: 1 },
    { from: 'c', to: 'd', transferTime: 1 },
  ],
};

describe('api/trainEpisodes', function () {
  this.timeout(60_000);
  let folder = '';
  const at = (name: string): string => join(folder, name);
  const read = (path: string): Record<string, unknown> =>
    JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const train = (name: string, text: string, stopped = HOOKS.stopped) => {
    writeFileSync(at(`${name}.yaml`), text);
    const request = { configPath: at(`${name}.yaml`), out: at(name), resume: false };
    return trainEpisodes(request, { ...HOOKS, stopped });
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'episodes-'));
    writeFileSync(at('w.json'), JSON.stringify(WORKLOAD));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('learns a placement to the best there is, and the same again for the same seed', async () => {
    const config = 'algorithm: dqn\nseed: 2\nbudget: { episodes: 60 }\nepisode: { placement: w.json }\n';
    const facts = await train('placed', config);
    expectValid('train-episode', facts);
    expect(facts).to.include({ kind: 'placement', objective: 'throughput', bestValue: 4 });
    const { assignment } = read(facts.answerPath) as { assignment: { op: string; device: string }[] };
    const device = Object.fromEntries(assignment.map((a) => [a.op, a.device]));
    expect(device['a']).to.equal(device['b']);
    expect(device['c']).to.equal(device['d']);
    expect(device['a']).to.not.equal(device['c']);
    expect(readFileSync(facts.metricsPath, 'utf8').trim().split('\n')).to.have.length(facts.episodes);
    const again = await train('again', config);
    expect({ ...again, answerPath: '', metricsPath: '' }).to.deep.equal({
      ...facts,
      answerPath: '',
      metricsPath: '',
    });
  });

  it("learns the order of a plan's pipeline: no worse than its experts, every task once, stopped or not", async () => {
    const modelPath = fileURLToPath(new URL('../../graphs/gpt2-small.onnx', import.meta.url));
    const request = { modelPath, devices: 4, seq: 128, batch: 8 };
    await writePlanned(at('plan'), request, { pp: 2, tp: 1, microbatch: 1 }, 'partition');
    const config = 'algorithm: ppo\nbudget: { episodes: 40 }\nepisode: { schedule: plan/plan.json }\n';
    const facts = await train('scheduled', config);
    expectValid('train-episode', facts);
    expect(facts.bestValue).to.be.at.most(facts.shownValue! + 1e-12);
    const { ranks, makespanSec } = read(facts.answerPath) as { ranks: string[][]; makespanSec: number };
    expect(makespanSec).to.be.closeTo(facts.bestValue, 1e-9 * facts.bestValue);
    const expected = Array.from({ length: 4 }, (_, m) => [`B${m}`, `F${m}`]).flat();
    for (const tasks of ranks) expect([...tasks].sort()).to.deep.equal(expected.sort());
    const stopped = await train('stopped', config, () => true);
    expect(stopped.episodes).to.be.below(40);
    expect(stopped.bestValue).to.be.at.most(stopped.shownValue!);
  });

  for (const [text, message] of [
    ['budget: { episodes: 40 }\nepisode: { placement: none.json }', /none\.json: no such file/],
    [
      'budget: { episodes: 40 }\nepisode: { placement: w.json, objectiv: latency }',
      /objectiv: unknown field/,
    ],
    ['budget: { updates: 40 }\nepisode: { placement: w.json }', /budget\.episodes: expected an integer/],
    ['budget: { episodes: 40 }\ngraphs: []\nepisode: { placement: w.json }', /graphs: unknown field/],
    ['budget: { episodes: 40 }\nepisode: { imitate: true }', /episode\.placement: expected text/],
  ] as const)
    it(`${text.split('\n').at(-1)!} is refused in one line`, async () => {
      const error = await train('bad', text).then(
        () => null,
        (e: unknown) => e,
      );
      expect(error).to.be.instanceOf(PartitionError);
      expect((error as PartitionError).line()).to.match(message);
    });
});
