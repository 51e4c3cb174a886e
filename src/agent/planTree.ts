/**
 * The tree of a plan's decisions with the policy's probabilities, grown as it is visited: every state is looked at once,
 * however many plans pass through it. Plans are drawn without replacement, each in proportion to its probability among those
 * not drawn yet (UniqueRandomizer, Shi et al. 2020): a leaf that was drawn takes its probability out of all its ancestors.
 */
import type { Candidate } from '../plan/types.js';
import type { Random } from '../util/random.js';
import type { Observation } from './environment.js';
import { DEGREE_DECISIONS } from './planFeatures.js';
import type { PlanOffers, PlanState } from './planOffers.js';

/** Scores of the options, -Infinity where masked. */
export type Rate = (observation: Observation) => Float64Array;

export class PlanNode {
  readonly children: (PlanNode | null)[];

  constructor(
    readonly state: PlanState,
    /** Of every option, 0 where masked; adds up to 1. */
    readonly probability: Float64Array,
    /** What of it has not been drawn yet. */
    readonly undrawn: Float64Array,
  ) {
    this.children = state.options.map(() => null);
  }
}

/** A mesh, or several that have some degrees in common, before it is looked at. */
interface Branch {
  readonly parent: PlanNode;
  readonly option: number;
  readonly probability: number;
}

export class PlanTree {
  readonly root: PlanNode;
  /** Decisions that the policy was asked for. */
  asked = 0;

  /**
   * @param rate null: all options are equally good
   * @param temperature above 1 evens the policy out
   */
  constructor(
    private readonly offers: PlanOffers,
    private readonly rate: Rate | null,
    private readonly temperature: number,
  ) {
    this.root = this.node(offers.start());
  }

  /** The plan that takes the likeliest option every time. It counts as drawn. */
  likeliest(): Candidate {
    return this.walk((node) => argmax(node.probability));
  }

  /** A plan not drawn before; null when every plan has been. */
  draw(random: Random): Candidate | null {
    if (sum(this.root.undrawn) === 0) return null;
    return this.walk((node) => pick(node.undrawn, random));
  }

  /**
   * One plan for each of the likeliest meshes, likeliest mesh first: the likeliest option of every other decision. Without a
   * policy meshes and options are drawn.
   */
  *openings(count: number, random: Random): Generator<Candidate> {
    if (!isOfMesh(this.root)) {
      yield this.complete(this.root, random);
      return;
    }
    const branches = branchesOf(this.root, 1);
    for (let found = 0; found < count && branches.length > 0;) {
      const at = this.rate === null ? random.int(branches.length) : likeliestOf(branches);
      const { parent, option, probability } = branches[at];
      branches[at] = branches[branches.length - 1];
      branches.pop();
      const node = this.child(parent, option);
      if (isOfMesh(node)) branches.push(...branchesOf(node, probability));
      else {
        found++;
        yield this.complete(node, random);
      }
    }
  }

  /** From a state on, the likeliest option every time; drawn where there is no policy. */
  private complete(from: PlanNode, random: Random): Candidate {
    for (let node = from; ;) {
      const { probability, state } = node;
      const chosen = this.rate === null ? pick(probability, random) : argmax(probability);
      const { after, stageStart } = state.options[chosen];
      if (stageStart !== null) return { ...after, stageStart };
      node = this.child(node, chosen);
    }
  }

  /**
   * The plan with some of its decisions drawn anew: the others are kept as far as they are still on offer, else drawn too.
   *
   * @param isOpen whether the decision at that place of PLAN_DECISIONS is drawn anew
   * @param keepsCuts keeps cuts that still fit where that decision is not drawn anew; else the rule nearest to them is kept
   */
  redraw(
    plan: Candidate,
    isOpen: (decision: number) => boolean,
    keepsCuts: boolean,
    random: Random,
  ): Candidate {
    let node = this.root;
    for (;;) {
      const { state } = node;
      const open = isOpen(state.next);
      const kept = open ? -1 : this.offers.toward(state, plan);
      const chosen = kept >= 0 ? kept : pick(node.probability, random);
      const { after, stageStart } = state.options[chosen];
      if (stageStart !== null) {
        const sameStages = stageStart.length === plan.stageStart.length;
        return { ...after, stageStart: keepsCuts && !open && sameStages ? plan.stageStart : stageStart };
      }
      node = this.child(node, chosen);
    }
  }

  /** From the root to a leaf, which counts as drawn. */
  private walk(choose: (node: PlanNode) => number): Candidate {
    const path: PlanNode[] = [];
    const taken: number[] = [];
    let node = this.root;
    for (;;) {
      const chosen = choose(node);
      path.push(node);
      taken.push(chosen);
      const { after, stageStart } = node.state.options[chosen];
      if (stageStart === null) {
        node = this.child(node, chosen);
        continue;
      }
      let left = 0;
      for (let k = path.length - 1; k >= 0; k--) {
        path[k].undrawn[taken[k]] = left;
        left = sum(path[k].undrawn);
      }
      return { ...after, stageStart };
    }
  }

  private child(node: PlanNode, option: number): PlanNode {
    const known = node.children[option];
    if (known !== null) return known;
    const next = this.node(this.offers.after(node.state, node.state.options[option]), node.undrawn[option]);
    node.children[option] = next;
    return next;
  }

  private node(state: PlanState, mass = 1): PlanNode {
    this.asked++;
    const p = this.rate === null ? even(state) : this.rate(this.offers.observe(state));
    let most = -Infinity;
    for (const x of p) if (x > most) most = x;
    for (let i = 0; i < p.length; i++) p[i] = Math.exp((p[i] - most) / this.temperature);
    const total = sum(p);
    for (let i = 0; i < p.length; i++) p[i] /= total;
    return new PlanNode(
      state,
      p,
      p.map((x) => x * mass),
    );
  }
}

/** Scores without a policy. */
function even({ options }: PlanState): Float64Array {
  return Float64Array.from(options, ({ legal }) => (legal ? 0 : -Infinity));
}

/** Whether a degree is asked for. */
function isOfMesh({ state }: PlanNode): boolean {
  return state.next < DEGREE_DECISIONS;
}

function branchesOf(parent: PlanNode, probability: number): Branch[] {
  const found: Branch[] = [];
  parent.probability.forEach((p, option) => {
    if (p > 0) found.push({ parent, option, probability: probability * p });
  });
  return found;
}

function likeliestOf(branches: readonly Branch[]): number {
  let best = 0;
  for (let i = 1; i < branches.length; i++)
    if (branches[i].probability > branches[best].probability) best = i;
  return best;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const x of values) total += x;
  return total;
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** An index in proportion to the weights, of which one at least is above 0. */
function pick(weights: Float64Array, random: Random): number {
  let left = random.next() * sum(weights);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    left -= weights[i];
    if (left < 0) return i;
  }
  return last;
}
