/**
 * Model-local functions: unique, called with no more than they take, not recursive, and inlining to a sane number of
 * nodes (ten levels of ten calls make 10^10 nodes of a 3 kB file).
 */
import { quote } from '../quote.js';
import type { FunctionProto, ModelProto, NodeProto } from '../types.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

/** Nodes of the main graph with every call inlined. */
export const MOST_INLINED_NODES = 2_000_000;

/** The default domain has two names. */
export function normalDomain(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}

/** One function for one (domain, name, overload). */
export function functionKey(
  domain: string | undefined,
  name: string | undefined,
  overload: string | undefined,
): string {
  return JSON.stringify([normalDomain(domain), name ?? '', overload ?? '']);
}

/** Index in the model of the function that a node calls; -1 for an operator. */
export type Callee = (node: NodeProto) => number;

export function calleeIn(model: ModelProto, report: Report): Callee {
  if (model.functions.length === 0) return () => -1;
  const byKey = new Map<string, number>();
  model.functions.forEach((f, i) => {
    const key = functionKey(f.domain, f.name, f.overload);
    if (byKey.has(key)) report.fail(`function ${quote(f.name)}`, 'the function is defined twice');
    byKey.set(key, i);
  });
  return (node) => byKey.get(functionKey(node.domain, node.opType, node.overload)) ?? -1;
}

/** Which functions are reached from the main graph. */
export function checkFunctions(
  model: ModelProto,
  regions: readonly Region[],
  callee: Callee,
  report: Report,
): Uint8Array {
  const { functions } = model;
  const isUsed = new Uint8Array(functions.length);
  if (functions.length === 0) return isUsed;
  const calls: number[][] = functions.map(() => []);
  const ownNodes = new Float64Array(functions.length);
  const roots: number[] = [];
  let mainNodes = 0;
  functions.forEach((f) => checkDeclaration(f, report));
  for (const region of regions) {
    const from = region.functionIndex;
    if (from >= 0) ownNodes[from] += region.nodes.length;
    else mainNodes += region.nodes.length;
    for (let i = 0; i < region.nodes.length; i++) {
      const target = callee(region.nodes[i]);
      if (target < 0) continue;
      checkCall(region, i, functions[target], report);
      (from >= 0 ? calls[from] : roots).push(target);
    }
  }
  const inlined = inlinedNodes(functions, calls, ownNodes, report);
  for (const target of roots) mainNodes += inlined[target] - 1;
  if (mainNodes > MOST_INLINED_NODES) {
    const message = `its local functions inline to ${mainNodes.toPrecision(3)} nodes, more than ${MOST_INLINED_NODES}`;
    report.fail('graph', message);
  }
  markReached(roots, calls, isUsed);
  return isUsed;
}

function checkDeclaration(f: FunctionProto, report: Report): void {
  const label = `function ${quote(f.name)}`;
  if (f.name === undefined || f.name === '') report.fail(label, 'a function has no name');
  if (normalDomain(f.domain) === '') {
    report.warn('functions in the default domain', label, 'stands in for a standard operator');
  }
}

function checkCall(region: Region, index: number, f: FunctionProto, report: Report): void {
  const node = region.nodes[index];
  const pairs = [
    ['inputs', node.input.length, f.input.length],
    ['outputs', node.output.length, f.output.length],
  ] as const;
  for (const [what, given, taken] of pairs) {
    if (given <= taken) continue;
    report.fail(
      nodeLabel(region, index),
      `gives ${given} ${what} to function ${quote(f.name)}, which has ${taken}`,
    );
  }
}

/** Nodes of each function with its calls inlined, by depth-first search on an explicit stack. */
function inlinedNodes(
  functions: readonly FunctionProto[],
  calls: readonly (readonly number[])[],
  ownNodes: Float64Array,
  report: Report,
): Float64Array {
  const total = new Float64Array(functions.length);
  const state = new Uint8Array(functions.length); // 0 new, 1 open, 2 done
  const next = new Int32Array(functions.length);
  const stack: number[] = [];
  for (let root = 0; root < functions.length; root++) {
    if (state[root] === 0) stack.push(root);
    while (stack.length > 0) {
      const f = stack.at(-1)!;
      state[f] = 1;
      if (next[f] < calls[f].length) {
        const target = calls[f][next[f]++];
        if (state[target] === 1)
          report.fail(`function ${quote(functions[target].name)}`, 'the function calls itself');
        if (state[target] === 0) stack.push(target);
        continue;
      }
      let nodes = ownNodes[f];
      for (const target of calls[f]) nodes += total[target] - 1;
      total[f] = nodes;
      state[f] = 2;
      stack.pop();
    }
  }
  return total;
}

function markReached(
  roots: readonly number[],
  calls: readonly (readonly number[])[],
  isUsed: Uint8Array,
): void {
  const stack = [...roots];
  while (stack.length > 0) {
    const f = stack.pop()!;
    if (isUsed[f] === 1) continue;
    isUsed[f] = 1;
    for (const target of calls[f]) stack.push(target);
  }
}
