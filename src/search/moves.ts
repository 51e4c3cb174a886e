/**
 * The one set of moves that annealing, Metropolis search and the genetic search share. A move changes one thing of a
 * legal plan and repairs what no longer fits the rest, so that every plan it makes is legal and in the stated space:
 *
 *     mesh        a factor of one degree goes to another (pp, tp, cp, dp), or experts are spread otherwise (ep, etp)
 *     microbatch  to a neighbouring size
 *     schedule    another order of work or depth of interleaving
 *     zero        another stage or number of shards
 *     recompute   another policy for one family of layers
 *     leanness    another sharding of the mesh, one step leaner or faster
 *     exchange    the other context exchange
 *     order       the other axis order
 *     shift       one cut moves by one segment, more rarely by up to four
 *     rebalance   cuts anew by one of the rules, or balanced with some memory kept free
 *
 * Moves are drawn by weight among those that apply. Cuts are balanced anew when what a stage costs has changed; the
 * others keep them.
 */
import { usableMemoryBytes } from '../cost/memory.js';
import { leannessOf } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { Random } from '../util/random.js';
import { CUT_RULES } from './cutRules.js';
import type { Cutter } from './cutRules.js';
import { nearestDecisions, withCuts } from './legalize.js';
import type { Decisions, MeshDegrees, PlanSpace } from './space.js';

export type MoveKind =
  | 'mesh'
  | 'microbatch'
  | 'schedule'
  | 'zero'
  | 'recompute'
  | 'leanness'
  | 'exchange'
  | 'order'
  | 'shift'
  | 'rebalance';

/** How often each move is tried, relative to the others. */
export const MOVE_WEIGHTS: Readonly<Record<MoveKind, number>> = {
  mesh: 6,
  microbatch: 4,
  schedule: 3,
  zero: 3,
  recompute: 3,
  leanness: 2,
  exchange: 1,
  order: 1,
  shift: 4,
  rebalance: 2,
};

const ALL_KINDS = Object.keys(MOVE_WEIGHTS) as MoveKind[];

/** Largest share of a device's memory that rebalancing keeps free. */
const MOST_SPARE = 0.1;
/** Moves tried before giving up on finding one that changes the plan. */
const ATTEMPTS = 16;

export class Moves {
  /** Meshes by their degrees, to find the one a move leads to. */
  private readonly meshOf = new Map<string, number>();
  private readonly neighbours = new Map<number, readonly MeshDegrees[]>();
  private readonly leastMemoryBytes: number;
  /** Kinds to draw from, and the sum of their weights. */
  private readonly kinds: readonly MoveKind[];
  private readonly totalWeight: number;

  constructor(
    private readonly space: PlanSpace,
    private readonly cutter: Cutter,
  ) {
    // Where no mesh has a choice of shardings none is drawn for.
    const hasShardings = space.problem.costs.leannesses !== undefined;
    this.kinds = ALL_KINDS.filter((kind) => kind !== 'leanness' || hasShardings);
    this.totalWeight = this.kinds.reduce((sum, kind) => sum + MOVE_WEIGHTS[kind], 0);
    space.meshes.forEach((mesh, i) => this.meshOf.set(keyOf(mesh), i));
    this.leastMemoryBytes = Math.min(
      ...space.problem.cluster.groups.map(({ device }) => usableMemoryBytes(device)),
    );
  }

  /** The mesh that the plan runs on. */
  mesh(c: Decisions): MeshDegrees {
    return this.space.meshes[this.meshOf.get(keyOf(c))!];
  }

  /**
   * A plan one random move away; the plan itself where nothing else is legal. The plan given is not changed.
   *
   * @param keepsMesh leaves out the moves of the mesh
   */
  propose(c: Candidate, random: Random, keepsMesh = false): Candidate {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const kind = this.drawKind(random);
      const next = keepsMesh && kind === 'mesh' ? null : this.apply(kind, c, random);
      if (next !== null) return next;
    }
    return c;
  }

  /** The plan after one move of that kind; null where the kind leaves no choice. */
  apply(kind: MoveKind, c: Candidate, random: Random): Candidate | null {
    const { space, cutter } = this;
    const mesh = this.mesh(c);
    switch (kind) {
      case 'mesh': {
        const near = this.meshNeighbours(mesh);
        if (near.length === 0) return null;
        return withCuts(cutter, nearestDecisions(space, random.pick(near), c), null);
      }
      case 'microbatch': {
        const sizes = space.microbatches(mesh);
        const to = sizes.indexOf(c.microbatch) + (random.next() < 0.5 ? -1 : 1);
        if (to < 0 || to >= sizes.length) return null;
        return withCuts(cutter, nearestDecisions(space, mesh, { ...c, microbatch: sizes[to] }), null);
      }
      case 'schedule': {
        const others = space
          .schedules(mesh, c.microbatch)
          .filter((s) => s.schedule !== c.schedule || s.vpp !== c.vpp);
        return others.length === 0 ? null : withCuts(cutter, { ...c, ...random.pick(others) }, null);
      }
      case 'zero': {
        const others = space
          .zeros(mesh)
          .filter((z) => z.zeroStage !== c.zeroStage || z.dpShard !== c.dpShard);
        if (others.length === 0) return null;
        const zero = random.pick(others);
        return withCuts(
          cutter,
          { ...c, ...zero, dpReplicate: mesh.dp / zero.dpShard },
          this.keptCuts(c, random),
        );
      }
      case 'recompute': {
        const family = random.int(space.familyCount);
        const { familyOfClass } = space;
        const others = space.recomputes.filter(
          (vector) =>
            vector.some((policy, k) => policy !== c.recompute[k]) &&
            vector.every((policy, k) => familyOfClass[k] === family || policy === c.recompute[k]),
        );
        if (others.length === 0) return null;
        return withCuts(cutter, { ...c, recompute: random.pick(others) }, this.keptCuts(c, random));
      }
      case 'leanness': {
        const to = leannessOf(c) + (random.next() < 0.5 ? -1 : 1);
        if (!space.leannesses(mesh).includes(to)) return null;
        return withCuts(cutter, { ...c, leanness: to }, this.keptCuts(c, random));
      }
      case 'exchange': {
        const others = space.contextExchanges(mesh).filter((e) => e !== c.contextExchange);
        return others.length === 0
          ? null
          : withCuts(cutter, { ...c, contextExchange: random.pick(others) }, c.stageStart);
      }
      case 'order': {
        const others = space.axisOrders(mesh).filter((o) => o !== c.axisOrder);
        return others.length === 0 ? null : withCuts(cutter, { ...c, axisOrder: random.pick(others) }, null);
      }
      case 'shift':
        return shiftCut(c, random);
      case 'rebalance':
        return this.rebalance(c, random);
    }
  }

  private drawKind(random: Random): MoveKind {
    const { kinds } = this;
    let left = random.next() * this.totalWeight;
    for (const kind of kinds) {
      left -= MOVE_WEIGHTS[kind];
      if (left < 0) return kind;
    }
    return kinds[kinds.length - 1];
  }

  private rebalance(c: Candidate, random: Random): Candidate | null {
    if (c.stageStart.length <= 2) return null;
    const stageStart =
      random.next() < 0.5
        ? this.cutter.balanced(c, random.next() * MOST_SPARE * this.leastMemoryBytes)
        : this.cutter.cut(random.pick(CUT_RULES), c);
    return stageStart.every((s, v) => s === c.stageStart[v]) ? null : { ...c, stageStart };
  }

  /** Cuts that a change of memory alone may keep: half the time they are balanced anew. */
  private keptCuts(c: Candidate, random: Random): Int32Array | null {
    return random.next() < 0.5 ? c.stageStart : null;
  }

  /**
   * Meshes that differ in two of (pp, tp, cp, dp) by one small factor, or in how experts are spread alone. Where a
   * degree that moves is tied to experts' (etp = tp), the nearest spread that is legal follows.
   */
  private meshNeighbours(mesh: MeshDegrees): readonly MeshDegrees[] {
    const index = this.meshOf.get(keyOf(mesh))!;
    const known = this.neighbours.get(index);
    if (known !== undefined) return known;
    const found: MeshDegrees[] = [];
    for (const other of this.space.meshes) if (areNear(mesh, other)) found.push(other);
    this.neighbours.set(index, found);
    return found;
  }
}

/** The largest factor that one move takes from a degree. */
const MOST_FACTOR = 4;

function areNear(a: MeshDegrees, b: MeshDegrees): boolean {
  const ratios = [a.pp / b.pp, a.tp / b.tp, a.cp / b.cp, a.dp / b.dp];
  const changed = ratios.filter((r) => r !== 1);
  if (changed.length === 0) return a.ep !== b.ep || a.etp !== b.etp;
  if (changed.length !== 2) return false;
  // Experts as before, as far as that is legal: the same ep, and etp 1 or all of tp as it was.
  const sameExperts = a.ep === b.ep && (a.etp === 1) === (b.etp === 1);
  if (!sameExperts && a.etp > 1 === b.tp > 1) return false;
  const size = Math.max(changed[0], 1 / changed[0]);
  return size <= MOST_FACTOR || isPrimeRatio(size);
}

/** Device counts with a large prime factor move it as a whole. */
function isPrimeRatio(ratio: number): boolean {
  if (!Number.isInteger(ratio)) return false;
  for (let d = 2; d * d <= ratio; d++) if (ratio % d === 0) return false;
  return true;
}

/** One cut moves; null where there is none or it would empty a stage. */
function shiftCut(c: Candidate, random: Random): Candidate | null {
  const stages = c.stageStart.length - 1;
  if (stages < 2) return null;
  const v = 1 + random.int(stages - 1);
  const far = random.next() < 0.8 ? 1 : 1 + random.int(4);
  const to = c.stageStart[v] + (random.next() < 0.5 ? -far : far);
  if (to <= c.stageStart[v - 1] || to >= c.stageStart[v + 1]) return null;
  const stageStart = c.stageStart.slice();
  stageStart[v] = to;
  return { ...c, stageStart };
}

function keyOf({ pp, tp, cp, ep, etp }: Omit<MeshDegrees, 'dp'>): string {
  return `${pp},${tp},${cp},${ep},${etp}`;
}
