/**
 * The decisions of a plan as a tree: what a state offers and where an option leads. States never change, so a search may
 * go on from any of them; the plan episode walks down once.
 */
import type { Candidate } from '../plan/types.js';
import type { CutRule, Cutter } from '../search/cutRules.js';
import { CUT_RULES } from '../search/cutRules.js';
import type { Decisions, MeshDegrees, PlanSpace } from '../search/space.js';
import type { EnvironmentSpec, Observation } from './environment.js';
import { MAX_OPTIONS } from './environment.js';
import { EMBEDDING_FEATURES, embeddingOf } from './graphEmbedding.js';
import type { PlanDecision } from './planFeatures.js';
import { CONTEXT_FEATURES, OPTION_FEATURES, PLAN_DECISIONS, PlanFeatures } from './planFeatures.js';

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

/** One option of a decision. */
export interface PlanOption {
  /** Kind within the decision, -1 for a plain number. */
  readonly category: number;
  readonly size: number;
  readonly legal: boolean;
  /** The decisions with this one taken. */
  readonly after: Decisions;
  /** The cuts, where they are what is chosen: the plan is complete. */
  readonly stageStart: Int32Array | null;
}

/** A plan in the making that leaves a choice. */
export interface PlanState {
  /** Place in PLAN_DECISIONS of the decision now asked for. */
  readonly next: number;
  /** Decisions taken; those to come have neutral values. */
  readonly decisions: Decisions;
  /** Meshes with the degrees chosen so far. */
  readonly meshes: readonly MeshDegrees[];
  readonly options: readonly PlanOption[];
}

export class PlanOffers {
  readonly spec: EnvironmentSpec;
  private readonly features: PlanFeatures;
  private readonly embedding: Float32Array | null;
  /** Values each degree takes in any mesh. */
  private readonly degreeValues: ReadonlyMap<string, readonly number[]>;

  /**
   * @param space with at least one mesh
   * @param embedded whether the graph's embedding is part of the context
   */
  constructor(
    readonly space: PlanSpace,
    private readonly cutter: Cutter,
    embedded: boolean,
  ) {
    this.spec = embedded ? EMBEDDED_PLAN_SPEC : PLAN_SPEC;
    this.embedding = embedded ? embeddingOf(space.problem.segmentation).pooled : null;
    this.features = new PlanFeatures(space, cutter.model);
    this.degreeValues = new Map(DEGREES.map((name) => [name, values(space.meshes, name)]));
  }

  /** Nothing decided. */
  start(): PlanState {
    const neutral: Decisions = {
      ...{ dpReplicate: 1, dpShard: 1, tp: 1, pp: 1, vpp: 1, cp: 1, ep: 1, etp: 1 },
      ...{ zeroStage: 0, schedule: '1f1b', microbatch: 1, axisOrder: 'tp-cp-dp-pp' },
      contextExchange: 'ring',
      recompute: this.space.recomputes[0],
    };
    return this.ask(0, neutral, this.space.meshes);
  }

  /** The next state that leaves a choice, once a legal option that is not the cuts was taken. */
  after({ next, meshes }: PlanState, option: PlanOption): PlanState {
    return this.ask(next + 1, ...take(PLAN_DECISIONS[next], option.after, meshes));
  }

  /** What the policy sees. */
  observe(state: PlanState): Observation {
    const { options } = state;
    const features = new Float32Array(options.length * OPTION_FEATURES);
    const mask = new Uint8Array(options.length);
    options.forEach((o, i) => {
      mask[i] = o.legal ? 1 : 0;
      const at = i * OPTION_FEATURES;
      if (o.legal) this.features.option(features, at, state, o.category, o.size, o.after, o.stageStart);
    });
    return { optionCount: options.length, options: features, mask, context: this.context(state) };
  }

  /** The option that a plan implies for the decision on offer, -1 when it is not on offer; cuts by the rule nearest to them. */
  toward({ next, options }: PlanState, plan: Candidate): number {
    const decision = PLAN_DECISIONS[next];
    if (decision === 'cuts') return nearestCuts(options, plan.stageStart);
    return options.findIndex((o) => o.legal && agrees(decision, o.after, plan, this.space.familyOfClass));
  }

  /** Passes decisions that leave no choice; the cuts are always asked for. */
  private ask(from: number, decisions: Decisions, meshes: readonly MeshDegrees[]): PlanState {
    for (let next = from; ; next++) {
      const decision = PLAN_DECISIONS[next];
      const options = thin(this.offer(decision, decisions, meshes));
      const legal = options.filter((o) => o.legal);
      if (legal.length > 1 || decision === 'cuts') return { next, decisions, meshes, options };
      [decisions, meshes] = take(decision, legal[0].after, meshes);
    }
  }

  private context(state: PlanState): Float32Array {
    const plain = this.features.context(state);
    if (this.embedding === null) return plain;
    const out = new Float32Array(EMBEDDED_PLAN_SPEC.contextFeatures);
    out.set(plain);
    out.set(this.embedding, plain.length);
    return out;
  }

  private offer(decision: PlanDecision, d: Decisions, meshes: readonly MeshDegrees[]): PlanOption[] {
    const { space } = this;
    const mesh = meshes[0];
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
        return this.recomputes(0, d);
      case 'recompute-rest':
        return this.recomputes(1, d);
      case 'axis-order':
        return space.axisOrders(mesh).map((axisOrder, i) => option(i, 1, { ...d, axisOrder }));
      case 'cuts':
        return this.cuts(d);
      default:
        return this.degreeValues.get(decision)!.map((n) => ({
          ...number(n, { ...d, [decision]: n }),
          legal: meshes.some((m) => m[decision] === n),
        }));
    }
  }

  /** Policies of one family, the other family's as decided; nothing to choose where the family is empty. */
  private recomputes(family: number, d: Decisions): PlanOption[] {
    const { familyOfClass, recomputes } = this.space;
    const k = familyOfClass.indexOf(family);
    const same = recomputes.filter((vector) =>
      vector.every((policy, c) => familyOfClass[c] === family || policy === d.recompute[c]),
    );
    return same.map((recompute, i) => option(k < 0 ? i : recompute[k], 1, { ...d, recompute }));
  }

  /** One option per rule; rules that give the same cuts as one before are left out. */
  private cuts(d: Decisions): PlanOption[] {
    const found: PlanOption[] = [];
    CUT_RULES.forEach((rule: CutRule, category) => {
      const stageStart = this.cutter.cut(rule, d);
      if (found.some((o) => sameCuts(o.stageStart!, stageStart))) return;
      found.push({ ...option(category, 1, d), stageStart });
    });
    return found;
  }
}

const DEGREES = ['pp', 'tp', 'cp', 'ep', 'etp'] as const;

const SCHEDULE_CATEGORY = { '1f1b': 0, gpipe: 1, interleaved: 2, 'zb-h1': 3 } as const;

function isDegree(decision: PlanDecision): decision is (typeof DEGREES)[number] {
  return (DEGREES as readonly string[]).includes(decision);
}

/** Decisions and meshes once an option is taken. */
function take(
  decision: PlanDecision,
  after: Decisions,
  meshes: readonly MeshDegrees[],
): [Decisions, readonly MeshDegrees[]] {
  if (!isDegree(decision)) return [after, meshes];
  const left = meshes.filter((m) => m[decision] === after[decision]);
  // The rest of the devices, once all other degrees are known.
  return [decision === 'etp' ? { ...after, dpReplicate: left[0].dp } : after, left];
}

function values(meshes: readonly MeshDegrees[], name: (typeof DEGREES)[number]): number[] {
  return [...new Set(meshes.map((m) => m[name]))].sort((a, b) => a - b);
}

function option(category: number, size: number, after: Decisions): PlanOption {
  return { category, size, legal: true, after, stageStart: null };
}

function number(size: number, after: Decisions): PlanOption {
  return option(-1, size, after);
}

/** At most MAX_OPTIONS of the options, legal ones first, evenly spread. */
function thin(options: PlanOption[]): PlanOption[] {
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
function nearestCuts(options: readonly PlanOption[], stageStart: Int32Array): number {
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
