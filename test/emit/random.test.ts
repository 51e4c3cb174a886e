import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import type { EmitInput, EmittedFile, NotExpressed } from '../../src/emit/index.js';
import { emitTarget, emitTargets } from '../../src/emit/index.js';
import { deviceOf, hostsOf } from '../../src/emit/hosts.js';
import { readModel } from '../../src/model/index.js';
import { jaxFaults, onnxFaults, rankfileHosts, shardyFaults, slurmHosts } from './compilerRules.js';
import { accelerateFaults, deepspeedFaults, maxtextFaults, torchtitanFaults } from './launcherRules.js';
import { megatronArguments, megatronFaults } from './megatronRules.js';
import { EMIT_CASES, EmitSource, textOf } from './support.js';

/** Those that ship: taken before any plugin's test adds its own. */
const TARGETS = emitTargets();
const PLANS = 6;
const folder = mkdtempSync(join(tmpdir(), 'partition-emit-'));

type Judge = (files: readonly EmittedFile[], input: EmitInput, notes: readonly NotExpressed[]) => string[];

/** What each tool itself would find wrong. */
const JUDGES: Readonly<Record<string, Judge>> = {
  megatron: (files, { plan }) =>
    megatronFaults(megatronArguments(textOf(files, /\.sh$/)), plan.cluster.devices),
  torchtitan: (files, { plan }) => torchtitanFaults(textOf(files, /\.toml$/), plan),
  deepspeed: (files, { plan }) => deepspeedFaults(textOf(files, /\.json$/), textOf(files, /hostfile/), plan),
  maxtext: (files, { plan }) => maxtextFaults(textOf(files, /\.yml$/), plan),
  accelerate: (files, { plan }) => accelerateFaults(textOf(files, /\.yaml$/), plan),
  torch: (files, { plan }) => {
    const text = textOf(files, /\.py$/);
    const mesh = JSON.parse(/^MESH = (\[[^=]*?\n\])$/m.exec(text)![1].replace(/,\n\]$/, ']')) as [
      string,
      number,
    ][];
    const cuts = JSON.parse(
      /^CUTS = (\[\]|\[[^=]*?\n\])$/m.exec(text)![1].replace(/,\n\]$/, ']'),
    ) as string[];
    const devices = mesh.reduce((product, [, size]) => product * size, 1);
    return [
      ...(devices === plan.cluster.devices ? [] : [`mesh of ${devices}`]),
      ...(cuts.length === plan.stages.length - 1
        ? []
        : [`${cuts.length} cuts for ${plan.stages.length} stages`]),
    ];
  },
  jax: (files, { plan }) => jaxFaults(textOf(files, /\.json$/), plan),
  shardy: (files, { plan }) => shardyFaults(textOf(files, /\.mlir$/), plan),
  onnx: ([file], { plan, model }, notes) => {
    const path = join(folder, 'annotated.onnx');
    (file.content as (path: string) => void)(path);
    return onnxFaults(readModel(path), model!.proto, plan, notes);
  },
  slurm: (files, input) =>
    placementFaults(input, (devices) => {
      const list = (name: string): string | undefined =>
        files.find((f) => f.name === name)?.content as string | undefined;
      const lists = { nodes: list('node_hosts'), ranks: list('rank_hosts') };
      return slurmHosts(textOf(files, /\.sbatch$/), lists as { nodes?: string; ranks?: string }, devices);
    }),
  rankfile: (files, input) => placementFaults(input, () => rankfileHosts(textOf(files, /^rankfile$/))),
  kubernetes: (files, { plan }) => {
    const job = parseAllDocuments(textOf(files, /jobset/))[0].toJS() as {
      spec: {
        replicatedJobs: {
          template: {
            spec: {
              parallelism: number;
              completions: number;
              template: { spec: { containers: { resources: { limits: Record<string, number> } }[] } };
            };
          };
        }[];
      };
    };
    const { parallelism, completions, template } = job.spec.replicatedJobs[0].template.spec;
    const [limit] = Object.values(template.spec.containers[0].resources.limits);
    return parallelism === completions && parallelism * limit === plan.cluster.devices ? [] : ['pods'];
  },
  chakra: (files, { plan }) => (files.length === plan.degrees.pp + 1 ? [] : [`${files.length} files`]),
};

/** Every rank on the host of its device: the axis order is realised. */
function placementFaults(
  { plan, cluster }: EmitInput,
  hostsOfRanks: (devices: number) => number[],
): string[] {
  const hosts = hostsOf(plan, cluster)!;
  const found = hostsOfRanks(plan.cluster.devices);
  const faults = found.flatMap((host, rank) =>
    host === hosts.hostOf[deviceOf(plan, rank)] ? [] : [`rank ${rank} on host ${host}`],
  );
  return found.length === plan.cluster.devices ? faults : ['ranks are missing'];
}

describe('the files of random plans', function () {
  this.timeout(120_000);
  after(() => rmSync(folder, { recursive: true, force: true }));
  const scripts: [string, string][] = [];

  for (const test of EMIT_CASES) {
    it(`of ${test.name} are what each tool accepts, or say why not`, () => {
      const source = new EmitSource(test, 7);
      for (let i = 0; i < PLANS; i++) {
        const input = source.next();
        for (const target of TARGETS) {
          // Traces take a simulated step each.
          if (target.name === 'chakra' && i > 0) continue;
          const { files, notExpressed } = target.emit(input);
          const list = [...files];
          const where = `${target.name}, plan ${i}: ${JSON.stringify(input.plan.degrees)}`;
          for (const { name, content } of list)
            if (typeof content === 'string')
              scripts.push([`${test.name}-${i}-${target.name}-${name}`.replace(/ /g, '_'), content]);
          const faults = JUDGES[target.name](list, input, notExpressed);
          if (!notExpressed.some((n) => n.blocks)) expect(faults, where).to.deep.equal([]);
          for (const { asked, instead } of notExpressed) {
            expect(asked, where).to.match(/\S/);
            expect(instead, where).to.match(/\S/);
          }
          // Nothing is dropped silently: what --json says stands in a file too, where the file is text.
          const texts = list.flatMap(({ content }) => (typeof content === 'string' ? [content] : []));
          if (texts.length > 0)
            for (const { asked } of notExpressed)
              expect(
                texts.some((t) => t.includes(asked.slice(0, 100))),
                `${where}: ${asked}`,
              ).to.equal(true);
        }
      }
    });
  }

  it('every built-in target has a judge', () => {
    expect(TARGETS.map((t) => t.name).filter((n) => !(n in JUDGES))).to.deep.equal([]);
    expect(emitTarget('megatron').name).to.equal('megatron');
  });

  it('shell scripts parse with bash', () => {
    for (const [name, content] of scripts
      .filter(([n]) => /\.(sh|sbatch)$/.test(n))
      .filter((_, i) => i % 7 === 0)) {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: content, encoding: 'utf8' });
      expect(status, `${name}: ${stderr}`).to.equal(0);
    }
  });

  it('Python and TOML parse with Python itself', function () {
    if (spawnSync('python3', ['-c', 'import tomllib']).status !== 0) {
      console.log('      skipped: no python3 with tomllib');
      this.skip();
    }
    const chosen = scripts.filter(([n]) => /\.(py|toml|json)$/.test(n));
    for (const [name, content] of chosen) writeFileSync(join(folder, name), content);
    const code = `
import ast, json, sys, tomllib
for path in sys.stdin.read().split():
    text = open(path).read()
    if path.endswith(".py"): ast.parse(text)
    elif path.endswith(".toml"): tomllib.loads(text)
    else: json.loads(text)
`;
    const input = chosen.map(([name]) => join(folder, name)).join('\n');
    const { status, stderr } = spawnSync('python3', ['-c', code], { input, encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
  });
});
