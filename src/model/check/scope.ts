/**
 * Names: every tensor has one producer, every use finds one, and the graph has no cycle, also not one through what a
 * subgraph captures from outside.
 *
 * A use inside a subgraph binds to the subgraph's own tensor when that is an input, an initializer or the output of an
 * earlier node; otherwise to the enclosing scopes; otherwise to a later node of the subgraph (unsorted files).
 */
import { quote } from '../quote.js';
import type { Edges } from './cycle.js';
import { failOnCycle } from './cycle.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

/** Producer of a name inside its region: a node's index, or one of these. */
const INPUT = -1;
const INITIALIZER = -2;

interface Scope {
  readonly region: Region;
  readonly producers: Map<string, number>;
  /** Names taken from outside, with a node that does so. Handed up to the holder's region, which takes out its own. */
  captured: Map<string, string>;
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
  if (!regions.some((region) => region.parent !== null)) return;
  // Most names are defined in one region only and need no look at the enclosing ones.
  const seen = new Set<string>();
  for (const region of regions) {
    for (const name of scopes.get(region)!.producers.keys()) {
      if (seen.has(name) && isDefinedOutside(name, region, scopes)) {
        report.warn('shadowed names', region.label, `${quote(name)} hides a tensor of the enclosing graph`);
      }
      seen.add(name);
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
  const { region, producers } = scope;
  const edges: Edges = { from: [], to: [] };
  let isSorted = true;
  /** Whether a use by node `i` binds in this region; if so it is recorded. */
  const bind = (name: string, i: number): boolean => {
    const producer = producers.get(name);
    if (producer === undefined) return false;
    const isEarlier = producer < i;
    if (!isEarlier && isDefinedOutside(name, region, scopes)) return false;
    if (producer < 0) return true;
    if (!isEarlier) isSorted = false;
    edges.from.push(producer);
    edges.to.push(i);
    return true;
  };
  for (let i = 0; i < region.nodes.length; i++) {
    for (const name of region.nodes[i].input) {
      if (name === '' || bind(name, i) || scope.captured.has(name)) continue;
      const label = nodeLabel(region, i);
      if (region.parent === null) dangling(label, name, report, isLenient);
      else scope.captured.set(name, label);
    }
    for (const inner of held?.get(i) ?? []) {
      bindCaptured(inner.captured, producers, (name) => bind(name, i));
      if (region.parent === null)
        for (const [name, user] of inner.captured) dangling(user, name, report, isLenient);
      else scope.captured = union(scope.captured, inner.captured);
    }
  }
  if (!isSorted) {
    failOnCycle(region, edges, report);
    report.warn('unsorted graphs', region.label, 'nodes are not in topological order');
  }
  checkOutputs(scope, report, isLenient);
}

/** Takes out of `captured` what binds here; looks through the smaller side, since both may be large. */
function bindCaptured(
  captured: Map<string, string>,
  producers: ReadonlyMap<string, number>,
  bind: (name: string) => boolean,
): void {
  const smaller = producers.size < captured.size ? producers : captured;
  for (const name of smaller.keys()) if (captured.has(name) && bind(name)) captured.delete(name);
}

/** Small into large: names captured through many levels are not copied at each. */
function union(a: Map<string, string>, b: Map<string, string>): Map<string, string> {
  const [large, small] = a.size >= b.size ? [a, b] : [b, a];
  for (const [name, user] of small) large.set(name, user);
  return large;
}

function checkOutputs({ region, producers, captured }: Scope, report: Report, isLenient: boolean): void {
  for (const name of region.outputs) {
    if (name === '' || producers.has(name)) continue;
    if (region.parent === null) {
      const message = `nothing produces the output ${quote(name)}`;
      if (isLenient) report.warn('outputs without a producer', region.label, message);
      else report.fail(region.label, message);
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
