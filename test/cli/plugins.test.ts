import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodePlan, emitTarget, loadPlugins } from '../../src/api/index.js';
import { writeModel } from '../../src/model/index.js';
import { graph, model, node, value, weight } from '../support/onnx.js';
import { expectOneLine, expectValid, gpt2, partition, root, scratchFolder } from './support.js';

interface Summary {
  readonly foundBy: string;
  readonly stepTimeSec: number;
  readonly evaluations: number;
  readonly degrees: { readonly tp: number; readonly pp: number };
  readonly metrics?: Readonly<Record<string, number>>;
  readonly energyJoulesPerStep: number;
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly warnings: readonly string[];
}

const plugin = (name: string): string[] => ['--plugin', join(root, 'test/plugins', `${name}.js`)];

describe('plugins on the command line', function () {
  this.timeout(120_000);
  const folder = scratchFolder('plugins');

  async function plan(args: readonly string[], evaluations = 40): Promise<Summary> {
    const fixed = [gpt2, '--devices', '8', '--seq', '256', '--batch', '64', '--budget', `${evaluations}ev`];
    const ended = await partition([...fixed, '--json', ...args], folder());
    expect(ended.code, ended.stderr).to.equal(0);
    const summary = JSON.parse(ended.stdout) as Summary;
    expectValid('plan-result', summary);
    return summary;
  }

  it('a solver and an expert are methods of planning and of comparisons', async () => {
    const backwards = await plan([...plugin('solver'), '--method', 'backwards']);
    expect(backwards.foundBy).to.equal('backwards');
    expect(backwards.evaluations).to.equal(40);
    const expert = await plan([...plugin('expert'), '--method', 'all-tensor']);
    expect(expert.foundBy).to.equal('all-tensor');
    expect(expert.degrees).to.include({ pp: 1 });
    expect(expert.degrees.tp).to.be.above(1);
    const both = [...plugin('solver'), ...plugin('expert'), '--methods', 'backwards,all-tensor'];
    const fixed = ['compare', gpt2, '--devices', '8', '--seq', '256', '--batch', '64', '--seeds', '1'];
    const ended = await partition([...fixed, '--budget', '40ev', '--json', ...both], folder());
    expect(ended.code, ended.stderr).to.equal(0);
    const { comparisons } = JSON.parse(ended.stdout) as {
      comparisons: { methods: { method: string; median: number | null }[] }[];
    };
    const medians = new Map(comparisons[0].methods.map((m) => [m.method, m.median]));
    expect(medians.get('backwards')).to.be.above(0);
    expect(medians.get('all-tensor')).to.be.above(0);
  });

  it('a reward is a term of the objective, and weights of it move the plan', async () => {
    const method = ['--method', 'random'];
    const fastest = await plan(method, 300);
    const shortest = await plan([...plugin('reward'), ...method, '--objective', 'tail'], 300);
    const both = await plan([...plugin('reward'), ...method, '--objective', 'time=1,tail=0'], 300);
    expect(shortest.stepTimeSec).to.be.above(fastest.stepTimeSec);
    expect(both.stepTimeSec).to.equal(fastest.stepTimeSec);
  });

  it('a metric is told beside the plan', async () => {
    const { metrics, globalBatch, sequenceLength, energyJoulesPerStep } = await plan(plugin('metric'));
    const expected = (globalBatch * sequenceLength) / energyJoulesPerStep;
    expect(metrics!['tokensPerJoule']).to.be.closeTo(expected, 1e-9 * expected);
  });

  it('a cost model corrects the tables that plans are priced with, and the plan says so', async () => {
    const greedy = ['--method', 'greedy'];
    const usual = await plan(greedy);
    const slowed = await plan([...plugin('costModel'), ...greedy, '--cost-model', 'slow-forward']);
    expect(slowed.stepTimeSec / usual.stepTimeSec).to.be.within(1.1, 2);
    expect(slowed.warnings).to.include('priced with cost model slow-forward of a plugin');
  });

  it('a cluster is a preset, listed and planned for', async () => {
    const thin = await plan([...plugin('cluster'), '--cluster', 'lab-h100', '--devices', '64']);
    const usual = await plan(['--devices', '64']);
    expect(thin.stepTimeSec).to.be.above(usual.stepTimeSec);
    const listed = await partition(['clusters', ...plugin('cluster')], folder());
    expect(listed.stdout).to.match(/lab-h100/);
  });

  it('an operator is understood, with the work that it says it does', async () => {
    const nodes = [
      node('MatMul', 'x w', 'h'),
      node('GatedGelu', 'h', 'g', {}, 'lab'),
      node('MatMul', 'g v', 'y'),
    ];
    const initializer = [weight('w', [64, 512]), weight('v', [256, 64])];
    const unit = model(graph(nodes, [value('x', [2, 64])], [value('y', [2, 64])], { initializer }));
    unit.opsetImport.push({ domain: 'lab', version: 1 });
    const path = join(folder(), 'gated.onnx');
    writeModel(unit, path);
    const inspect = ['inspect', path, '--json'];
    const told = async (args: readonly string[]): Promise<{ unknownOps: unknown[]; forwardFlop: number }> => {
      const { code, stdout, stderr } = await partition([...inspect, ...args], folder());
      expect(code, stderr).to.equal(0);
      return JSON.parse(stdout) as { unknownOps: unknown[]; forwardFlop: number };
    };
    expect((await told([])).unknownOps).to.have.length(1);
    const known = await told([...plugin('operator'), '--strict']);
    expect(known.unknownOps).to.deep.equal([]);
    const products = 2 * (2 * 64 * 512 + 2 * 256 * 64);
    const loss = 5 * 2 * 64;
    expect(known.forwardFlop).to.equal(products + 9 * 2 * 256 + loss);
  });

  it('the trade-off of time and energy sees them too', async () => {
    const search = ['--objective', 'pareto', '--method', 'backwards', '--out', 'p', '--budget', '90ev'];
    const args = [gpt2, '--devices', '8', '--seq', '256', '--batch', '64', '--json', ...plugin('solver')];
    const ended = await partition([...args, ...search], folder());
    expect(ended.code, ended.stderr).to.equal(0);
    expect(readFileSync(join(folder(), 'p/plan-0.json'), 'utf8')).to.contain('backwards');
  });

  it('an emit target is found by its name and writes its files', async () => {
    await loadPlugins([join(root, 'test/plugins/emitTarget.js')]);
    const plan = decodePlan(readFileSync(join(root, 'partitions/gpt2-small.8.json'), 'utf8'), 'plan.json');
    const { files, notExpressed } = emitTarget('degrees-env').emit({
      ...{ plan, model: null, cluster: null, traces: null },
    });
    const [file] = [...files];
    expect(file.name).to.equal('degrees.env');
    expect(file.content).to.contain(`TP=${plan.degrees.tp}\nPP=${plan.degrees.pp}\n`);
    expect(notExpressed.map((n) => n.asked)).to.include(`schedule ${plan.schedule}`);
  });

  it('what is no plugin is refused in one line', async () => {
    const args = [gpt2, '--devices', '8', '--quiet'];
    const refused = async (name: string, text: string, code: number, pattern: RegExp): Promise<void> => {
      writeFileSync(join(folder(), name), text);
      expectOneLine(await partition([...args, '--plugin', name], folder()), code, pattern);
    };
    expectOneLine(await partition([...args, '--plugin', 'none.js'], folder()), 2, /--plugin: no such file/);
    await refused('nothing.mjs', 'export const a = 1;', 3, /nothing\.mjs: expected a default export/);
    await refused('broken.mjs', 'export default (', 3, /broken\.mjs: the plugin failed: SyntaxError/);
    await refused('throws.mjs', 'export default () => { throw new Error("boom"); };', 3, /boom/);
    const taken = 'export default (p) => p.registerReward("time", () => 1);';
    await refused('taken.mjs', taken, 2, /taken\.mjs: time: a reward of this name is there already/);
    const low = 'export default (p) => p.registerCostModel("bad", () => ({ forwardSec: [1] }));';
    writeFileSync(join(folder(), 'low.mjs'), low);
    const bad = [...args, '--seq', '256', '--plugin', 'low.mjs', '--cost-model', 'bad'];
    expectOneLine(await partition(bad, folder()), 3, /forwardSec: cost model bad: expected a Float64Array/);
    expectOneLine(
      await partition([...args, '--cost-model', 'x'], folder()),
      2,
      /--cost-model: expected a cost/,
    );
  });
});
