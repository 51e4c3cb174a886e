/**
 * Exact solution by variable elimination (non-serial dynamic programming, Bertele and Brioschi 1972): nodes leave in
 * order of the smallest table they would create; each leaves behind a table over its neighbours with its best reply.
 * Layer graphs are nearly chains, so tables stay tiny. Where one would grow past `TABLE_LIMIT`, the search conditions on
 * the node with most neighbours instead (branching over its choices), which keeps the answer exact.
 */
import type { ShardProblem, ShardSolution } from './problem.js';
import { shardCost } from './problem.js';

/** Largest table built before conditioning instead, entries. */
const TABLE_LIMIT = 1 << 20;

/** A cost function over a set of nodes; the last scope node varies fastest. */
interface Factor {
  readonly scope: readonly number[];
  readonly table: Float64Array;
}

/** Best reply of an eliminated node to its neighbours' choices. */
interface Reply {
  readonly node: number;
  readonly scope: readonly number[];
  readonly best: Int32Array;
}

export function solveByElimination(problem: ShardProblem): ShardSolution {
  const sizes = Int32Array.from({ length: problem.nodeCount }, (_, n) => choices(problem, n));
  const factors = initialFactors(problem);
  const fixed = new Int32Array(problem.nodeCount).fill(-1);
  const found = eliminateAll(problem.nodeCount, sizes, factors, fixed);
  if (!Number.isFinite(found.cost)) {
    return { status: 'infeasible', choice: new Int32Array(problem.nodeCount), cost: Infinity };
  }
  return { status: 'optimal', choice: found.choice, cost: shardCost(problem, found.choice) };
}

function choices(problem: ShardProblem, n: number): number {
  return problem.choiceStart[n + 1] - problem.choiceStart[n];
}

function initialFactors(problem: ShardProblem): Factor[] {
  const factors: Factor[] = [];
  for (let n = 0; n < problem.nodeCount; n++) {
    factors.push({
      scope: [n],
      table: problem.nodeCost.slice(problem.choiceStart[n], problem.choiceStart[n + 1]),
    });
  }
  for (let e = 0; e < problem.edgeCount; e++) {
    factors.push({
      scope: [problem.edgeA[e], problem.edgeB[e]],
      table: problem.edgeCost.slice(problem.edgeStart[e], problem.edgeStart[e + 1]),
    });
  }
  return factors;
}

/** Minimises over every node not yet fixed; `fixed[n]` >= 0 restricts node n to that choice. */
function eliminateAll(
  nodeCount: number,
  sizes: Int32Array,
  factors: readonly Factor[],
  fixed: Int32Array,
): { cost: number; choice: Int32Array } {
  const live = factors.map((f) => restrict(f, fixed, sizes));
  const touching: Set<number>[] = Array.from({ length: nodeCount }, () => new Set<number>());
  live.forEach((f, i) => f.scope.forEach((n) => touching[n].add(i)));
  let constant = 0;
  for (const f of live) if (f.scope.length === 0) constant += f.table[0];

  const remaining = new Set<number>();
  for (let n = 0; n < nodeCount; n++) if (fixed[n] < 0) remaining.add(n);
  const replies: Reply[] = [];
  while (remaining.size > 0) {
    const { node, scope, tableSize } = cheapest(remaining, touching, live, sizes);
    if (tableSize > TABLE_LIMIT) {
      return condition(nodeCount, sizes, live, touching, remaining, fixed, replies, constant);
    }
    const { factor, reply } = eliminate(
      node,
      scope,
      [...touching[node]].map((i) => live[i]),
      sizes,
    );
    for (const i of [...touching[node]]) for (const n of live[i].scope) touching[n].delete(i);
    remaining.delete(node);
    replies.push(reply);
    if (factor.scope.length === 0) constant += factor.table[0];
    else {
      live.push(factor);
      for (const n of factor.scope) touching[n].add(live.length - 1);
    }
  }
  const choice = Int32Array.from(fixed);
  applyReplies(replies, choice, sizes);
  return { cost: constant, choice };
}

/**
 * The first remaining node with at most two neighbours (series and leaf reductions never widen the rest), else the one whose
 * elimination makes the smallest table.
 */
function cheapest(
  remaining: ReadonlySet<number>,
  touching: readonly ReadonlySet<number>[],
  live: readonly Factor[],
  sizes: Int32Array,
): { node: number; scope: number[]; tableSize: number } {
  let best = { node: -1, scope: [] as number[], tableSize: Infinity };
  for (const node of remaining) {
    const neighbours = new Set<number>();
    for (const i of touching[node]) for (const n of live[i].scope) if (n !== node) neighbours.add(n);
    let tableSize = sizes[node];
    for (const n of neighbours) tableSize *= sizes[n];
    if (neighbours.size <= 2) return { node, scope: [...neighbours].sort((a, b) => a - b), tableSize };
    if (tableSize < best.tableSize) best = { node, scope: [...neighbours].sort((a, b) => a - b), tableSize };
  }
  return best;
}

/** Minimises `node` out of the sum of the factors that mention it. */
function eliminate(
  node: number,
  scope: readonly number[],
  factors: readonly Factor[],
  sizes: Int32Array,
): { factor: Factor; reply: Reply } {
  let length = 1;
  for (const n of scope) length *= sizes[n];
  const own = sizes[node];
  const table = new Float64Array(length);
  const best = new Int32Array(length);
  // Stride of each scope node, and of the eliminated one, inside each factor's table.
  const strides = factors.map((f) => [...scope, node].map((n) => strideOf(f, n, sizes)));
  const digits = new Int32Array(scope.length);
  const base = new Int32Array(factors.length);
  for (let cell = 0; cell < length; cell++) {
    let least = Infinity;
    let leastChoice = 0;
    for (let c = 0; c < own; c++) {
      let cost = 0;
      for (let f = 0; f < factors.length; f++)
        cost += factors[f].table[base[f] + c * strides[f][scope.length]];
      if (cost < least) {
        least = cost;
        leastChoice = c;
      }
    }
    table[cell] = least;
    best[cell] = leastChoice;
    for (let d = scope.length - 1; d >= 0; d--) {
      const size = sizes[scope[d]];
      digits[d]++;
      if (digits[d] < size) {
        for (let f = 0; f < factors.length; f++) base[f] += strides[f][d];
        break;
      }
      digits[d] = 0;
      for (let f = 0; f < factors.length; f++) base[f] -= strides[f][d] * (size - 1);
    }
  }
  return { factor: { scope, table }, reply: { node, scope, best } };
}

function strideOf(factor: Factor, node: number, sizes: Int32Array): number {
  const at = factor.scope.indexOf(node);
  if (at < 0) return 0;
  let stride = 1;
  for (let i = at + 1; i < factor.scope.length; i++) stride *= sizes[factor.scope[i]];
  return stride;
}

/** The factor with fixed nodes' choices filled in. */
function restrict(factor: Factor, fixed: Int32Array, sizes: Int32Array): Factor {
  let result = factor;
  for (const node of factor.scope) {
    const choice = fixed[node];
    if (choice >= 0) result = restrictOne(result, node, choice, sizes);
  }
  return result;
}

function restrictOne(factor: Factor, node: number, choice: number, sizes: Int32Array): Factor {
  const stride = strideOf(factor, node, sizes);
  const size = sizes[node];
  const scope = factor.scope.filter((n) => n !== node);
  const table = new Float64Array(factor.table.length / size);
  let at = 0;
  for (let outer = 0; outer < factor.table.length; outer += stride * size) {
    for (let inner = 0; inner < stride; inner++) table[at++] = factor.table[outer + choice * stride + inner]!;
  }
  return { scope, table };
}

/** Branches over the choices of the best-connected node and solves each rest exactly. */
function condition(
  nodeCount: number,
  sizes: Int32Array,
  live: readonly Factor[],
  touching: readonly ReadonlySet<number>[],
  remaining: ReadonlySet<number>,
  fixed: Int32Array,
  replies: readonly Reply[],
  constant: number,
): { cost: number; choice: Int32Array } {
  let pivot = -1;
  for (const n of remaining) if (pivot < 0 || touching[n].size > touching[pivot].size) pivot = n;
  const active = new Set<number>();
  for (const n of remaining) for (const i of touching[n]) active.add(i);
  const factors = [...active].sort((a, b) => a - b).map((i) => live[i]);
  // Nodes already eliminated must not be chosen again by the inner problem: give them a dummy fixed choice there.
  const innerFixed: Int32Array = Int32Array.from({ length: nodeCount }, (_, n) =>
    remaining.has(n) ? -1 : Math.max(0, fixed[n]),
  );
  let best: { cost: number; choice: Int32Array } = { cost: Infinity, choice: innerFixed };
  for (let c = 0; c < sizes[pivot]; c++) {
    innerFixed[pivot] = c;
    const inner = eliminateAll(nodeCount, sizes, factors, Int32Array.from(innerFixed));
    if (inner.cost < best.cost) best = inner;
  }
  const choice = Int32Array.from(fixed);
  for (const n of remaining) choice[n] = best.choice[n]!;
  if (Number.isFinite(best.cost)) applyReplies(replies, choice, sizes);
  return { cost: constant + best.cost, choice };
}

/** Fills in eliminated nodes' choices, last eliminated first. */
function applyReplies(replies: readonly Reply[], choice: Int32Array, sizes: Int32Array): void {
  for (let i = replies.length - 1; i >= 0; i--) {
    const { node, scope, best } = replies[i];
    let cell = 0;
    for (const n of scope) cell = cell * sizes[n] + choice[n];
    choice[node] = best[cell]!;
  }
}
