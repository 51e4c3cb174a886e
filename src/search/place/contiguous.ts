/** Orders of groups along which contiguous splits are sought, and the contiguous solver built on them. */
import type { Random } from '../../util/random.js';
import type { Clock } from '../types.js';
import { downsetsOf } from './downsets.js';
import { splitDownsets } from './downsetSplit.js';
import type { Groups } from './groups.js';
import { splitOrder } from './linear.js';
import type { Order } from './linear.js';
import type { PlaceProblem } from './problem.js';
import { topologicalOrder } from './problem.js';
import { strongComponents } from './strong.js';

/** The forward pass between components: groups that must share a device because paths lead both ways between them. */
export interface ForwardGraph {
  readonly count: number;
  /** Component of each group. */
  readonly of: Int32Array;
  readonly source: Int32Array;
  readonly target: Int32Array;
}

export function forwardGraph(problem: PlaceProblem, groups: Groups): ForwardGraph {
  const source: number[] = [];
  const target: number[] = [];
  for (let e = 0; e < problem.edgeSource.length; e++) {
    const [u, v] = [problem.edgeSource[e], problem.edgeTarget[e]];
    if (problem.backward[u] === 1 || problem.backward[v] === 1 || groups.of[u] === groups.of[v]) continue;
    source.push(groups.of[u]);
    target.push(groups.of[v]);
  }
  const { of, count } = strongComponents(groups.count, Int32Array.from(source), Int32Array.from(target));
  const seen = new Set<number>();
  const from: number[] = [];
  const to: number[] = [];
  for (let e = 0; e < source.length; e++) {
    const [a, b] = [of[source[e]], of[target[e]]];
    if (a === b || seen.has(a * count + b)) continue;
    seen.add(a * count + b);
    from.push(a);
    to.push(b);
  }
  return { count, of, source: Int32Array.from(from), target: Int32Array.from(to) };
}

/** Members of each component, in group order. */
export function membersOf(graph: ForwardGraph): number[][] {
  const members: number[][] = Array.from({ length: graph.count }, () => []);
  graph.of.forEach((component, g) => members[component].push(g));
  return members;
}

/** Breadth first, then by longest way in, depth first, and random orders: all topological on components. */
export function* contiguousOrders(
  problem: PlaceProblem,
  groups: Groups,
  random: Random,
  randomOrders = 12,
): Generator<Order> {
  const graph = forwardGraph(problem, groups);
  const members = membersOf(graph);
  // Components are never cut.
  const unfold = (order: Int32Array): Order => {
    const cut = new Uint8Array(groups.count + 1);
    let at = 0;
    for (const c of order) {
      cut[at] = 1;
      at += members[c].length;
    }
    cut[at] = 1;
    return { groups: Int32Array.from(Array.from(order).flatMap((c) => members[c])), cut };
  };
  const plain = topologicalOrder(graph.count, graph.source, graph.target);
  yield unfold(plain);
  // As late as possible: what is read late is computed late, beside its reader.
  const late = new Float64Array(graph.count);
  for (let i = plain.length - 1; i >= 0; i--) late[plain[i]] = i;
  const readers: number[][] = Array.from({ length: graph.count }, () => []);
  for (let e = 0; e < graph.source.length; e++) readers[graph.source[e]].push(graph.target[e]);
  for (let i = plain.length - 1; i >= 0; i--) {
    let least = Infinity;
    for (const r of readers[plain[i]]) least = Math.min(least, late[r]);
    if (least < Infinity) late[plain[i]] = least - 1e-6 * (plain.length - i);
  }
  yield unfold(topologicalOrder(graph.count, graph.source, graph.target, late));
  const priority = new Float64Array(graph.count);
  for (let round = 0; round < randomOrders; round++) {
    const spread = round % 3 === 0 ? 1e9 : 4 ** (round % 4);
    for (let c = 0; c < graph.count; c++) priority[c] = late[c] + spread * random.next();
    yield unfold(topologicalOrder(graph.count, graph.source, graph.target, priority));
  }
}

/** Cuts of a coarse order: a split of a long one takes time in the square of its cuts. */
const COARSE_CUTS = 128;

/** The order with every so many of its cuts only; null where it has few. Its splits are splits of the order. */
export function coarsened({ groups, cut }: Order): Order | null {
  let cuts = 0;
  for (const open of cut) cuts += open;
  if (cuts <= 2 * COARSE_CUTS) return null;
  const kept = new Uint8Array(cut.length);
  let seen = 0;
  for (let i = 0; i < cut.length; i++)
    if (cut[i] === 1 && Math.floor((seen++ * COARSE_CUTS) / cuts) !== Math.floor((seen * COARSE_CUTS) / cuts))
      kept[i] = 1;
  kept[0] = kept[cut.length - 1] = 1;
  return { groups, cut: kept };
}

/** Downsets beyond which the exact dynamic program gives way to orders. */
const MOST_DOWNSETS = 20_000;

export interface ContiguousOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly onImprovement?: (value: number) => void;
}

/** The best split into devices whose forward parts can be ordered; exact when the downsets of the graph are few. */
export function solveContiguous(
  problem: PlaceProblem,
  groups: Groups,
  untilSec: number,
  options: ContiguousOptions,
): { device: Int32Array; maxLoad: number; exact: boolean } | null {
  let best: { device: Int32Array; maxLoad: number } | null = null;
  const consider = (found: { device: Int32Array; maxLoad: number } | null): void => {
    if (found === null || (best !== null && found.maxLoad >= best.maxLoad)) return;
    best = found;
    options.onImprovement?.(found.maxLoad);
  };
  const outOfTime = (): boolean => options.clock() >= untilSec;
  const limit = (): number => (best === null ? Infinity : best.maxLoad);
  const orders = [...contiguousOrders(problem, groups, options.random)];
  // A coarse split first: it is there when time is short, and its load spares the whole one most of its work.
  for (const order of orders) {
    const coarse = coarsened(order);
    if (coarse !== null && !(outOfTime() && best !== null))
      consider(splitOrder(problem, groups, coarse, limit(), () => best !== null && outOfTime()));
  }
  for (const order of orders) consider(splitOrder(problem, groups, order, limit(), outOfTime));
  const graph = forwardGraph(problem, groups);
  const downsets = outOfTime() ? null : downsetsOf(graph.count, graph.source, graph.target, MOST_DOWNSETS);
  let exact = false;
  if (downsets !== null) {
    const split = splitDownsets(
      problem,
      groups,
      membersOf(graph),
      downsets,
      limit(),
      untilSec,
      options.clock,
    );
    consider(split.found);
    exact = split.finished;
  }
  while (!exact && options.clock() < untilSec) {
    for (const order of contiguousOrders(problem, groups, options.random, 40)) {
      consider(splitOrder(problem, groups, order, limit(), outOfTime));
      if (options.clock() >= untilSec) break;
    }
  }
  return best === null ? null : { ...(best as { device: Int32Array; maxLoad: number }), exact };
}
