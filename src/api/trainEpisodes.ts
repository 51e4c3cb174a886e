/**
 * `partition train` with `episode` in its configuration: an agent learns the placement of one profiled graph, or the order of one
 * pipeline's tasks, by playing it; the best episode is the answer.
 */
import { dirname, join, resolve } from 'node:path';
import type { Environment, EpisodeAgent, EpisodeTraining, Teacher } from '../agent/index.js';
import {
  EPISODE_AGENTS,
  loadBackend,
  PlacementEpisode,
  placementOf,
  ScheduleEpisode,
  scheduleOf,
  trainOnEpisodes,
} from '../agent/index.js';
import type { ScheduleState } from '../agent/scheduleState.js';
import { BACKWARD, FORWARD, WEIGHT } from '../agent/scheduleState.js';
import { Fields } from '../cluster/fields.js';
import type { EpisodeFacts } from '../report/episodeTable.js';
import { deviceNames, judgePlacement, readPlaceProblem, workloadFormat } from '../search/place/index.js';
import { PartitionError } from '../util/errors.js';
import { writeFileAtomic } from '../util/files.js';
import { Random } from '../util/random.js';
import { readWorkload } from './place.js';
import { openRunningJob } from './runningJob.js';
import type { TrainRequest } from './train.js';
import { trainingDocument } from './trainingDocument.js';
import type { TrainHooks } from './trainRun.js';

/** What one decision earns is of order 0.1 to 1 for the agent. */
const REWARD_SCALE = 10;
/** Options of one decision, at most. */
const MOST_DEVICES = 64;
const SCHEDULE_TEACHERS = ['fcfs', 'sjf', 'round-robin'] as const;
const TASK_NAMES = new Map([
  [FORWARD, 'F'],
  [BACKWARD, 'B'],
  [WEIGHT, 'W'],
]);

/** A problem as environments, and an episode as an answer. */
interface Subject<E extends Environment> {
  readonly kind: EpisodeFacts['kind'];
  readonly problem: string;
  readonly objective: EpisodeFacts['objective'];
  readonly make: () => E;
  readonly referenceValue: number;
  readonly teachers: readonly ((environment: E) => Teacher)[];
  /** Plays the actions; plain data. */
  readonly answer: (environment: E, actions: readonly number[]) => object;
}

/** Whether a configuration is of this kind. @throws PartitionError input when it cannot be read */
export function isEpisodeConfig(path: string): boolean {
  return trainingDocument(path, {})['episode'] !== undefined;
}

/**
 * Trains; the same configuration and backend give the same files. Stopped, it answers with the best episode so far.
 *
 * @throws PartitionError input for files that are no such problem
 */
export async function trainEpisodes(request: TrainRequest, hooks: TrainHooks): Promise<EpisodeFacts> {
  const started = hooks.clock();
  if (request.resume)
    throw new PartitionError('usage', 'training on episodes is not resumed', '--resume', 'train again');
  if (request.updates !== undefined)
    throw new PartitionError('usage', 'training on episodes counts episodes: budget.episodes', '--updates');
  const path = request.configPath;
  const fields = Fields.of(
    trainingDocument(path, { maxSec: request.maxSec, seed: request.seed }),
    path,
    '',
    [],
  );
  const algorithm = fields.oneOf('algorithm', EPISODE_AGENTS, 'ppo');
  const seed = fields.number('seed', { max: 2 ** 32 - 1, integer: true, default: 0 });
  const budget = fields.required('budget');
  const episodes = budget.number('episodes', { min: 20, integer: true });
  const untilSec = started + budget.number('seconds', { min: 0.001, default: Number.MAX_SAFE_INTEGER });
  budget.done();
  const episode = fields.required('episode');
  const isSchedule = episode.has('schedule');
  hooks.onProgress?.('reading the problem');
  const settings = { algorithm, seed, episodes, untilSec, started };
  const folder = dirname(path);
  fields.done();
  if (isSchedule) return trainSubject(scheduleSubject(episode, folder), settings, request.out, hooks);
  return trainSubject(placementSubject(episode, folder), settings, request.out, hooks);
}

async function trainSubject<E extends Environment>(
  subject: Subject<E>,
  settings: { algorithm: EpisodeAgent; seed: number; episodes: number; untilSec: number; started: number },
  out: string,
  hooks: TrainHooks,
): Promise<EpisodeFacts> {
  const { algorithm, seed, episodes, untilSec, started } = settings;
  const { kind, problem, objective, make, referenceValue, teachers } = subject;
  const backend = await loadBackend();
  const valueOf = (episodeReturn: number): number => referenceValue * Math.exp(-episodeReturn);
  const training: EpisodeTraining<E> = {
    agent: algorithm,
    episodes,
    teachers,
    rewardScale: REWARD_SCALE,
    stopped: () => hooks.stopped() || hooks.clock() > untilSec,
    onEpisode: (played, best) =>
      hooks.onProgress?.(
        `episode ${played} of ${episodes} on ${backend.name}, best ${valueOf(best).toPrecision(5)}, ${objective} of the reference ${referenceValue.toPrecision(5)}`,
      ),
  };
  const outcome = trainOnEpisodes(backend.tf, make, training, new Random(seed));
  const answerPath = join(out, `${kind}.json`);
  const metricsPath = join(out, 'metrics.jsonl');
  const lines = outcome.returns.map((r, i) =>
    JSON.stringify({ episode: i + 1, return: r, value: valueOf(r) }),
  );
  writeFileAtomic(metricsPath, lines.map((line) => `${line}\n`).join(''));
  const answer = subject.answer(make(), outcome.bestActions);
  const bestValue = valueOf(outcome.bestReturn);
  writeFileAtomic(
    answerPath,
    `${JSON.stringify({ schemaVersion: 1, problem, objective, value: bestValue, ...answer }, null, 1)}\n`,
  );
  return {
    algorithm,
    backend: backend.name,
    seed,
    kind,
    problem,
    objective,
    episodes: outcome.returns.length,
    plannedEpisodes: episodes,
    wallSec: hooks.clock() - started,
    referenceValue,
    shownValue: teachers.length === 0 ? null : valueOf(outcome.shownReturn),
    greedyValue: valueOf(outcome.greedyReturn),
    bestValue,
    answerPath,
    metricsPath,
  };
}

function placementSubject(episode: Fields, folder: string): Subject<PlacementEpisode> {
  const path = resolve(folder, episode.string('placement'));
  const objective = episode.oneOf('objective', ['throughput', 'latency'] as const, 'throughput');
  const imitates = imitation(episode);
  episode.done();
  const document = readWorkload(path);
  if (workloadFormat(document, path) === 'piper')
    throw new PartitionError('input', 'a workload of layers and stages has no devices to choose', path);
  const workload = readPlaceProblem(document, path);
  const names = deviceNames(workload);
  if (names.length > MOST_DEVICES)
    throw new PartitionError(
      'input',
      `${names.length} devices, an episode offers ${MOST_DEVICES} at most`,
      path,
    );
  const problem = placementOf(workload, objective === 'latency' ? 'latency' : 'load');
  const make = (): PlacementEpisode => new PlacementEpisode(problem);
  return {
    kind: 'placement',
    problem: path,
    objective,
    make,
    referenceValue: make().referenceSec,
    teachers: imitates ? [(e) => () => e.greedyAction()] : [],
    answer: (environment, actions) => {
      replay(environment, actions);
      const { placement } = environment;
      const [fault] = judgePlacement(workload, placement).faults;
      if (fault !== undefined)
        throw new PartitionError('infeasible', `no episode was legal: in the best ${fault}`, path);
      return { assignment: workload.names.map((op, i) => ({ op, device: names[placement[i]] })) };
    },
  };
}

function scheduleSubject(episode: Fields, folder: string): Subject<ScheduleEpisode> {
  const path = resolve(folder, episode.string('schedule'));
  const model = episode.has('model') ? resolve(folder, episode.string('model')) : undefined;
  const splits = episode.raw('weightGradients') ?? false;
  if (typeof splits !== 'boolean') throw episode.fault('weightGradients', 'true or false');
  const imitates = imitation(episode);
  episode.done();
  const { base, running } = openRunningJob(path, model, 'train <config>, with model in its episode');
  if (running.vpp !== 1 || running.pp < 2 || base.problem.phase !== 'train')
    throw new PartitionError(
      'input',
      `expected a training plan of two or more stages with one part each, found pp ${running.pp}, vpp ${running.vpp}, ${base.problem.phase}`,
      path,
      'partition <model.onnx> --devices N, then partition why <plan.json> --instead pp=4 to see what others cost',
    );
  const problem = scheduleOf(base.problem, running, splits);
  const make = (): ScheduleEpisode => new ScheduleEpisode(problem);
  return {
    kind: 'schedule',
    problem: path,
    objective: 'makespan',
    make,
    referenceValue: make().referenceSec,
    teachers: imitates ? SCHEDULE_TEACHERS.map((name) => (e) => () => e.expertAction(name)) : [],
    answer: (environment, actions) => {
      const ranks: string[][] = Array.from({ length: problem.ranks }, () => []);
      replay(environment, actions, (action) => note(environment.state, action, ranks));
      return { makespanSec: environment.makespanSec, ranks };
    },
  };
}

/** A task of a rank: `F3` is the forward pass of microbatch 3. Messages and waits follow from the order of tasks. */
function note(state: ScheduleState, action: number, ranks: string[][]): void {
  const task = TASK_NAMES.get(state.offerKind[action]);
  if (task !== undefined && !state.asksLink)
    ranks[state.rank].push(`${task}${state.offerMicrobatch[action]}`);
}

function replay(
  environment: Environment,
  actions: readonly number[],
  before: (action: number) => void = () => undefined,
): void {
  environment.reset(0);
  for (const action of actions) {
    before(action);
    environment.step(action);
  }
}

function imitation(episode: Fields): boolean {
  const imitates = episode.raw('imitate') ?? true;
  if (typeof imitates !== 'boolean') throw episode.fault('imitate', 'true or false');
  return imitates;
}
