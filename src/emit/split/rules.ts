/** Factor rules of a model's nodes for the splitter, and which way each value would best be cut. */
import { factorsOf, workOf } from '../../ops/defaults.js';
import type { FactorRule, KernelKind, OpInstance, Shape } from '../../ops/types.js';
import type { SplitFacts, SplitNode } from './facts.js';
import { instanceOf, SymbolSizes } from './facts.js';
import { mayRunOnShards } from './localOps.js';
import type { Sharding } from './program.js';
import { cutOf, fits, shardingOf } from './sharding.js';
import type { FactorCut } from './sharding.js';

/** A node that may run on shards. */
export interface RuledNode {
  readonly rule: FactorRule;
  readonly op: OpInstance;
  readonly kernel: KernelKind;
}

export class Rules {
  private readonly sizes = new SymbolSizes();
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

/** Whether every tensor that has the factor has it in a dimension of known size: only those can be cut once for all. */
export function isStatic(
  ruled: RuledNode,
  cut: FactorCut,
  inputShape: (i: number) => Shape | null,
  outputShape: (i: number) => Shape | null,
): boolean {
  const fixed = (sharding: Sharding | null, shape: Shape | null): boolean =>
    sharding === null || typeof shape?.[sharding.axis] === 'number';
  const { rule, op } = ruled;
  for (let i = 0; i < op.inputCount; i++)
    if (!fixed(shardingOf(rule, rule.inputs[i], cut), inputShape(i))) return false;
  for (let i = 0; i < op.outputCount; i++)
    if (!fixed(shardingOf(rule, rule.outputs[i], cut), outputShape(i))) return false;
  return true;
}
