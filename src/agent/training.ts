/**
 * Training over many problems: each update plays several episodes of a few problems side by side, compares returns
 * within a problem only, and also clones a teacher's plan of each. Problem number i and the randomness of update u
 * follow from the seed alone, so weights, moments and the number of updates done are all that going on needs.
 */
import type { Candidate } from '../plan/types.js';
import { annealSolver } from '../search/anneal.js';
import { Cutter } from '../search/cutRules.js';
import { Evaluator } from '../search/evaluator.js';
import { exhaustiveSolver } from '../search/exhaustive.js';
import { PriceMemo } from '../search/memo.js';
import { randomPlan } from '../search/random.js';
import { PlanSpace } from '../search/space.js';
import type { SearchContext, SearchResult } from '../search/types.js';
import { createSimulator } from '../simulate/estimate.js';
import type { PlanProblem } from '../simulate/types.js';
import { Random } from '../util/random.js';
import type { Backend } from './backend.js';
import type { Checkpoint } from './checkpoint.js';
import { scorerFrom, weightsOf } from './checkpoint.js';
import type { Demonstration } from './cloning.js';
import { cloningGradients, demonstrate } from './cloning.js';
import { EMBEDDED_PLAN_SPEC, PLAN_SPEC, PlanEpisode } from './planEpisode.js';
import type { Learner, PpoOptions } from './ppo.js';
import { createLearner, updatePpo } from './ppo.js';
import { Scorer } from './scorer.js';

export interface TrainingSettings {
  readonly seed: number;
  /** Updates of the whole training: learning rate and entropy bonus fall towards its end. */
  readonly updates: number;
  /** Problems of one update, and updates that each stays for. */
  readonly problems: number;
  readonly updatesPerProblem: number;
  /** Of one problem in one update. */
  readonly episodes: number;
  /** Evaluations of the teacher on each problem; 0: no teacher. */
  readonly teacherEvaluations: number;
  /** Gradients of cloning in one update. */
  readonly cloningSteps: number;
  /** Rounds of problems whose demonstrations are still cloned from, the present one included. */
  readonly cloningMemory: number;
  /** Learning rate of cloning over that of PPO at the start; it falls to 0 with the training. */
  readonly cloningWeight: number;
  /** Whether the policy sees the graph's embedding. */
  readonly embedding: boolean;
  readonly ppo: PpoOptions;
}

/** Problem number `index` of a distribution; the same number gives the same problem. Null: nothing fits it, draw another. */
export type ProblemSource = (index: number) => PlanProblem;

/** What one update came to. */
export interface TrainingReport {
  /** From 1. */
  readonly update: number;
  /** All so far. */
  readonly episodes: number;
  /** Mean over episodes of log(reference / value), penalties included; the reference is the teacher's plan. */
  readonly meanReturn: number;
  /** Mean over problems of the best episode. */
  readonly bestReturn: number;
  /** Of the policy, nats. */
  readonly entropy: number;
  /** Mean -log p of the teacher's choices, nats; null without a teacher. */
  readonly cloningLoss: number | null;
  readonly learningRate: number;
}

/** A problem in play. */
interface Lesson {
  readonly index: number;
  readonly episodes: readonly PlanEpisode[];
  readonly demonstrations: readonly Demonstration[];
}

export class PlanTrainer {
  private readonly learner: Learner;
  private readonly lessons: (Lesson | null)[];
  /** Demonstrations by problem, of the present and of past rounds. */
  private readonly shelf = new Map<number, readonly Demonstration[]>();
  private done = 0;
  private episodes = 0;

  /**
   * @param resume goes on from there; its own training's settings and source are given again
   * @param where names that checkpoint, or the one of `start`, in messages
   * @param start without `resume`: a policy whose weights a new training begins with, in place of random ones
   */
  constructor(
    private readonly backend: Backend,
    private readonly source: ProblemSource,
    private readonly settings: TrainingSettings,
    private readonly config: string | null,
    resume: Checkpoint | null = null,
    where = 'checkpoint',
    start: Checkpoint | null = null,
  ) {
    const { tf } = backend;
    const { ppo, seed } = settings;
    const spec = settings.embedding ? EMBEDDED_PLAN_SPEC : PLAN_SPEC;
    const from = resume ?? start;
    const scorer =
      from === null
        ? new Scorer(tf, spec, ppo.hidden, stream(seed, 0))
        : scorerFrom(tf, from, spec, ['ppo'], where);
    this.learner = createLearner(scorer, ppo);
    if (resume !== null) {
      if (resume.optimizer !== null) this.learner.adam.restore(resume.optimizer);
      this.done = resume.trainedBy.updates;
      this.episodes = resume.trainedBy.episodes;
    }
    this.lessons = Array.from({ length: settings.problems }, () => null);
  }

  get updates(): number {
    return this.done;
  }

  get finished(): boolean {
    return this.done >= this.settings.updates;
  }

  update(): TrainingReport {
    const { settings, learner, done } = this;
    const { ppo } = settings;
    const lessons = this.lessonsNow();
    const random = stream(settings.seed, done + 1);
    const progress = done / settings.updates;
    const cloningLoss = this.clone(progress);
    const report = updatePpo(
      learner,
      lessons.map((l) => l.episodes),
      ppo,
      random,
      () => progress,
    )!;
    this.done++;
    this.episodes += settings.problems * settings.episodes;
    const learningRate = ppo.learningRate * (1 - (1 - ppo.finalShare) * progress);
    return { update: this.done, episodes: this.episodes, ...report, cloningLoss, learningRate };
  }

  /** @param resumable with the optimizer's state; a policy that is only used needs none */
  checkpoint(resumable: boolean): Checkpoint {
    const { learner, settings } = this;
    const { name, optionFeatures, contextFeatures } = learner.scorer.spec;
    return {
      algorithm: 'ppo',
      environment: { name, optionFeatures, contextFeatures, hidden: settings.ppo.hidden },
      trainedBy: {
        seed: settings.seed,
        updates: this.done,
        episodes: this.episodes,
        backend: this.backend.name,
      },
      weights: weightsOf(learner.scorer),
      optimizer: resumable ? learner.adam.state : null,
      config: this.config,
    };
  }

  dispose(): void {
    this.learner.scorer.dispose();
  }

  /** @returns mean loss, null where there is no teacher */
  private clone(progress: number): number | null {
    const { settings, learner } = this;
    if (settings.cloningWeight === 0 || settings.cloningSteps === 0) return null;
    const decisions = this.remembered();
    if (decisions.length === 0) return null;
    const random = stream(settings.seed ^ 0x27d4eb2f, this.done);
    const learningRate = settings.ppo.learningRate * settings.cloningWeight * (1 - progress);
    let sum = 0;
    for (let step = 0; step < settings.cloningSteps; step++) {
      const count = Math.min(settings.ppo.minibatch, decisions.length);
      const sampled = Array.from({ length: count }, () => random.pick(decisions));
      const { loss, gradients } = cloningGradients(learner.scorer, sampled);
      learner.adam.apply(gradients, learningRate);
      sum += loss;
    }
    return sum / settings.cloningSteps;
  }

  /** Demonstrations of the last rounds in the order of their problems; after a resumption they are made again. */
  private remembered(): Demonstration[] {
    const { problems, cloningMemory } = this.settings;
    const known: Demonstration[] = [];
    const wanted = new Set<number>();
    for (let round = cloningMemory - 1; round >= 0; round--)
      for (let slot = 0; slot < problems; slot++) {
        const index = this.indexOf(slot) - round * problems;
        if (index < 0) continue;
        wanted.add(index);
        if (!this.shelf.has(index)) this.shelf.set(index, this.prepare(index).demonstrations);
        known.push(...this.shelf.get(index)!);
      }
    for (const index of this.shelf.keys()) if (!wanted.has(index)) this.shelf.delete(index);
    return known;
  }

  private lessonsNow(): Lesson[] {
    for (let slot = 0; slot < this.settings.problems; slot++) {
      const index = this.indexOf(slot);
      if (this.lessons[slot]?.index === index) continue;
      const lesson = this.prepare(index);
      this.lessons[slot] = lesson;
      this.shelf.set(index, lesson.demonstrations);
    }
    return this.lessons as Lesson[];
  }

  /** The problem in a slot at this update. Slots change one after the other, so that few problems are new at a time. */
  private indexOf(slot: number): number {
    const { problems, updatesPerProblem } = this.settings;
    const offset = Math.floor((slot * updatesPerProblem) / problems);
    return slot + problems * Math.floor((this.done + offset) / updatesPerProblem);
  }

  private prepare(index: number): Lesson {
    const { settings } = this;
    const problem = this.source(index);
    const context: SearchContext = {
      problem,
      simulator: createSimulator(problem),
      budget: { maxEvaluations: settings.teacherEvaluations, maxSec: Infinity },
      clock: () => 0,
      random: new Random(index),
    };
    const evaluator = new Evaluator(
      { ...context, budget: { maxEvaluations: Infinity, maxSec: Infinity } },
      'training',
    );
    const memo = new PriceMemo(evaluator, problem.objective);
    const space = new PlanSpace(problem);
    const cutter = new Cutter(problem);
    const taught = settings.teacherEvaluations > 0 ? teach(context) : null;
    const reference = taught?.value ?? medianValue(space, cutter, memo, context.random);
    const make = (): PlanEpisode => new PlanEpisode(space, cutter, memo, reference, settings.embedding);
    const student = make();
    return {
      index,
      episodes: Array.from({ length: settings.episodes }, make),
      demonstrations: taught === null ? [] : demonstrate(student, 0, () => student.actionToward(taught.plan)),
    };
  }
}

/** Of the teacher's evaluations, those that go to enumeration. */
const ENUMERATION_SHARE = 0.4;

/** The best plan that enumeration finds, and annealing from it; null when none fits. */
function teach(context: SearchContext): { plan: Candidate; value: number } | null {
  const { maxEvaluations } = context.budget;
  const part = (evaluations: number): SearchContext => ({
    ...context,
    budget: { maxEvaluations: Math.max(1, Math.floor(evaluations)), maxSec: Infinity },
  });
  const found = exhaustiveSolver.solve(part(ENUMERATION_SHARE * maxEvaluations)) as SearchResult;
  if (found.exhaustive) return found.best === null ? null : { plan: found.best, value: found.value };
  const left = part(maxEvaluations - found.evaluations);
  const annealed = annealSolver.solve(
    found.best === null ? left : { ...left, start: found.best },
  ) as SearchResult;
  const { best, value } = annealed.value < found.value ? annealed : found;
  return best === null ? null : { plan: best, value };
}

const MEDIAN_OF = 9;

function medianValue(space: PlanSpace, cutter: Cutter, memo: PriceMemo, random: Random): number {
  const values = Array.from({ length: MEDIAN_OF }, () => memo.price(randomPlan(space, cutter, random)).value);
  return values.sort((a, b) => a - b)[MEDIAN_OF >> 1];
}

/** Stream number `index` of a seed. */
export function stream(seed: number, index: number): Random {
  const random = new Random(seed);
  return new Random((random.uint32() ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0);
}
