/** Factor rules of a model's nodes for the splitter, and which way each value would best be cut. */
import { factorsOf, workOf } from '../../ops/defaults.js';
import { divideExact } from '../../ops/dim.js';
import type { Dim, FactorRule, KernelKind, OpInstance } from '../../ops/types.js';
import type { SplitFacts, SplitNode } from './facts.js';
import { instanceOf, SymbolSizes } from './facts.js';
import { mayRunOnShards } from './localOps.js';
import type { Sharding } from './program.js';
import { cutOf, fits } from './sharding.js';

/** A node that may run on shards. */
export interface RuledNode {
  readonly rule: FactorRule;
  readonly op: OpInstance;
  readonly kernel: KernelKind;
}

export class Rules {
  readonly sizes = new SymbolSizes();
  private readonly cache = new Map<number, RuledNode | null>();
  /** Per value: for some of its dimensions, the number of blocks that its readers would have it cut in. */
  private readonly wanted = new Map<string, Map<number, number>>();

  constructor(
    private readonly facts: SplitFacts,
    private readonly tp: number,
  ) {
    this.gatherWishes();
  }

  /** `null`: the node runs whole. */
  of(n: number): RuledNode | null {
    let ruled = this.cache.get(n);
    if (ruled === undefined) this.cache.set(n, (ruled = this.find(this.facts.nodes[n])));
    return ruled;
  }

  private find(node: SplitNode): RuledNode | null {
    const { inferred } = node;
    if (inferred === null || inferred.rule === null || inferred.rule.nondeterministic === true) return null;
    if (node.captures.length > 0 || inferred.bodies.length > 0) return null;
    if (!mayRunOnShards(inferred.domain, inferred.opType)) return null;
    const op = instanceOf(this.facts, inferred, this.sizes);
    const rule = factorsOf(inferred.rule, op);
    for (let i = 0; i < op.inputCount; i++) if (!fits(rule, rule.inputs[i], op.inputShape(i))) return null;
    for (let i = 0; i < op.outputCount; i++) if (!fits(rule, rule.outputs[i], op.outputShape(i))) return null;
    return { rule, op, kernel: workOf(inferred.rule, op).kernel };
  }

  /** Blocks in which the readers of a value would have a dimension cut; 1 where they do not mind. */
  blocksWanted(name: string, axis: number): number {
    return this.wanted.get(name)?.get(axis) ?? 1;
  }

  /**
   * From the last node to the first: a reader that takes a dimension apart wants the part that may be cut to be cut, so
   * that the thirds of a fused [q | k | v] product each are.
   */
  private gatherWishes(): void {
    const { nodes } = this.facts;
    for (let n = nodes.length - 1; n >= 0; n--) {
      if (this.facts.varies[n] === 0) continue;
      const ruled = this.of(n);
      if (ruled === null) continue;
      const { rule } = ruled;
      const { proto } = nodes[n];
      const inner = new Map<number, number>();
      proto.output.forEach((name, o) => {
        for (const [axis, blocks] of this.wanted.get(name) ?? []) {
          const cut = cutOf(rule, rule.outputs[o], { axis, blocks }, this.tp);
          if (cut !== null && !inner.has(cut.factor)) inner.set(cut.factor, cut.inner);
        }
      });
      proto.input.forEach((name, i) => {
        (rule.inputs[i] ?? []).forEach((ids, axis) => {
          const blocks = this.wish(rule, ids, inner);
          if (blocks === null || blocks === 1) return;
          const own = this.wanted.get(name) ?? new Map<number, number>();
          this.wanted.set(name, own);
          if (!own.has(axis)) own.set(axis, blocks);
        });
      });
    }
  }

  /** Blocks that cut the first factor of a dimension that can be. */
  private wish(rule: FactorRule, ids: readonly number[], inner: ReadonlyMap<number, number>): number | null {
    let before = 1;
    for (const id of ids) {
      const { size, kind } = rule.factors[id];
      const blocks = inner.get(id) ?? 1;
      if ((kind === 'parallel' || kind === 'contraction') && size % (blocks * this.tp) === 0)
        return before * blocks;
      before *= size;
    }
    return null;
  }
}

/**
 * Whether a dimension can be cut so for inputs of every size: its runs have the same length whatever the symbols stand for,
 * as in `4*batch` cut in `batch` runs of 4.
 */
export function isCuttable(
  dim: Dim | undefined,
  { blocks }: Sharding,
  tp: number,
  sizes: SymbolSizes,
): boolean {
  if (dim === undefined) return false;
  if (typeof dim === 'number') return dim % (blocks * tp) === 0;
  const run = sizes.of(dim) / blocks;
  if (!Number.isInteger(run) || run % tp !== 0) return false;
  const runs = divideExact(dim, run);
  return runs !== null && sizes.of(runs) === blocks;
}
