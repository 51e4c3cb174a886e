/**
 * The plan episode: a training plan built decision by decision.
 *
 * Actions: at each step one option of the next decision, in the order of PLAN_DECISIONS (mesh degrees, context exchange,
 *   microbatch, schedule and interleaving, ZeRO, recomputation per family of layer classes, axis order, cuts). Degrees that some
 *   mesh has but none with the degrees chosen so far are masked. A decision without alternatives is not asked.
 * Observation: context (which decision, the problem, the plan so far) and per option its size, kind and first-order
 *   consequences (bubble, memory); see `planFeatures`. Embedded: the context ends with the pooled embedding of the graph's
 *   blocks (`graphEmbedding`), which tells models apart that are alike in size.
 * Reward: 0 until the last step; then log(reference / value) of the finished plan, less a penalty that grows with the
 *   memory overflow, within +-REWARD_LIMIT.
 * Start: nothing decided; the seed does not matter. End: when the cuts are chosen.
 */
import type { Candidate } from '../plan/types.js';
import type { CutRule, Cutter } from '../search/cutRules.js';
import { CUT_RULES } from '../search/cutRules.js';
import type { PriceMemo } from '../search/memo.js';
import type { Decisions, MeshDegrees, PlanSpace } from '../search/space.js';
import type { Environment, EnvironmentSpec, Observation, RewardComponents, Step } from './environment.js';
import { checkAction, MAX_OPTIONS } from './environment.js';
import { EMBEDDING_FEATURES, embeddingOf } from './graphEmbedding.js';
import type { PartialPlan, PlanDecision } from './planFeatures.js';
import { CONTEXT_FEATURES, OPTION_FEATURES, PLAN_DECISIONS, PlanFeatures } from './planFeatures.js';

export const REWARD_LIMIT = 6;
/** Lost by any plan that does not fit, and more per doubling of memory beyond capacity. */
const OVERFLOW_PENALTY = 1;

/** One option of a decision. */
interface Option {
  /** Kind within the decision, -1 for a plain number. */
  readonly category: number;
  readonly size: number;
  readonly legal: boolean;
  /** The decisions with this one taken. */
  readonly after: Decisions;
  readonly stageStart: Int32Array | null;
}

export const PLAN_SPEC: EnvironmentSpec = {
  name: 'plan',
  optionFeatures: OPTION_FEATURES,
  contextFeatures: CONTEXT_FEATURES,
  maxSteps: PLAN_DECISIONS.length,
};

/** The same with what the graph network says of the model. */
export const EMBEDDED_PLAN_SPEC: EnvironmentSpec = {
  ...PLAN_SPEC,
  name: 'plan-embedded',
  contextFeatures: CONTEXT_FEATURES + EMBEDDING_FEATURES,
};

/** The spec that a policy of this name was made for; the plain one for any other name. */
export function planSpec(name: string): EnvironmentSpec {
  return name === EMBEDDED_PLAN_SPEC.name ? EMBEDDED_PLAN_SPEC : PLAN_SPEC;
}

export class PlanEpisode implements Environment {
  readonly spec: EnvironmentSpec;
  /** The plan of the last finished episode. */
  plan: Candidate | null = null;
  private readonly features: PlanFeatures;
  private readonly embedding: Float32Array | null;
  private readonly neutral: Decisions;
  /** Values each degree takes in any mesh. */
  private readonly degreeValues: ReadonlyMap<string, readonly number[]>;
  private meshes: readonly MeshDegrees[] = [];
  private decisions: Decisions;
  private next = 0;
  private options: Option[] = [];
  private observation: Observation | null = null;

  /**
   * @param space with at least one mesh
   * @param referenceValue objective of the plan that earns a reward of 0
   * @param embedded whether the graph's embedding is part of the context
   */
  constructor(
    private readonly space: PlanSpace,
    private readonly cutter: Cutter,
    private readonly memo: PriceMemo,
    private readonly referenceValue: number,
    embedded = false,
  ) {
    this.spec = embedded ? EMBEDDED_PLAN_SPEC : PLAN_SPEC;
    this.embedding = embedded ? embeddingOf(space.problem.segmentation).pooled : null;
    this.features = new PlanFeatures(space, cutter.model);
    this.degreeValues = new Map(DEGREES.map((name) => [name, values(space.meshes, name)]));
    this.neutral = {
      ...{ dpReplicate: 1, dpShard: 1, tp: 1, pp: 1, vpp: 1, cp: 1, ep: 1, etp: 1 },
      ...{ zeroStage: 0, schedule: '1f1b', microbatch: 1, axisOrder: 'tp-cp-dp-pp' },
      contextExchange: 'ring',
      recompute: space.recomputes[0],
    };
    this.decisions = this.neutral;
  }

  reset(_seed: number): Observation {
    this.meshes = this.space.meshes;
    this.decisions = this.neutral;
    this.plan = null;
    this.next = -1;
    return this.ask();
  }

  step(action: number): Step {
    if (this.observation === null || this.plan !== null)
      throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const { after, stageStart } = this.options[action];
    this.take(after);
    if (stageStart === null)
      return { observation: this.ask(), reward: 0, terminated: false, truncated: false };
    this.plan = { ...after, stageStart };
    const components = this.rewardComponents(this.plan);
    return {
      observation: this.observation,
      reward: Math.max(-REWARD_LIMIT, components.gain - components.excess),
      terminated: true,
      truncated: false,
      components,
    };
  }

  /** The action that a plan implies for the decision now on offer, -1 when it is not on offer; cuts by the rule nearest to them. */
  actionToward(plan: Candidate): number {
    const decision = PLAN_DECISIONS[this.next];
    if (decision === 'cuts') return nearestCuts(this.options, plan.stageStart);
    return this.options.findIndex(
      (o) => o.legal && agrees(decision, o.after, plan, this.space.familyOfClass),
    );
  }

  /** Moves on to the next decision that leaves a choice and offers its options. */
  private ask(): Observation {
    for (;;) {
      this.next++;
      this.options = thin(this.offer(PLAN_DECISIONS[this.next]));
      const legal = this.options.filter((o) => o.legal);
      if (legal.length > 1 || PLAN_DECISIONS[this.next] === 'cuts') break;
      this.take(legal[0].after);
    }
    const partial = { decisions: this.decisions, next: this.next };
    const n = this.options.length;
    const options = new Float32Array(n * OPTION_FEATURES);
    const mask = new Uint8Array(n);
    this.options.forEach((o, i) => {
      mask[i] = o.legal ? 1 : 0;
      if (o.legal)
        this.features.option(
          options,
          i * OPTION_FEATURES,
          partial,
          o.category,
          o.size,
          o.after,
          o.stageStart,
        );
    });
    return (this.observation = {
      optionCount: n,
      options,
      mask,
      context: this.context(partial),
    });
  }

  private context(partial: PartialPlan): Float32Array {
    const plain = this.features.context(partial);
    if (this.embedding === null) return plain;
    const out = new Float32Array(EMBEDDED_PLAN_SPEC.contextFeatures);
    out.set(plain);
    out.set(this.embedding, plain.length);
    return out;
  }

  private take(after: Decisions): void {
    const decision = PLAN_DECISIONS[this.next];
    this.decisions = after;
    if (!isDegree(decision)) return;
    this.meshes = this.meshes.filter((m) => m[decision] === after[decision]);
    // The rest of the devices, once all other degrees are known.
    if (decision === 'etp') this.decisions = { ...after, dpReplicate: this.meshes[0].dp };
  }

  private offer(decision: PlanDecision): Option[] {
    const { space, decisions: d } = this;
    const mesh = this.meshes[0];
    switch (decision) {
      case 'context-exchange':
        return space.contextExchanges(mesh).map((e, i) => option(i, 1, { ...d, contextExchange: e }));
      case 'microbatch':
        return space.microbatches(mesh).map((n) => number(n, { ...d, microbatch: n }));
      case 'schedule':
        return space
          .schedules(mesh, d.microbatch)
          .map((s) => option(SCHEDULE_CATEGORY[s.schedule], s.vpp, { ...d, ...s }));
      case 'zero':
        return space
          .zeros(mesh)
          .map((z) => option(z.zeroStage, z.dpShard, { ...d, ...z, dpReplicate: mesh.dp / z.dpShard }));
      case 'recompute':
        return this.recomputes(0);
      case 'recompute-rest':
        return this.recomputes(1);
      case 'axis-order':
        return space.axisOrders(mesh).map((axisOrder, i) => option(i, 1, { ...d, axisOrder }));
      case 'cuts':
        return this.cuts();
      default:
        return this.degreeValues.get(decision)!.map((n) => ({
          ...number(n, { ...d, [decision]: n }),
          legal: this.meshes.some((m) => m[decision] === n),
        }));
    }
  }

  /** Policies of one family, the other family's as decided; nothing to choose where the family is empty. */
  private recomputes(family: number): Option[] {
    const { familyOfClass, recomputes } = this.space;
    const k = familyOfClass.indexOf(family);
    const same = recomputes.filter((vector) =>
      vector.every((policy, c) => familyOfClass[c] === family || policy === this.decisions.recompute[c]),
    );
    return same.map((recompute, i) => option(k < 0 ? i : recompute[k], 1, { ...this.decisions, recompute }));
  }

  /** One option per rule; rules that give the same cuts as one before are left out. */
  private cuts(): Option[] {
    const found: Option[] = [];
    CUT_RULES.forEach((rule: CutRule, category) => {
      const stageStart = this.cutter.cut(rule, this.decisions);
      if (found.some((o) => sameCuts(o.stageStart!, stageStart))) return;
      found.push({ ...option(category, 1, this.decisions), stageStart });
    });
    return found;
  }

  private rewardComponents(plan: Candidate): RewardComponents {
    const price = this.memo.price(plan);
    const gain = Math.log(this.referenceValue / price.value);
    return {
      gain: Math.max(-REWARD_LIMIT, Math.min(price.fits ? REWARD_LIMIT : 0, gain)),
      excess: price.fits
        ? 0
        : Math.min(REWARD_LIMIT, OVERFLOW_PENALTY * (1 + Math.log2(Math.max(1, price.memoryRatio)))),
    };
  }
}

const DEGREES = ['pp', 'tp', 'cp', 'ep', 'etp'] as const;

const SCHEDULE_CATEGORY = { '1f1b': 0, gpipe: 1, interleaved: 2, 'zb-h1': 3 } as const;

function isDegree(decision: PlanDecision): decision is (typeof DEGREES)[number] {
  return (DEGREES as readonly string[]).includes(decision);
}

function values(meshes: readonly MeshDegrees[], name: (typeof DEGREES)[number]): number[] {
  return [...new Set(meshes.map((m) => m[name]))].sort((a, b) => a - b);
}

function option(category: number, size: number, after: Decisions): Option {
  return { category, size, legal: true, after, stageStart: null };
}

function number(size: number, after: Decisions): Option {
  return option(-1, size, after);
}

/** At most MAX_OPTIONS of the options, legal ones first, evenly spread. */
function thin(options: Option[]): Option[] {
  if (options.length <= MAX_OPTIONS) return options;
  const legal = options.filter((o) => o.legal);
  if (legal.length <= MAX_OPTIONS) return legal;
  return Array.from({ length: MAX_OPTIONS }, (_, i) => legal[Math.floor((i * legal.length) / MAX_OPTIONS)]);
}

function sameCuts(a: Int32Array, b: Int32Array): boolean {
  return a.every((x, i) => x === b[i]);
}

/** Whether an option takes a decision as the plan did. */
function agrees(
  decision: PlanDecision,
  option: Decisions,
  plan: Candidate,
  familyOfClass: Uint8Array,
): boolean {
  switch (decision) {
    case 'context-exchange':
      return option.contextExchange === plan.contextExchange;
    case 'microbatch':
      return option.microbatch === plan.microbatch;
    case 'schedule':
      return option.schedule === plan.schedule && option.vpp === plan.vpp;
    case 'zero':
      return option.zeroStage === plan.zeroStage && (plan.zeroStage === 0 || option.dpShard === plan.dpShard);
    case 'recompute':
    case 'recompute-rest': {
      const family = decision === 'recompute' ? 0 : 1;
      return option.recompute.every(
        (policy, c) => familyOfClass[c] !== family || policy === plan.recompute[c],
      );
    }
    case 'axis-order':
      return option.axisOrder === plan.axisOrder;
    case 'cuts':
      return true;
    default:
      return option[decision] === plan[decision];
  }
}

/** The option whose cuts differ least, in segments moved. */
function nearestCuts(options: readonly Option[], stageStart: Int32Array): number {
  let best = -1;
  let least = Infinity;
  options.forEach((o, i) => {
    if (o.stageStart === null || o.stageStart.length !== stageStart.length) return;
    let moved = 0;
    for (let v = 0; v < stageStart.length; v++) moved += Math.abs(o.stageStart[v] - stageStart[v]);
    if (moved < least) [best, least] = [i, moved];
  });
  return best;
}
