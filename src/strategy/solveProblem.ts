/**
 * Solves a sharding problem of the planner with the large-scale solver: reductions that keep the optimum take it apart, as a
 * rule down to nothing; what is left of an irregular graph is searched between a dual bound and neighbourhoods opened anew.
 * Its clock counts calls, so that the same problem has the same answer on any machine.
 */
import type { ShardInstance, ShardProblem } from '../shard/index.js';
import { Exchange, reduceInstance, solveCore } from '../shard/index.js';
import { invariant } from '../util/errors.js';
import { Random } from '../util/random.js';

/** Calls of the clock that a core gets, a variable: a few hundred microseconds. */
const TICKS_PER_VARIABLE = 40;
const LEAST_TICKS = 400;
/** What draws neighbourhoods; no choice hangs on its value. */
const SEED = 1;

export interface ProblemSolution {
  /** Choice per node. */
  readonly choice: Int32Array;
  /** Variables that reductions left to search; 0: the choice is optimal by construction. */
  readonly searched: number;
}

/** @returns null when nothing is allowed */
export function solveProblem(problem: ShardProblem): ProblemSolution | null {
  const reduction = reduceInstance(instanceOf(problem));
  const { core } = reduction;
  if (core === null) return null;
  if (core.count === 0) return { choice: reduction.unroll(new Int32Array(0)), searched: 0 };
  let ticks = 0;
  const found = solveCore(core, {
    clock: () => ticks++,
    deadline: LEAST_TICKS + TICKS_PER_VARIABLE * core.count,
    random: new Random(SEED),
    exchange: Exchange.for(core),
  });
  invariant(found.cost < Infinity, 'a sharding problem without a memory limit has no solution');
  return { choice: reduction.unroll(found.choice), searched: core.count };
}

/** The contest's form of a problem of pairs: no memory, an own table for each edge. */
function instanceOf(problem: ShardProblem): ShardInstance {
  const { nodeCount, edgeCount } = problem;
  const edgeNode = new Int32Array(2 * edgeCount);
  for (let e = 0; e < edgeCount; e++) {
    edgeNode[2 * e] = problem.edgeA[e];
    edgeNode[2 * e + 1] = problem.edgeB[e];
  }
  return {
    name: 'layers',
    nodeCount,
    strategyStart: problem.choiceStart,
    nodeCost: problem.nodeCost,
    usage: new Float64Array(problem.nodeCost.length),
    begin: new Float64Array(nodeCount),
    end: new Float64Array(nodeCount),
    edgeCount,
    edgeStart: Int32Array.from({ length: edgeCount + 1 }, (_, e) => 2 * e),
    edgeNode,
    edgeTable: Int32Array.from({ length: edgeCount }, (_, e) => e),
    tableStart: Float64Array.from(problem.edgeStart),
    tableCost: problem.edgeCost,
    usageLimit: Infinity,
  };
}
