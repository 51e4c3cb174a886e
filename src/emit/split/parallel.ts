/**
 * The program of a model whose stages run on tensor-parallel ranks. One pass over the nodes, producers first:
 *
 * - a product of whole activations with a weight is cut along the weight's columns, and its result is a shard;
 * - an operator on shards runs on them where its factors allow it, and passes the cut on (elementwise operators, heads of
 *   attention, reshapes); a product whose contraction is cut leaves a partial sum;
 * - a table that is read by index is cut along its rows; rows that a rank does not hold count as zero;
 * - everything else runs whole on every rank, after shards were gathered and partial sums added up.
 *
 * Megatron's column and row products, its split heads and its split vocabulary come out of these rules; names play no part.
 */
import { DType, elementCount, isFloat } from '../../model/index.js';
import type { NodeProto } from '../../model/index.js';
import { wrapAxis } from '../../ops/axis.js';
import type { SplitFacts } from './facts.js';
import type { LocalForm } from './localOps.js';
import { localForm, withAttributes } from './localOps.js';
import { LocalValues, makeNode } from './localValues.js';
import type { Form } from './localValues.js';
import { lookupRows } from './lookup.js';
import type { Program, Sharding } from './program.js';
import type { RuledNode } from './rules.js';
import { isCuttable, Rules } from './rules.js';
import { cutOf, sameSharding, shardingOf } from './sharding.js';
import type { FactorCut } from './sharding.js';

/** Weights of fewer elements stay whole. */
const FEWEST_ELEMENTS = 1024;
/** Parts of fewer columns are not worth a collective. */
const FEWEST_COLUMNS = 8;
/** Chains of operators on weights deeper than this are run whole and sliced. */
const DEEPEST_CHAIN = 64;

export function parallelProgram(facts: SplitFacts, stageOf: Int32Array, stages: number, tp: number): Program {
  const builder = new ParallelBuilder(facts, tp);
  // Stages in order, so that a form made for one stage is there for the later ones.
  const order = facts.nodes.map((_, n) => n).filter((n) => facts.varies[n] === 1);
  order.sort((a, b) => stageOf[a] - stageOf[b] || a - b);
  for (const n of order) builder.place(n, stageOf[n]);
  const { values } = builder;
  for (const name of facts.outputs) values.whole(name, stages - 1);
  return {
    stages,
    tp,
    nodes: values.nodes,
    weights: values.weights,
    collectives: values.collectives,
    inputs: facts.inputs,
    outputs: facts.outputs,
    type: (name) => values.type(name),
  };
}

class ParallelBuilder {
  readonly values: LocalValues;
  private readonly rules: Rules;
  private depth = 0;

  constructor(
    private readonly facts: SplitFacts,
    private readonly tp: number,
  ) {
    this.rules = new Rules(facts, tp);
    this.values = new LocalValues(facts, tp, this.rules.sizes, (n, output, sharding, stage) =>
      this.cutWeightNode(n, output, sharding, stage),
    );
  }

  place(n: number, stage: number): void {
    const ruled = this.rules.of(n);
    if (this.placeShape(n, stage)) return;
    if (ruled === null) return this.placeWhole(n, stage);
    const cut = this.cutOfInputs(n, ruled) ?? this.cutOfWeights(n, ruled);
    if (cut !== null) {
      const form = this.formFor(n, ruled, cut);
      if (form !== null) return this.placeCut(n, ruled, cut, form, stage);
    }
    if (!this.placeLookup(n, ruled, stage)) this.placeWhole(n, stage);
  }

  private placeWhole(n: number, stage: number): void {
    const node = this.facts.nodes[n];
    for (const name of node.reads) this.values.whole(name, stage);
    for (const name of node.proto.output) this.values.produce(name, { kind: 'whole' }, stage);
    this.values.add(node.proto, stage, node.reads);
  }

  /** The cut that arrives with sharded activations and costs the fewest gathered bytes. */
  private cutOfInputs(n: number, ruled: RuledNode): FactorCut | null {
    const { proto } = this.facts.nodes[n];
    const arriving = proto.input.map((name): Sharding | null => {
      // What was gathered for another reader is taken as it is: a residual stream is gathered once.
      const form = this.values.isWhole(name) ? undefined : this.values.formOf(name)?.form;
      return form?.kind === 'shard' ? form.sharding : null;
    });
    let best: FactorCut | null = null;
    let lowest = Infinity;
    arriving.forEach((sharding, i) => {
      if (sharding === null) return;
      const cut = cutOf(ruled.rule, ruled.rule.inputs[i], sharding, this.tp);
      if (cut === null || this.formFor(n, ruled, cut) === null) return;
      let gathered = 0;
      arriving.forEach((other, j) => {
        if (other === null || sameSharding(other, shardingOf(ruled.rule, ruled.rule.inputs[j], cut))) return;
        gathered += (ruled.op.inputShape(j) ?? []).reduce((a, b) => a * b, 1);
      });
      if (gathered >= lowest) return;
      lowest = gathered;
      best = cut;
    });
    return best;
  }

  /** The cut of a product's weights: columns that no activation has, else the contraction. */
  private cutOfWeights(n: number, ruled: RuledNode): FactorCut | null {
    if (ruled.kernel !== 'gemm' && ruled.kernel !== 'conv') return null;
    return this.widest(n, ruled, 'parallel') ?? this.widest(n, ruled, 'contraction');
  }

  private widest(n: number, ruled: RuledNode, kind: 'parallel' | 'contraction'): FactorCut | null {
    const { rule, op } = ruled;
    const { proto } = this.facts.nodes[n];
    const inActivations = new Set<number>();
    const inWeights = new Set<number>();
    proto.input.forEach((name, i) => {
      if (name === '') return;
      const isWeight = this.values.isWeight(name);
      if (isWeight && (elementCount(op.inputShape(i) ?? []) ?? 0) < FEWEST_ELEMENTS) return;
      for (const ids of rule.inputs[i] ?? [])
        for (const id of ids) (isWeight ? inWeights : inActivations).add(id);
    });
    let best: FactorCut | null = null;
    let size = FEWEST_COLUMNS * this.tp - 1;
    for (const factor of inWeights) {
      const found = rule.factors[factor];
      if (found.kind !== kind || found.size <= size) continue;
      if (kind === 'parallel' && inActivations.has(factor)) continue;
      for (const inner of new Set([this.innerWanted(n, ruled, factor), 1])) {
        const cut = { factor, inner };
        if (found.size % (inner * this.tp) !== 0 || this.formFor(n, ruled, cut) === null) continue;
        best = cut;
        size = found.size;
        break;
      }
    }
    return best;
  }

  /** Runs in which the readers of the result would have the factor cut. */
  private innerWanted(n: number, { rule }: RuledNode, factor: number): number {
    const { proto } = this.facts.nodes[n];
    for (let o = 0; o < proto.output.length; o++) {
      const plain = shardingOf(rule, rule.outputs[o], { factor, inner: 1 });
      if (plain === null) continue;
      const blocks = this.rules.blocksWanted(proto.output[o], plain.axis);
      if (blocks % plain.blocks === 0) return blocks / plain.blocks;
    }
    return 1;
  }

  /** What to change in a node that runs with this cut; `null` when it cannot. */
  private formFor(n: number, ruled: RuledNode, cut: FactorCut): LocalForm | null {
    const { rule, op } = ruled;
    const { proto } = this.facts.nodes[n];
    const shapeOf = (name: string | undefined): ReturnType<typeof tensorShape> =>
      tensorShape(this.facts.type(name ?? ''));
    if (rule.factors[cut.factor].size % (cut.inner * this.tp) !== 0) return null;
    const { sizes } = this.rules;
    for (let i = 0; i < proto.input.length; i++) {
      const sharding = shardingOf(rule, rule.inputs[i], cut);
      const size = sharding === null ? 0 : shapeOf(proto.input[i])?.[sharding.axis];
      if (sharding === null || (typeof size === 'number' && isCuttable(size, sharding, this.tp, sizes)))
        continue;
      // Only what is cut already can be cut along a dimension of unknown size.
      if (!this.values.isCut(proto.input[i], sharding)) return null;
    }
    for (let o = 0; o < proto.output.length; o++) {
      const sharding = shardingOf(rule, rule.outputs[o], cut);
      if (
        sharding !== null &&
        !isCuttable(shapeOf(proto.output[o])?.[sharding.axis], sharding, this.tp, sizes)
      )
        return null;
    }
    const isSum = rule.factors[cut.factor].kind === 'contraction';
    for (let o = 0; o < proto.output.length; o++) {
      if (proto.output[o] === '') continue;
      const has = shardingOf(rule, rule.outputs[o], cut) !== null;
      if (isSum ? has || o > 0 : !has) return null;
    }
    const form = localForm({
      opType: op.opType,
      domain: op.domain,
      version: op.version,
      attrs: op.attrs,
      rule,
      cut,
      tp: this.tp,
      inputCount: op.inputCount,
      inputShape: (i) => op.inputShape(i),
      outputShape: (i) => op.outputShape(i),
      known: (i) => op.inputValue(i),
      input: (i) => shardingOf(rule, rule.inputs[i], cut),
      output: (i) => shardingOf(rule, rule.outputs[i], cut),
      hasInput: (i) => (proto.input[i] ?? '') !== '',
    });
    for (const [i, change] of form?.inputs ?? [])
      if (change.kind === 'firstRank' && !this.values.canBeOnFirstRank(proto.input[i])) return null;
    return form;
  }

  private placeCut(n: number, ruled: RuledNode, cut: FactorCut, form: LocalForm, stage: number): void {
    const { rule } = ruled;
    const { proto } = this.facts.nodes[n];
    const isSum = rule.factors[cut.factor].kind === 'contraction';
    const input = this.cutInputs(proto, ruled, cut, form, stage);
    const output = proto.output.map((name, o) => {
      const sharding = shardingOf(rule, rule.outputs[o], cut);
      const made: Form = isSum || sharding === null ? { kind: 'sum' } : { kind: 'shard', sharding };
      return this.values.produce(name, made, stage);
    });
    this.values.add({ ...withAttributes(proto, form.attributes), input, output }, stage);
  }

  private cutInputs(
    proto: NodeProto,
    { rule }: RuledNode,
    cut: FactorCut,
    form: LocalForm,
    stage: number,
  ): string[] {
    const { values } = this;
    return proto.input.map((name, i) => {
      if (name === '') return '';
      const change = form.inputs?.get(i);
      if (change?.kind === 'firstRank') return values.onFirstRank(name)!;
      if (change?.kind === 'constant') {
        const shape = tensorShape(this.facts.type(name)) ?? [change.values.length];
        const type = this.facts.type(name);
        const dtype = type?.kind === 'tensor' ? type.dtype : DType.INT64;
        return values.integers(`${name}/local`, [change.values], shape as number[], dtype);
      }
      if (change?.kind === 'divide') return values.divided(name, change.by, stage);
      const sharding = shardingOf(rule, rule.inputs[i], cut);
      return sharding === null ? values.whole(name, stage) : values.shard(name, sharding, stage);
    });
  }

  /** A node that follows from weights alone, so that its output is a shard. */
  private cutWeightNode(n: number, output: number, sharding: Sharding, stage: number): string | null {
    const ruled = this.rules.of(n);
    if (ruled === null || this.depth >= DEEPEST_CHAIN) return null;
    const { proto } = this.facts.nodes[n];
    const cut = cutOf(ruled.rule, ruled.rule.outputs[output], sharding, this.tp);
    if (cut === null || ruled.rule.factors[cut.factor].kind !== 'parallel') return null;
    if (!sameSharding(shardingOf(ruled.rule, ruled.rule.outputs[output], cut), sharding)) return null;
    const form = this.formFor(n, ruled, cut);
    if (form === null) return null;
    this.depth++;
    const input = this.cutInputs(proto, ruled, cut, form, stage);
    this.depth--;
    const names = proto.output.map((name) => (name === '' ? '' : this.values.fresh(`${name}/shard`)));
    this.values.setShardType(names[output], proto.output[output], sharding);
    const local = { ...withAttributes(proto, form.attributes), input, output: names };
    this.values.add(local, stage, input, true);
    return names[output];
  }

  /** The shape of a shard or a partial sum needs no collective: the size of the cut dimension is multiplied. */
  private placeShape(n: number, stage: number): boolean {
    const { proto, inferred } = this.facts.nodes[n];
    if (inferred?.opType !== 'Shape' || inferred.domain !== '') return false;
    const made = this.values.formOf(proto.input[0]);
    const type = this.facts.type(proto.input[0]);
    if (made === null || made.form.kind === 'whole' || type?.kind !== 'tensor' || type.shape === null)
      return false;
    const rank = type.shape.length;
    const bound = (value: number): number => Math.min(Math.max(value < 0 ? value + rank : value, 0), rank);
    const start = bound(inferred.attrs.int('start', 0));
    const end = bound(inferred.attrs.int('end', rank));
    const factors = Array.from({ length: rank }, (_, k) =>
      made.form.kind === 'shard' && made.form.sharding.axis === k ? this.tp : 1,
    ).slice(start, end);
    const [name] = proto.output;
    this.values.produce(name, { kind: 'whole' }, stage);
    if (factors.every((f) => f === 1)) {
      this.values.add({ ...proto, input: [made.name] }, stage);
      return true;
    }
    const local = this.values.fresh(`${name}/local`);
    this.values.add({ ...proto, input: [made.name], output: [local] }, stage);
    const by = this.values.integers(`${name}/by`, [factors], [factors.length]);
    this.values.add(makeNode('Mul', [local, by], [name]), stage);
    return true;
  }

  /** A table of weights that is read by index: cut along its rows, else along another dimension. */
  private placeLookup(n: number, ruled: RuledNode, stage: number): boolean {
    const { op, kernel } = ruled;
    const { proto } = this.facts.nodes[n];
    if (kernel !== 'gather' || op.domain !== '') return false;
    if (!this.values.isWeight(proto.input[0]) || this.values.isWeight(proto.input[1])) return false;
    if ((elementCount(op.inputShape(0) ?? []) ?? 0) < FEWEST_ELEMENTS) return false;
    return this.placeRows(n, ruled, stage) || this.placeColumns(n, ruled, stage);
  }

  private placeRows(n: number, { op }: RuledNode, stage: number): boolean {
    const { proto } = this.facts.nodes[n];
    const table = op.inputShape(0) ?? [];
    const rank = op.inputShape(1)?.length;
    const dtype = op.inputDtype(0);
    if (op.opType !== 'Gather' || op.version < 9 || !isFloat(dtype) || rank === undefined) return false;
    const axis = wrapAxis(op.attrs.int('axis', 0), table.length);
    const rows = table[axis];
    if (rows % this.tp !== 0 || rows < FEWEST_COLUMNS * this.tp) return false;
    const { values } = this;
    const input = [
      values.shard(proto.input[0], { axis, blocks: 1 }, stage),
      values.whole(proto.input[1], stage),
    ];
    const output = values.produce(proto.output[0], { kind: 'sum' }, stage);
    lookupRows(values, {
      proto: { ...proto, input, output: [output] },
      rows,
      axis,
      indexRank: rank,
      tableRank: table.length,
      indexDtype: op.inputDtype(1),
      dtype,
      version: op.version,
      stage,
    });
    return true;
  }

  /** The widest dimension of a table that is read whole, as of experts whose weights are picked by token. */
  private placeColumns(n: number, ruled: RuledNode, stage: number): boolean {
    const { rule, op } = ruled;
    const table = op.inputShape(0) ?? [];
    const widest = table.map((_, k) => k).sort((a, b) => table[b] - table[a]);
    for (const k of widest) {
      const factor = rule.inputs[0]?.[k]?.[0];
      if (factor === undefined || rule.factors[factor].kind !== 'parallel') continue;
      if (table[k] < FEWEST_COLUMNS * this.tp) continue;
      for (const inner of new Set([this.innerWanted(n, ruled, factor), 1])) {
        const cut = { factor, inner };
        const form = this.formFor(n, ruled, cut);
        if (form === null) continue;
        this.placeCut(n, ruled, cut, form, stage);
        return true;
      }
    }
    return false;
  }
}

function tensorShape(
  type: ReturnType<SplitFacts['type']>,
): Extract<typeof type, { kind: 'tensor' }>['shape'] {
  return type?.kind === 'tensor' ? type.shape : null;
}
