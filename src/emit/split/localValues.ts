/**
 * The values of a tensor-parallel program while it is built: in which form each one exists (whole on every rank, a shard, a
 * partial sum), and how a form that is asked for comes about: weights are cut where they are stored, whole activations are
 * sliced, shards are gathered and partial sums added up by collectives.
 */
import { DType } from '../../model/index.js';
import type { NodeProto, TensorProto } from '../../model/index.js';
import { divideExact } from '../../ops/dim.js';
import type { ValueType } from '../../ops/types.js';
import { invariant } from '../../util/errors.js';
import type { SplitFacts, SymbolSizes } from './facts.js';
import type { Collective, ProgramNode, Sharding, WeightSource } from './program.js';
import { sameSharding } from './sharding.js';
import { canShard } from './weights.js';

/** How a value leaves the node that computes it. */
export type Form =
  | { readonly kind: 'whole' }
  | { readonly kind: 'shard'; readonly sharding: Sharding }
  | { readonly kind: 'sum' };

export interface Made {
  readonly form: Form;
  /** Name of the value in that form; the whole always has the model's own name. */
  readonly name: string;
  readonly stage: number;
}

const BARE = { attribute: [], metadataProps: [], deviceConfigurations: [] };

/** A node of our own. */
export function makeNode(
  opType: string,
  input: string[],
  output: string[],
  ints: Readonly<Record<string, number>> = {},
): NodeProto {
  const attribute = Object.entries(ints).map(([name, i]) => ({ ...NO_LISTS, name, i, type: 2 }));
  return { ...BARE, attribute, opType, name: output[0], input, output };
}

const NO_LISTS = {
  floats: [],
  ints: [],
  strings: [],
  tensors: [],
  graphs: [],
  typeProtos: [],
  sparseTensors: [],
};

export class LocalValues {
  readonly nodes: ProgramNode[] = [];
  readonly weights = new Map<string, WeightSource>();
  readonly collectives: Collective[] = [];
  private readonly types = new Map<string, ValueType | null>();
  private readonly made = new Map<string, Made>();
  private readonly versions = new Map<string, string>();
  private readonly taken: Set<string>;
  private readonly emitted = new Set<number>();

  constructor(
    readonly facts: SplitFacts,
    readonly tp: number,
    private readonly sizes: SymbolSizes,
    /** Runs a node that follows from weights alone so that its output is a shard; the shard's name, or `null`. */
    private readonly cutWeight: (
      n: number,
      output: number,
      sharding: Sharding,
      stage: number,
    ) => string | null,
  ) {
    const { graph } = facts;
    this.taken = new Set(facts.initializers.keys());
    for (const info of graph.input) this.taken.add(info.name ?? '');
    for (const node of graph.node) for (const name of node.output) this.taken.add(name);
  }

  fresh(base: string): string {
    let name = base;
    for (let i = 1; this.taken.has(name); i++) name = `${base}.${String(i)}`;
    this.taken.add(name);
    return name;
  }

  type(name: string): ValueType | null {
    const own = this.types.get(name);
    return own === undefined ? this.facts.type(name) : own;
  }

  /** The form in which a value was computed; `null` for weights and what follows from them alone. */
  formOf(name: string): Made | null {
    return this.made.get(name) ?? null;
  }

  /** Whether all ranks hold the whole already, gathered or as it was computed. */
  isWhole(name: string): boolean {
    return this.made.get(name)?.form.kind === 'whole' || this.versions.has(versionKey(name, null));
  }

  /** Whether each rank has just its part of a value. */
  isCut(name: string, sharding: Sharding): boolean {
    const form = this.made.get(name)?.form;
    return form?.kind === 'shard' && sameSharding(form.sharding, sharding);
  }

  isWeight(name: string): boolean {
    const { initializers, producer, varies } = this.facts;
    const from = producer.get(name);
    return initializers.has(name) || (from !== undefined && varies[from] === 0);
  }

  add(proto: NodeProto, stage: number, reads: readonly string[] = proto.input, runsLate = false): void {
    this.nodes.push({ proto, stage, runsLate, reads: [...new Set(reads.filter((name) => name !== ''))] });
  }

  /** Announces a value of the model in the form it is computed in; the name to compute it under. */
  produce(name: string, form: Form, stage: number): string {
    if (name === '') return '';
    const local =
      form.kind === 'whole' ? name : this.fresh(form.kind === 'sum' ? `${name}/partial` : `${name}/shard`);
    this.made.set(name, { form, name: local, stage });
    if (form.kind === 'sum') this.types.set(local, this.facts.type(name));
    if (form.kind === 'shard') {
      this.setShardType(local, name, form.sharding);
      this.versions.set(versionKey(name, form.sharding), local);
    }
    return local;
  }

  setShardType(local: string, name: string, { axis }: Sharding): void {
    const type = this.facts.type(name);
    if (type?.kind !== 'tensor' || type.shape === null) return void this.types.set(local, type);
    const shape = type.shape.map((d, k) => (k === axis ? (divideExact(d, this.tp) ?? d) : d));
    this.types.set(local, { ...type, shape });
  }

  /** Elements of one rank's part of one run. */
  private partOf(name: string, { axis, blocks }: Sharding): number {
    const type = this.facts.type(name);
    const size = type?.kind === 'tensor' && type.shape !== null ? this.sizes.of(type.shape[axis]) : NaN;
    const part = size / (blocks * this.tp);
    invariant(Number.isInteger(part), `${name} is cut in parts of ${String(part)}`);
    return part;
  }

  /** Name under which a value is whole on every rank. */
  whole(name: string, stage: number): string {
    const { facts } = this;
    const tensor = facts.initializers.get(name);
    if (tensor !== undefined) {
      this.weights.set(name, { kind: 'tensor', tensor, sharding: null });
      return name;
    }
    const from = facts.producer.get(name);
    if (from !== undefined && facts.varies[from] === 0) {
      this.emitWeightNodes(from, stage);
      return name;
    }
    const made = this.made.get(name);
    if (made === undefined || made.form.kind === 'whole') return name;
    const key = versionKey(name, null);
    if (this.versions.has(key)) return name;
    this.versions.set(key, name);
    const sharding = made.form.kind === 'shard' ? made.form.sharding : null;
    const kind = sharding === null ? 'allReduce' : 'allGather';
    const joined = sharding === null ? null : { axis: sharding.axis, part: this.partOf(name, sharding) };
    this.collectives.push({ kind, from: made.name, to: name, joined, stage: made.stage });
    return name;
  }

  /** Name under which each rank has its part of a value. */
  shard(name: string, sharding: Sharding, stage: number): string {
    const key = versionKey(name, sharding);
    const existing = this.versions.get(key);
    if (existing !== undefined) return existing;
    const local = this.shardOfWeight(name, sharding, stage) ?? this.slice(name, sharding, stage);
    this.versions.set(key, local);
    return local;
  }

  private shardOfWeight(name: string, sharding: Sharding, stage: number): string | null {
    const { facts } = this;
    const tensor = facts.initializers.get(name) ?? this.constantTensor(name);
    if (tensor !== null)
      return canShard(tensor, sharding, this.tp) ? this.storeShard(name, tensor, sharding) : null;
    const from = facts.producer.get(name);
    if (from === undefined || facts.varies[from] === 1) return null;
    return this.cutWeight(from, facts.nodes[from].proto.output.indexOf(name), sharding, stage);
  }

  private storeShard(name: string, tensor: TensorProto, sharding: Sharding): string {
    const local = this.fresh(`${name}/shard`);
    this.weights.set(local, { kind: 'tensor', tensor, sharding });
    this.setShardType(local, name, sharding);
    return local;
  }

  /** The tensor of a Constant node. */
  private constantTensor(name: string): TensorProto | null {
    const node = this.facts.nodes[this.facts.producer.get(name) ?? -1];
    if (node?.inferred?.opType !== 'Constant' || node.inferred.domain !== '') return null;
    return node.proto.attribute.find((a) => a.name === 'value')?.t ?? null;
  }

  /** Sizes divided element by element while the program runs. */
  divided(name: string, by: readonly number[], stage: number): string {
    const divisors = this.integers(`${name}/by`, [by], [by.length]);
    const local = this.fresh(`${name}/local`);
    this.types.set(local, this.facts.type(name));
    const proto = makeNode('Div', [this.whole(name, stage), divisors], [local]);
    this.add(proto, stage, proto.input, true);
    return local;
  }

  /** The tensor on rank 0, zeros elsewhere; `null` when it is not stored as such. */
  onFirstRank(name: string): string | null {
    const tensor = this.facts.initializers.get(name) ?? this.constantTensor(name);
    if (tensor === null) return null;
    const local = this.fresh(`${name}/first`);
    this.weights.set(local, { kind: 'firstRank', tensor });
    this.types.set(local, this.facts.type(name));
    return local;
  }

  canBeOnFirstRank(name: string): boolean {
    return this.facts.initializers.has(name) || this.constantTensor(name) !== null;
  }

  /** Small integers; the same on all ranks when one list is given. */
  integers(
    base: string,
    lists: readonly (readonly number[])[],
    dims: readonly number[],
    dtype = DType.INT64,
  ): string {
    const name = this.fresh(base);
    const perRank = lists.length === this.tp ? lists : Array.from({ length: this.tp }, () => lists[0]);
    const source: WeightSource = {
      kind: 'integers',
      dtype: dtype === DType.INT32 ? DType.INT32 : DType.INT64,
      perRank,
      dims,
    };
    this.weights.set(name, source);
    this.types.set(name, { kind: 'tensor', dtype, shape: dims });
    return name;
  }

  /** Each rank takes its part of what all hold. */
  private slice(name: string, sharding: Sharding, stage: number): string {
    const whole = this.whole(name, stage);
    const type = this.facts.type(name);
    invariant(type?.kind === 'tensor' && type.shape !== null, `${name} is sliced but has no rank`);
    const size = type.shape[sharding.axis];
    invariant(typeof size === 'number', `${name} is sliced along a dimension of unknown size`);
    const local = this.fresh(`${name}/shard`);
    this.setShardType(local, name, sharding);
    const block = size / sharding.blocks;
    const part = block / this.tp;
    const lists = Array.from({ length: this.tp }, (_, rank) =>
      Array.from(
        { length: sharding.blocks * part },
        (_unused, k) => Math.floor(k / part) * block + rank * part + (k % part),
      ),
    );
    const indices = this.integers(`${local}/indices`, lists, [sharding.blocks * part]);
    const runsLate = this.isWeight(name);
    const proto = makeNode('Gather', [whole, indices], [local], { axis: sharding.axis });
    this.add(proto, stage, proto.input, runsLate);
    return local;
  }

  /** A node that follows from weights alone, and those before it, each once and as they are. */
  private emitWeightNodes(last: number, stage: number): void {
    const { nodes, producer } = this.facts;
    const needed: number[] = [];
    const stack = [last];
    while (stack.length > 0) {
      const n = stack.pop()!;
      if (this.emitted.has(n)) continue;
      this.emitted.add(n);
      needed.push(n);
      for (const name of nodes[n].reads) {
        const from = producer.get(name);
        if (from !== undefined) stack.push(from);
        else this.whole(name, stage);
      }
    }
    for (const n of needed.sort((a, b) => a - b)) this.add(nodes[n].proto, stage, nodes[n].reads, true);
  }
}

function versionKey(name: string, sharding: Sharding | null): string {
  return sharding === null ? `${name}\0` : `${name}\0${String(sharding.axis)}/${String(sharding.blocks)}`;
}
