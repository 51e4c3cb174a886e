/**
 * Names: every tensor has one producer, every use finds one, and the graph has no cycle, also not one through what a
 * subgraph captures from outside.
 *
 * A use inside a subgraph binds to the subgraph's own tensor when that is an input, an initializer or the output of an
 * earlier node; otherwise to the enclosing scopes; otherwise to a later node of the subgraph (unsorted files).
 */
import { quote } from '../quote.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

/** Producer of a name inside its region: a node's index, or one of these. */
const INPUT = -1;
const INITIALIZER = -2;

interface Scope {
  readonly region: Region;
  readonly producers: Map<string, number>;
  /** Names taken from outside, with the node that first does so. */
  readonly captured: Map<string, string>;
}

/**
 * @param regions parents first, as collected
 * @param isUnused whether a function is never called: its faults are warnings
 */
export function checkScopes(
  regions: readonly Region[],
  report: Report,
  isUnused: (functionIndex: number) => boolean,
): void {
  const scopes = new Map<Region, Scope>();
  for (const region of regions) {
    scopes.set(region, { region, producers: define(region, report), captured: new Map() });
  }
  warnShadowing(regions, scopes, report);
  const children = new Map<Region, Map<number, Scope[]>>();
  // Children first, so that what they capture is known when their holder is looked at.
  for (let r = regions.length - 1; r >= 0; r--) {
    const region = regions[r];
    const scope = scopes.get(region)!;
    checkUses(
      scope,
      scopes,
      children.get(region),
      report,
      region.functionIndex >= 0 && isUnused(region.functionIndex),
    );
    if (region.parent !== null) {
      const siblings = children.get(region.parent) ?? new Map<number, Scope[]>();
      children.set(region.parent, siblings);
      const held = siblings.get(region.holder);
      if (held === undefined) siblings.set(region.holder, [scope]);
      else held.push(scope);
    }
  }
}

function define(region: Region, report: Report): Map<string, number> {
  const { label, graph } = region;
  const producers = new Map<string, number>();
  for (const name of region.inputs) {
    if (name === '') report.fail(label, 'an input has no name');
    if (producers.has(name)) report.fail(label, `two inputs are named ${quote(name)}`);
    producers.set(name, INPUT);
  }
  const initializers = new Set<string>();
  for (const name of initializerNames(region)) {
    if (name === '') report.fail(label, 'an initializer has no name');
    if (initializers.has(name)) report.fail(label, `two initializers are named ${quote(name)}`);
    initializers.add(name);
    // Up to IR 3 every initializer is also an input: its default value.
    producers.set(name, INITIALIZER);
  }
  for (let i = 0; i < region.nodes.length; i++) {
    for (const name of region.nodes[i].output) {
      if (name === '') continue;
      const before = producers.get(name);
      if (before !== undefined) {
        const other =
          before === INPUT ? 'an input' : before === INITIALIZER ? 'an initializer' : `node ${before}`;
        report.fail(
          nodeLabel(region, i),
          `the output ${quote(name)} is already produced by ${other} of the same graph`,
        );
      }
      producers.set(name, i);
    }
  }
  if (graph !== null && new Set(region.outputs).size < region.outputs.length) {
    report.warn('repeated graph outputs', label, 'an output is listed twice');
  }
  return producers;
}

function initializerNames(region: Region): string[] {
  if (region.graph === null) return [];
  const { initializer, sparseInitializer } = region.graph;
  return [...initializer.map((t) => t.name ?? ''), ...sparseInitializer.map((t) => t.values?.name ?? '')];
}

function warnShadowing(regions: readonly Region[], scopes: ReadonlyMap<Region, Scope>, report: Report): void {
  for (const region of regions) {
    if (region.parent === null) continue;
    for (const name of scopes.get(region)!.producers.keys()) {
      if (!isDefinedOutside(name, region, scopes)) continue;
      report.warn('shadowed names', region.label, `${quote(name)} hides a tensor of the enclosing graph`);
    }
  }
}

function isDefinedOutside(name: string, region: Region, scopes: ReadonlyMap<Region, Scope>): boolean {
  for (let outer = region.parent; outer !== null; outer = outer.parent) {
    if (scopes.get(outer)!.producers.has(name)) return true;
  }
  return false;
}

function checkUses(
  scope: Scope,
  scopes: ReadonlyMap<Region, Scope>,
  held: ReadonlyMap<number, readonly Scope[]> | undefined,
  report: Report,
  isLenient: boolean,
): void {
  const { region, producers, captured } = scope;
  const from: number[] = [];
  const to: number[] = [];
  let isSorted = true;
  const use = (name: string, i: number, user: string | null): void => {
    const producer = producers.get(name);
    const isEarlier = producer !== undefined && producer < i;
    if (producer === undefined || (!isEarlier && isDefinedOutside(name, region, scopes))) {
      const by = user ?? nodeLabel(region, i);
      if (region.parent === null) dangling(`${by}`, name, report, isLenient);
      else if (!captured.has(name)) captured.set(name, by);
      return;
    }
    if (producer < 0) return;
    if (!isEarlier) isSorted = false;
    from.push(producer);
    to.push(i);
  };
  for (let i = 0; i < region.nodes.length; i++) {
    for (const name of region.nodes[i].input) if (name !== '') use(name, i, null);
    for (const inner of held?.get(i) ?? []) for (const [name, user] of inner.captured) use(name, i, user);
  }
  if (!isSorted) {
    failOnCycle(region, from, to, report);
    report.warn('unsorted graphs', region.label, 'nodes are not in topological order');
  }
  for (const name of region.outputs) {
    if (name === '' || producers.has(name)) continue;
    if (region.parent === null) {
      if (isLenient)
        report.warn('outputs without a producer', region.label, `nothing produces the output ${quote(name)}`);
      else report.fail(region.label, `nothing produces the output ${quote(name)}`);
    } else {
      report.warn(
        'outputs from outside',
        region.label,
        `the output ${quote(name)} is a tensor of the enclosing graph`,
      );
      if (!captured.has(name)) captured.set(name, region.label);
    }
  }
}

function dangling(user: string, name: string, report: Report, isLenient: boolean): void {
  const message = `nothing produces the input ${quote(name)}`;
  if (isLenient) report.warn('inputs without a producer', user, message);
  else report.fail(user, message);
}

/** Kahn's algorithm on edges from[e] -> to[e]; names a node of a cycle when nodes are left over. */
function failOnCycle(region: Region, from: readonly number[], to: readonly number[], report: Report): void {
  const count = region.nodes.length;
  const waiting = new Int32Array(count);
  const start = new Int32Array(count + 1);
  for (let e = 0; e < from.length; e++) {
    waiting[to[e]]++;
    start[from[e] + 1]++;
  }
  for (let i = 0; i < count; i++) start[i + 1] += start[i];
  const fill = start.slice(0, count);
  const successors = new Int32Array(from.length);
  for (let e = 0; e < from.length; e++) successors[fill[from[e]]++] = to[e]!;
  const ready = new Int32Array(count);
  let tail = 0;
  for (let i = 0; i < count; i++) if (waiting[i] === 0) ready[tail++] = i;
  for (let head = 0; head < tail; head++) {
    const i = ready[head];
    for (let k = start[i]; k < start[i + 1]; k++)
      if (--waiting[successors[k]] === 0) ready[tail++] = successors[k]!;
  }
  if (tail === count) return;
  const cycle = findCycle(waiting, from, to);
  const shown = cycle.slice(0, 4).map((i) => nodeLabel(region, i));
  const through = cycle.length > 4 ? `${shown.join(' -> ')} -> ...` : shown.join(' -> ');
  report.fail(region.label, `a cycle of ${cycle.length} node${cycle.length === 1 ? '' : 's'}: ${through}`);
}

/** Walks predecessors among the nodes that still wait until one comes again. */
function findCycle(waiting: Int32Array, from: readonly number[], to: readonly number[]): number[] {
  const before = new Int32Array(waiting.length).fill(-1);
  for (let e = 0; e < from.length; e++) if (waiting[from[e]] > 0) before[to[e]] = from[e]!;
  const seenAt = new Map<number, number>();
  const path: number[] = [];
  let at = waiting.findIndex((w) => w > 0);
  while (!seenAt.has(at)) {
    seenAt.set(at, path.length);
    path.push(at);
    at = before[at]!;
  }
  return path.slice(seenAt.get(at)).reverse();
}
