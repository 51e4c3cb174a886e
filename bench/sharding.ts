/**
 * What better shardings buy: the suite's plans before (activations pass from layer to layer whole or along the sequence, as
 * launchers do it), after (along features too), and with the choice of a sharding per mesh as one more decision of the search
 * (the Pareto set of time against memory). Same search, same evaluations. Writes partitions/sharding.md.
 *
 *     node --import tsx bench/sharding.ts [--only instance,..] [--evaluations 1500] [--method exhaustive] [--out partitions]
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { analyzeModel, clusterOf, openModel, problemOf } from '../src/api/problem.js';
import type { Cluster } from '../src/cluster/index.js';
import { solverByName } from '../src/portfolio/registry.js';
import { loadSuite, optionsOf, suiteModel } from '../src/api/suite.js';
import { leannessOf } from '../src/plan/candidate.js';
import type { ShardKey } from '../src/cost/types.js';
import { describeCandidate } from '../src/plan/describe.js';
import type { Candidate } from '../src/plan/types.js';
import { createSimulator, createEstimate } from '../src/simulate/index.js';
import type { PlanProblem } from '../src/simulate/types.js';
import type { BookOptions } from '../src/strategy/index.js';
import { writeFileAtomic } from '../src/util/files.js';
import { Random } from '../src/util/random.js';
import { buildZoo, zooConfig } from '../src/zoo/index.js';

const GRAPHS = fileURLToPath(new URL('../graphs', import.meta.url));

/** `decides`: the search chooses among a mesh's shardings; else every mesh has its usual one. */
const VARIANTS: readonly {
  readonly name: string;
  readonly options: Partial<BookOptions>;
  readonly decides: boolean;
}[] = [
  { name: 'before', options: { passing: 'sequence' }, decides: false },
  { name: 'after', options: {}, decides: false },
  { name: 'as a decision', options: {}, decides: true },
];

interface Found {
  readonly value: number;
  readonly best: Candidate | null;
  readonly stepTimeSec: number;
}

async function search(problem: PlanProblem, method: string, evaluations: number): Promise<Found> {
  const simulator = createSimulator(problem);
  const { best, value } = await solverByName(method).solve({
    problem,
    simulator,
    budget: { maxEvaluations: evaluations, maxSec: Infinity },
    clock: () => 0,
    random: new Random(1),
  });
  const stepTimeSec = best === null ? Infinity : simulator.estimate(best, createEstimate()).stepTimeSec;
  return { value, best, stepTimeSec };
}

function degrees(c: Candidate | null): string {
  if (c === null) return 'nothing fits';
  const sharding = leannessOf(c) === 0 ? '' : ` leanness ${leannessOf(c)}`;
  return `tp ${c.tp} pp ${c.pp} cp ${c.cp} ep ${c.ep}${sharding}`;
}

/** Times of one microbatch of one sequence at a tensor-parallel degree, before and after, and the Pareto set. */
function atDegree(name: string, { book, problem }: ReturnType<typeof problemOf>, tp: number): string {
  const { tpChoices } = problem;
  if (!tpChoices.includes(tp)) return '';
  const key = {
    ...{ tp, cp: 1, ep: 1, etp: tp, microbatch: 1, deviceGroup: 0, contextExchange: 'ring' as const },
  };
  const secOf = (options: Partial<BookOptions>): number =>
    book
      .on(book.cluster, { ...book.options, ...options })
      .strategies(key)
      .reduce((sec, { costSec }, c) => sec + costSec * book.segmentation.classSize[c], 0);
  const before = secOf({ passing: 'sequence' });
  const after = secOf({});
  const { points, usual } = book.shardings(key);
  const front = points.map(
    (p, i) =>
      `${i === usual ? '*' : ''}${(1e3 * p.timeSec).toPrecision(4)} ms, ${(p.keptBytes / 1e6).toPrecision(4)} MB${i === usual ? '*' : ''}`,
  );
  const ms = (sec: number): string => (1e3 * sec).toPrecision(5);
  return `| ${name} | ${tp} | ${ms(before)} | ${ms(after)} | ${percent(after / before - 1)} | ${front.join('; ')} |`;
}

/** Cases in which tensor parallelism is needed: few sequences a step; and the memory of a device, as a share of what the fastest plan takes. */
const TIGHT: readonly {
  readonly model: string;
  readonly seq?: number;
  readonly batch: number;
  readonly memoryShare: number;
}[] = [
  { model: 't5-11b', seq: 512, batch: 4, memoryShare: Infinity },
  { model: 'vit-h14', batch: 2, memoryShare: 0.95 },
  { model: 'resnet50.onnx', batch: 2, memoryShare: 0.85 },
];

/** One such case on eight A100: every mesh in its usual sharding, and the sharding a decision. */
async function tightRow(
  { model: name, seq, batch, memoryShare }: (typeof TIGHT)[number],
  method: string,
  evaluations: number,
): Promise<string> {
  const model = name.endsWith('.onnx')
    ? openModel(join(GRAPHS, name), {})
    : analyzeModel(buildZoo(zooConfig(name)), name, { seq });
  const setting = { devices: 8, cluster: 'a100-80gb', batch };
  const cluster = clusterOf(setting);
  const withMemory = (memoryBytes: number): Cluster => ({
    ...cluster,
    groups: cluster.groups.map((g) => ({ ...g, device: { ...g.device, memoryBytes, reservedBytes: 3e8 } })),
  });
  const values: Found[] = [];
  let bytes = cluster.groups[0].device.memoryBytes;
  if (memoryShare < Infinity) {
    const { problem } = problemOf(model, withMemory(bytes), setting);
    const { best } = await search(problem, method, evaluations);
    const { peakMemoryBytes } = createSimulator(problem).estimate(best!, createEstimate());
    bytes = memoryShare * peakMemoryBytes;
  }
  for (const decides of [false, true]) {
    const { problem, book } = problemOf(model, withMemory(bytes), setting);
    const costs = decides ? book : { costs: (key: ShardKey) => book.costs(key) };
    values.push(await search({ ...problem, costs }, method, evaluations));
  }
  const [fixed, free] = values;
  const ms = values.map(({ stepTimeSec }) => (1e3 * stepTimeSec).toPrecision(4));
  const plans = values.map(({ best }) => (best === null ? 'nothing fits' : describeCandidate(best)));
  const change = percent(free.value / fixed.value - 1);
  return `| ${[name, batch, (bytes / 1e9).toPrecision(3), ...plans, ...ms, change].join(' | ')} |`;
}

const percent = (share: number): string => `${share > 0 ? '+' : ''}${(100 * share).toFixed(1)} %`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      evaluations: { type: 'string', default: '1500' },
      method: { type: 'string', default: 'exhaustive' },
      out: { type: 'string', default: 'partitions' },
    },
  });
  const only = values.only?.split(',');
  const rows: string[] = [];
  const degreeRows: string[] = [];
  for (const instance of loadSuite()) {
    if (only !== undefined && !only.includes(instance.name)) continue;
    const options = optionsOf(instance, GRAPHS);
    const whole = problemOf(suiteModel(instance, GRAPHS), clusterOf(options), options);
    const { problem, book } = whole;
    for (const tp of [2, 4, 8]) degreeRows.push(atDegree(instance.name, whole, tp));
    const found: Found[] = [];
    for (const { options: changed, decides } of VARIANTS) {
      const own = book.on(book.cluster, { ...book.options, ...changed });
      const costs = decides ? own : { costs: (key: ShardKey) => own.costs(key) };
      found.push(await search({ ...problem, costs }, values.method, Number(values.evaluations)));
    }
    const [before, after, decided] = found;
    const cells = found.map(({ stepTimeSec }) => stepTimeSec.toPrecision(5));
    const changes = [after.value / before.value, decided.value / after.value].map((x) => percent(x - 1));
    const plans = found.map(({ best }) => degrees(best));
    rows.push(`| ${[instance.name, ...plans, ...cells, ...changes].join(' | ')} |`);
    console.error(rows.at(-1));
  }
  const tightRows: string[] = [];
  for (const tight of TIGHT) {
    tightRows.push(await tightRow(tight, values.method, Number(values.evaluations)));
    console.error(tightRows.at(-1));
  }
  const names = VARIANTS.map(({ name }) => name);
  const page = [
    '# What better shardings buy',
    '',
    `Made by \`node --import tsx bench/sharding.ts --method ${values.method} --evaluations ${values.evaluations}${only === undefined ? '' : ` --only ${only.join(',')}`}\`. Step times of the best plans found;`,
    'the changes are of the objective, before to after and after to *as a decision*: there the search also chooses which sharding of its',
    'set a mesh takes (`leanness`: above 0 it keeps fewer activations, below 0 it is faster and keeps more).',
    '',
    `| instance | ${names.map((name) => `plan ${name}`).join(' | ')} | ${names.map((name) => `${name}, s`).join(' | ')} | before to after | by the decision |`,
    `|---|${names.map(() => '---|').join('')}${names.map(() => '---:|').join('')}---:|---:|`,
    ...rows,
    '',
    '## Few sequences a step, little memory',
    '',
    'Eight A100, where layers have to be split: every mesh in its usual sharding, and the sharding a decision of the search. Memory is',
    "the device's own, or less than the fastest plan takes.",
    '',
    '| model | batch | memory, GB | plan in usual shardings | plan that decides | usual, ms | decided, ms | change |',
    '|---|---:|---:|---|---|---:|---:|---:|',
    ...tightRows,
    '',
    '## At given degrees',
    '',
    'All layers, forward and backward, one microbatch of one sequence, nothing overlapped; then the shardings to choose from: that time',
    'and the activations kept for the backward pass, leanness ascending, the usual one between stars.',
    '',
    '| instance | tp | before, ms | after, ms | change | shardings |',
    '|---|---:|---:|---:|---:|---|',
    ...degreeRows.filter((row) => row !== ''),
    '',
  ];
  writeFileAtomic(join(values.out, 'sharding.md'), page.join('\n'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
