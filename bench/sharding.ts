/**
 * What better shardings buy: the suite's plans before (activations pass from layer to layer whole or along the sequence, as
 * launchers do it) and after (along features too; and leaner points of the Pareto set of time against memory). Same search, same evaluations. Writes
 * partitions/sharding.md.
 *
 *     node --import tsx bench/sharding.ts [--only instance,..] [--evaluations 1500] [--method exhaustive] [--out partitions]
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clusterOf, problemOf } from '../src/api/problem.js';
import { solverByName } from '../src/portfolio/registry.js';
import { loadSuite, optionsOf, suiteModel } from '../src/api/suite.js';
import type { Candidate } from '../src/plan/types.js';
import { createSimulator, createEstimate } from '../src/simulate/index.js';
import type { PlanProblem } from '../src/simulate/types.js';
import type { BookOptions } from '../src/strategy/index.js';
import { writeFileAtomic } from '../src/util/files.js';
import { Random } from '../src/util/random.js';

const GRAPHS = fileURLToPath(new URL('../graphs', import.meta.url));

const VARIANTS: readonly (readonly [name: string, options: Partial<BookOptions>])[] = [
  ['before', { passing: 'sequence' }],
  ['after', {}],
  ['leaner by 5 %', { leaner: 0.05 }],
  ['leaner by 25 %', { leaner: 0.25 }],
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
  return c === null ? 'nothing fits' : `tp ${c.tp} pp ${c.pp} cp ${c.cp} ep ${c.ep}`;
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
  const front = book
    .pareto(key)
    .map((p) => `${(1e3 * p.timeSec).toPrecision(4)} ms, ${(p.keptBytes / 1e6).toPrecision(4)} MB`);
  const ms = (sec: number): string => (1e3 * sec).toPrecision(5);
  return `| ${name} | ${tp} | ${ms(before)} | ${ms(after)} | ${percent(after / before - 1)} | ${front.join('; ')} |`;
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
    for (const [, variant] of VARIANTS) {
      const costs = book.on(book.cluster, { ...book.options, ...variant });
      found.push(await search({ ...problem, costs }, values.method, Number(values.evaluations)));
    }
    const [before, after] = found;
    const cells = found.map(({ stepTimeSec }) => stepTimeSec.toPrecision(5));
    const change = percent(after.value / before.value - 1);
    rows.push(
      `| ${[instance.name, degrees(before.best), degrees(after.best), ...cells, change].join(' | ')} |`,
    );
    console.error(rows.at(-1));
  }
  const names = VARIANTS.map(([name]) => `${name}, s`);
  const page = [
    '# What better shardings buy',
    '',
    `Made by \`node --import tsx bench/sharding.ts --method ${values.method} --evaluations ${values.evaluations}${only === undefined ? '' : ` --only ${only.join(',')}`}\`. Step times of the best plans found;`,
    'the change is of the objective, before to after. *Leaner*: every mesh with the sharding that keeps least among those that take that much more time.',
    '',
    `| instance | plan before | plan after | ${names.join(' | ')} | change |`,
    `|---|---|---|${names.map(() => '---:|').join('')}---:|`,
    ...rows,
    '',
    '## At given degrees',
    '',
    'All layers, forward and backward, one microbatch of one sequence, nothing overlapped; then the Pareto set of that time against',
    'activations kept for the backward pass.',
    '',
    '| instance | tp | before, ms | after, ms | change | Pareto set |',
    '|---|---:|---:|---:|---:|---|',
    ...degreeRows.filter((row) => row !== ''),
    '',
  ];
  writeFileAtomic(join(values.out, 'sharding.md'), page.join('\n'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
