/**
 * Energy at no slowdown on every instance of the suite: what clocks by task save on its best pipelined plan. Writes
 * partitions/clocks.md.
 *
 *     node --import tsx bench/clocks.ts [--only instance,..] [--evaluations 2000] [--cap 4] [--episodes 400]
 *
 * The plan is the best of two or more stages that a short annealing for the instance's objective finds. All figures are
 * shares of the energy of a step at full clock, at the meter of the site, saved while the step is no longer.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { agentCaps, DEFAULT_CAP_AGENT } from '../src/agent/capAgent.js';
import type { CapProblem } from '../src/agent/powerCapEpisode.js';
import { loadSuite, suiteProblem } from '../src/api/suite.js';
import { microbatchesOf } from '../src/plan/candidate.js';
import type { Candidate } from '../src/plan/types.js';
import { annealSolver } from '../src/search/anneal.js';
import { createSimulator } from '../src/simulate/estimate.js';
import { energyAt, frequencyFrontier } from '../src/simulate/frequency.js';
import type { FrequencyPoint } from '../src/simulate/frequency.js';
import { ClockLevels } from '../src/simulate/frequencyCurves.js';
import { TaskGroups } from '../src/simulate/frequencyGroups.js';
import { ClassClocks, frequencyProblem } from '../src/simulate/frequencyProblem.js';
import type { Estimate, PlanProblem, Simulator } from '../src/simulate/types.js';
import { formatPercent } from '../src/util/format.js';
import { Random } from '../src/util/random.js';
import { median } from '../src/util/stats.js';

const GRAPHS = fileURLToPath(new URL('../graphs', import.meta.url));
/** A slowdown below this is rounding. */
const NONE = 1e-3;

/** Prices as another does, and lets no plan of a single stage fit. */
class OnlyPipelines implements Simulator {
  constructor(private readonly inner: Simulator) {}

  get problem(): PlanProblem {
    return this.inner.problem;
  }

  get evaluations(): number {
    return this.inner.evaluations;
  }

  estimate(candidate: Candidate, out: Estimate): Estimate {
    this.inner.estimate(candidate, out);
    if (candidate.pp > 1) return out;
    out.fits = false;
    out.overflowBytes = Number.MAX_SAFE_INTEGER;
    return out;
  }
}

async function pipelinedPlan(
  problem: PlanProblem,
  maxEvaluations: number,
  maxSec: number,
): Promise<Candidate | null> {
  const { best } = await annealSolver.solve({
    problem,
    simulator: new OnlyPipelines(createSimulator(problem)),
    budget: { maxEvaluations, maxSec },
    clock: () => performance.now() / 1000,
    random: new Random(1),
  });
  return best;
}

/** One way to set clocks: what it saves, and what it took. */
interface Way {
  readonly saved: number;
  readonly slower: number;
  readonly wallSec: number;
}

interface Row {
  readonly instance: string;
  readonly plan: string;
  readonly tasks: number;
  readonly cuts: number;
  /** The exact frontier: clocks that change while a task runs; and what is proved that nothing exceeds. */
  readonly frontier: number;
  readonly bound: number;
  /** Levels that tasks can run at, by the frontier; the energy over the frontier's, less one. */
  readonly plain: Way;
  readonly above: number;
  readonly groups: number;
  readonly groupWay: Way;
  readonly expert: Way;
  readonly sacGroups: Way;
  readonly sacStages: Way;
  readonly classes: Way;
}

async function timed(
  full: FrequencyPoint,
  work: () => FrequencyPoint | Promise<FrequencyPoint>,
): Promise<Way> {
  const from = performance.now();
  const { timeSec, energyJoule } = await work();
  return {
    saved: 1 - energyJoule / full.energyJoule,
    slower: timeSec / full.timeSec - 1,
    wallSec: (performance.now() - from) / 1000,
  };
}

async function measure(instance: string, problem: PlanProblem, c: Candidate, episodes: number): Promise<Row> {
  const levels = new ClockLevels(problem);
  // Tables at every clock are made once, whatever asks first.
  const classes = new ClassClocks(levels, c);
  const groups = new TaskGroups(levels, c);
  const full = { ...groups.full };
  const from = performance.now();
  const frontier = frequencyFrontier(levels, c, 1);
  const wallSec = (performance.now() - from) / 1000;
  const [first] = frontier.schedules;
  const ideal = energyAt(frontier.points, frontier.points[0].timeSec);
  const agent = (caps: CapProblem): Promise<FrequencyPoint> =>
    agentCaps(caps, new Random(1), { ...DEFAULT_CAP_AGENT, episodes });
  const stages = frequencyProblem(problem, c, levels);
  return {
    instance,
    plan: `tp ${c.tp} pp ${c.pp}x${c.vpp} M ${microbatchesOf(c, problem.globalBatch)} ${c.schedule}`,
    tasks: frontier.graph.taskCount,
    cuts: frontier.steps,
    frontier: 1 - ideal / full.energyJoule,
    bound: 1 - first.boundJoule / full.energyJoule,
    plain: { ...(await timed(full, () => first)), wallSec },
    above: first.energyJoule / first.boundJoule - 1,
    groups: groups.stages,
    classes: await timed(stages.full, () => classes.descend(stages.full.timeSec)),
    groupWay: await timed(full, () => groups.descend(full.timeSec)),
    expert: await timed(full, () => groups.expert()),
    sacGroups: await timed(full, () => agent(groups)),
    sacStages: await timed(stages.full, () => agent(stages)),
  };
}

function report(rows: readonly Row[], how: string): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;
  const saved = ({ saved: x, slower }: Way): string =>
    slower > NONE ? `${percent(x)} (+${formatPercent(slower)})` : percent(Math.max(0, x));
  const sec = ({ wallSec }: Way): string => wallSec.toPrecision(2);
  const head = [
    ...['instance', 'plan', 'tasks', 'frontier', 'bound', 'written', 'above', 's'],
    ...['groups', 'descent', 's', 'slack filling', 'SAC', 's', 'SAC, stages', 's', 'stages and kinds'],
  ];
  const body = rows.map((r) => [
    ...[r.instance, r.plan, String(r.tasks), percent(r.frontier), percent(r.bound), saved(r.plain)],
    ...[
      percent(r.above),
      sec(r.plain),
      String(r.groups),
      saved(r.groupWay),
      sec(r.groupWay),
      saved(r.expert),
    ],
    ...[saved(r.sacGroups), sec(r.sacGroups), saved(r.sacStages), sec(r.sacStages), saved(r.classes)],
  ]);
  const kept = (way: (r: Row) => Way): string =>
    formatPercent(
      median(
        rows.filter((r) => r.bound > NONE).map((r) => (way(r).slower > NONE ? 0 : way(r).saved / r.bound)),
      ),
    );
  const most = (value: (r: Row) => number): string => percent(Math.max(...rows.map(value)));
  return [
    '# Energy at no slowdown',
    '',
    `What clocks by task save on the best pipelined plan of every instance of the suite, the step being no longer: ${how}.`,
    'Shares of the energy of a step at full clock. `node --import tsx bench/clocks.ts` writes this page; annealing that the clock ends may find other plans on another machine.',
    '',
    '- *frontier*: by critical-path min-cut, each task free to change its clock once; *bound*: proved (`boundJoule`) that no',
    `  clocks save more. Prices are rounded above 512 tasks: the frontier is within ${most((r) => (r.bound - r.frontier) / (1 - r.bound))} of the energy of the bound.`,
    `- *written*: one level of 2 % for each task, as plan.json has it; its energy is *above* the bound by ${most((r) => r.above)} at most.`,
    '- *groups*: tasks of one kind on one rank whose slack is alike share a power cap. *descent* slows them one by one;',
    '  *slack filling*, latest task first, is the expert; *SAC* the continuous agent with the expert shown to it;',
    '  *SAC, stages* the same agent with one cap per stage. *stages and kinds*: a clock per virtual stage and kind of task, by',
    '  descent. In brackets: how much slower, where a method was.',
    `- Of what the bound leaves, at the median: written ${kept((r) => r.plain)}, descent ${kept((r) => r.groupWay)}, slack filling ${kept((r) => r.expert)},`,
    `  SAC by group ${kept((r) => r.sacGroups)}, SAC by stage ${kept((r) => r.sacStages)}, stages and kinds ${kept((r) => r.classes)}.`,
    '',
    line(head),
    line(head.map((_, i) => (i < 2 ? '---' : '---:'))),
    ...body.map(line),
    '',
  ].join('\n');
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values: flags } = parseArgs({
    options: { only: text, evaluations: text, cap: text, episodes: text },
  });
  const only = flags.only?.split(',');
  const evaluations = Number(flags.evaluations ?? 2000);
  const capSec = Number(flags.cap ?? 4);
  const episodes = Number(flags.episodes ?? DEFAULT_CAP_AGENT.episodes);
  const rows: Row[] = [];
  for (const instance of loadSuite().filter((i) => only === undefined || only.includes(i.name))) {
    const { problem } = suiteProblem(instance, GRAPHS);
    const candidate = await pipelinedPlan(problem, evaluations, capSec);
    if (candidate === null) {
      console.error(`${instance.name}: no plan of two or more stages fits`);
      continue;
    }
    rows.push(await measure(instance.name, problem, candidate, episodes));
    console.error(JSON.stringify(rows[rows.length - 1]));
  }
  const page = report(
    rows,
    `annealing of ${evaluations} evaluations or ${capSec} s, agents of ${episodes} episodes`,
  );
  console.log(page);
  if (only === undefined) writeFileSync(new URL('../partitions/clocks.md', import.meta.url), page);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
