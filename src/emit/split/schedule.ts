/**
 * Cuts a program into sub-models. A node's level is the number of collectives that must have run in its stage before it; the
 * nodes of one stage and level form one sub-model (a piece). Weights are prepared in the piece that needs them first.
 */
import { PartitionError } from '../../util/errors.js';
import type { Collective, Program, ProgramNode } from './program.js';

export interface Piece {
  readonly stage: number;
  readonly level: number;
  readonly nodes: readonly ProgramNode[];
  /** Values read from the caller, from other pieces or from collectives. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Weights read. */
  readonly weights: readonly string[];
}

export interface Schedule {
  /** In the order they run. */
  readonly pieces: readonly Piece[];
  /** Collectives that run after piece i, before piece i + 1 of the stage. */
  readonly after: readonly (readonly Collective[])[];
}

/** Levels of a stage are fewer than this. */
const LEVELS = 1e6;

/** @throws PartitionError infeasible when something that is no tensor would have to cross between pieces */
export function schedule(program: Program, where: string): Schedule {
  const slot = slots(program);
  // A model without nodes still hands on its weights.
  const isData = slot.length === 0 && program.outputs.some((name) => program.weights.has(name));
  const keys = isData ? [0] : [...new Set(slot)].sort((a, b) => a - b);
  const indexOf = new Map(keys.map((key, i) => [key, i]));
  const members: ProgramNode[][] = keys.map(() => []);
  program.nodes.forEach((node, n) => members[indexOf.get(slot[n])!].push(node));
  const home = new Map<string, number>();
  members.forEach((nodes, i) =>
    nodes.forEach((node) => node.proto.output.forEach((name) => name !== '' && home.set(name, i))),
  );
  const inputs: Set<string>[] = keys.map(() => new Set());
  const outputs: Set<string>[] = keys.map(() => new Set());
  const weights: Set<string>[] = keys.map(() => new Set());
  const leave = (name: string): void => {
    const from = home.get(name);
    if (from !== undefined) outputs[from].add(name);
  };
  members.forEach((nodes, i) => {
    for (const node of nodes)
      for (const name of node.reads) {
        if (home.get(name) === i) continue;
        if (program.weights.has(name)) weights[i].add(name);
        else {
          inputs[i].add(name);
          leave(name);
        }
      }
  });
  for (const collective of program.collectives) leave(collective.from);
  for (const name of program.outputs) {
    leave(name);
    // An output that is a weight: the last piece hands it on.
    if (program.weights.has(name)) {
      weights[keys.length - 1].add(name);
      outputs[keys.length - 1].add(name);
    }
  }
  const pieces = keys.map((key, i): Piece => ({
    stage: Math.floor(key / LEVELS),
    level: key % LEVELS,
    nodes: members[i],
    inputs: [...inputs[i]],
    outputs: [...outputs[i]],
    weights: [...weights[i]],
  }));
  for (const piece of pieces)
    for (const name of piece.inputs) {
      const kind = program.type(name)?.kind;
      if (kind === 'tensor' || program.inputs.includes(name)) continue;
      const what = kind === undefined ? 'a value of unknown type' : `a ${kind}`;
      throw new PartitionError(
        'infeasible',
        `${what}, "${name}", would cross into stage ${String(piece.stage)}`,
        where,
        'cut elsewhere with another --stages',
      );
    }
  const after: Collective[][] = keys.map(() => []);
  for (const collective of program.collectives) after[home.get(collective.from)!].push(collective);
  return { pieces, after };
}

/** Stage and level of every node as one number. */
function slots(program: Program): Float64Array {
  const collectiveOf = new Map(program.collectives.map((c) => [c.to, c]));
  const madeAt = new Map<string, number>();
  const count = program.nodes.length;
  const slot = new Float64Array(count);
  const available = (name: string): number => {
    const collective = collectiveOf.get(name);
    if (collective === undefined) return madeAt.get(name) ?? 0;
    return (madeAt.get(collective.from) ?? 0) + 1;
  };
  program.nodes.forEach((node, n) => {
    let at = node.stage * LEVELS;
    for (const name of node.reads) at = Math.max(at, available(name));
    slot[n] = at;
    for (const name of node.proto.output) madeAt.set(name, at);
  });
  const needed = new Map<string, number>();
  for (let n = count - 1; n >= 0; n--) {
    const node = program.nodes[n];
    if (node.runsLate) {
      let first = Infinity;
      for (const name of node.proto.output) first = Math.min(first, needed.get(name) ?? Infinity);
      if (first !== Infinity) slot[n] = first;
    }
    for (const name of node.reads) needed.set(name, Math.min(needed.get(name) ?? Infinity, slot[n]));
  }
  return slot;
}
