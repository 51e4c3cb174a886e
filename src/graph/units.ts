/**
 * Units of a chain of blocks: what lies between two neighbouring cut positions, e.g. the attention half or the feed-forward
 * half of a layer. Compared by their heavy kernels alone, which are the same in a first layer, where masks and biases are
 * made too, as in the others.
 */
import { cutPositions, type Alive } from './cuts.js';
import type { Block, Graph } from './types.js';

export interface Units {
  readonly count: number;
  /** First block of each unit; one more than `count`, the last the number of blocks. */
  readonly start: readonly number[];
  /** Equal for units of equal heavy kernels (or, where there are none, of equal operators). */
  readonly classes: Int32Array;
  /** Equal for units whose heavy kernels are of the same kinds in the same order, whatever their sizes. */
  readonly forms: Int32Array;
  readonly work: Float64Array;
  readonly isHeavy: Uint8Array;
  readonly hasAttention: Uint8Array;
}

/** FLOP that take as long as moving one element: work in one unit of account. */
const FLOP_PER_ELEMENT = 100;

export function blockWork(block: Block): number {
  return block.flop + FLOP_PER_ELEMENT * block.touchedElements;
}

export function isHeavy(block: Block): boolean {
  const { kind } = block;
  return kind === 'gemm' || kind === 'conv' || kind === 'attention' || kind === 'groupedGemm';
}

export function makeUnits(graph: Graph, blocks: readonly Block[], crossing: Alive): Units {
  const start = [0, ...cutPositions(crossing), blocks.length];
  const count = start.length - 1;
  const classIds = new Map<string, number>();
  const formIds = new Map<string, number>();
  const units = {
    count,
    start,
    classes: new Int32Array(count),
    forms: new Int32Array(count),
    work: new Float64Array(count),
    isHeavy: new Uint8Array(count),
    hasAttention: new Uint8Array(count),
  };
  for (let u = 0; u < count; u++) {
    const heavy: string[] = [];
    const kinds: string[] = [];
    for (let b = start[u]; b < start[u + 1]; b++) {
      const block = blocks[b];
      units.work[u] += blockWork(block);
      if (block.kind === 'attention') units.hasAttention[u] = 1;
      if (!isHeavy(block)) continue;
      heavy.push(heavyKey(block));
      kinds.push(block.kind);
    }
    if (heavy.length > 0) units.isHeavy[u] = 1;
    else for (let b = start[u]; b < start[u + 1]; b++) heavy.push(lightKey(graph, blocks[b]));
    units.classes[u] = idOf(classIds, heavy.join(';'));
    units.forms[u] = idOf(formIds, kinds.join(','));
  }
  return units;
}

function idOf(ids: Map<string, number>, key: string): number {
  let id = ids.get(key);
  if (id === undefined) ids.set(key, (id = ids.size));
  return id;
}

function heavyKey(block: Block): string {
  const sizes = block.factors.factors.map((f) => `${String(f.size)}${f.kind[0]}`).sort();
  return `${block.kind}${block.causal ? '*' : ''}:${sizes.join(',')}`;
}

function lightKey(graph: Graph, block: Block): string {
  return `${block.kind}:${Array.from(block.nodes, (n) => graph.nodeOp[n]).join(',')}:${String(block.touchedElements)}`;
}
