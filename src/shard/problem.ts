/**
 * The intra-operator sharding problem: every node picks one of its choices; the cost is the sum of node costs and of
 * edge costs, which depend on the choices at both ends. Pure numbers: what a choice means is the caller's business.
 *
 *     node costs   n0: [a b]   n1: [c d e]
 *     edge n0-n1, row-major:   [ a/c a/d a/e
 *                                b/c b/d b/e ]
 *
 * Infinity forbids a choice or a pair.
 */
export interface ShardProblem {
  readonly nodeCount: number;
  /** CSR of choices: node n's costs are nodeCost[choiceStart[n] .. choiceStart[n+1]). */
  readonly choiceStart: Int32Array;
  readonly nodeCost: Float64Array;
  readonly edgeCount: number;
  readonly edgeA: Int32Array;
  readonly edgeB: Int32Array;
  /** Start of each edge's matrix in edgeCost: rows = choices of A, columns = choices of B. */
  readonly edgeStart: Int32Array;
  readonly edgeCost: Float64Array;
}

export interface ShardSolution {
  /** `optimal` is claimed only with proof. */
  readonly status: 'optimal' | 'infeasible';
  /** Choice per node (all 0 when infeasible). */
  readonly choice: Int32Array;
  readonly cost: number;
}

/** Collects nodes and edges of a `ShardProblem`. Parallel edges add up. */
export class ShardProblemBuilder {
  private readonly costs: Float64Array[] = [];
  private readonly edges: { a: number; b: number; matrix: Float64Array }[] = [];

  /** @returns the node's id */
  addNode(costs: ArrayLike<number>): number {
    this.costs.push(Float64Array.from(costs));
    return this.costs.length - 1;
  }

  /** @param matrix row-major, choices of `a` by choices of `b` */
  addEdge(a: number, b: number, matrix: Float64Array): void {
    const expected = this.costs[a].length * this.costs[b].length;
    if (matrix.length !== expected) {
      throw new Error(`internal: edge matrix has ${matrix.length} entries when expected ${expected}`);
    }
    if (a === b) throw new Error('internal: an edge must join two different nodes');
    this.edges.push({ a, b, matrix });
  }

  build(): ShardProblem {
    const choiceStart = new Int32Array(this.costs.length + 1);
    this.costs.forEach((c, i) => (choiceStart[i + 1] = choiceStart[i] + c.length));
    const nodeCost = new Float64Array(choiceStart[this.costs.length]);
    this.costs.forEach((c, i) => nodeCost.set(c, choiceStart[i]));
    const edgeStart = new Int32Array(this.edges.length + 1);
    this.edges.forEach((e, i) => (edgeStart[i + 1] = edgeStart[i] + e.matrix.length));
    const edgeCost = new Float64Array(edgeStart[this.edges.length]);
    this.edges.forEach((e, i) => edgeCost.set(e.matrix, edgeStart[i]));
    return {
      nodeCount: this.costs.length,
      choiceStart,
      nodeCost,
      edgeCount: this.edges.length,
      edgeA: Int32Array.from(this.edges, (e) => e.a),
      edgeB: Int32Array.from(this.edges, (e) => e.b),
      edgeStart,
      edgeCost,
    };
  }
}

/** Cost of a complete choice, by brute force: the judge of every solver. */
export function shardCost(problem: ShardProblem, choice: ArrayLike<number>): number {
  let cost = 0;
  for (let n = 0; n < problem.nodeCount; n++) cost += problem.nodeCost[problem.choiceStart[n] + choice[n]];
  for (let e = 0; e < problem.edgeCount; e++) {
    const b = problem.edgeB[e];
    const columns = problem.choiceStart[b + 1] - problem.choiceStart[b];
    cost += problem.edgeCost[problem.edgeStart[e] + choice[problem.edgeA[e]] * columns + choice[b]];
  }
  return cost;
}
