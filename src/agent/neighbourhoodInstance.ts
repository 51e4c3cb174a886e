/**
 * Drawn sharding instances to learn on: training graphs of layers on a mesh of two axes, built like the ones that compilers
 * hand to an auto-sharder. Every node is a contraction in Einstein's notation (pointwise where nothing is contracted); a
 * strategy lays each mesh axis on one letter or on none; edges price what must move between layouts; weights live through,
 * activations until their last use in the backward pass; equal layers share tables. Some strategies and some moves are
 * forbidden, with an infinite cost or by leaving them out beforehand.
 */
import type { ShardInstance } from '../shard/index.js';
import type { Random } from '../util/random.js';

/** A tensor: the node that makes it, its letters, one a dimension. */
interface Tensor {
  readonly node: number;
  readonly letters: string;
}

/** Per strategy of a kind of node: letter of each axis ('' none), cost, bytes held. */
interface Kind {
  readonly name: string;
  readonly axes: readonly (readonly [string, string])[];
  readonly cost: readonly number[];
  readonly usage: readonly number[];
  /** The strategy of the planted solution. */
  readonly planted: number;
}

interface Forward {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly isAdd: boolean;
}

/** Devices along the axes of a mesh. */
const MESHES = [
  [2, 4],
  [4, 4],
  [4, 8],
  [8, 2],
  [16, 2],
] as const;
/** Tokens and batch: the letter that the planted solution splits. */
const TOKENS = 't';

export interface DrawnInstance {
  readonly instance: ShardInstance;
  /** A feasible choice: everything split along the tokens, weights along their first dimension. */
  readonly planted: Int32Array;
}

class Drawing {
  private readonly kinds = new Map<string, Kind>();
  private readonly kindOf: Kind[] = [];
  private readonly begin: number[] = [];
  private readonly end: number[] = [];
  private readonly edges: number[] = [];
  private readonly edgeTable: number[] = [];
  private readonly tableOf = new Map<string, number>();
  private readonly tables: Float64Array[] = [];
  private readonly forwards: Forward[] = [];
  private readonly weights: Tensor[] = [];
  private readonly mesh: readonly [number, number];
  private readonly dropped: number;
  /** Kinds of equal shapes that a layer draws from: what one lacks another may have. */
  private readonly variety: number;
  private readonly isEliminated: boolean;
  private readonly isStrict: boolean;
  private readonly size = new Map<string, number>();
  private now = 0;

  constructor(private readonly random: Random) {
    this.mesh = random.pick(MESHES);
    this.dropped = random.next() < 0.2 ? 0 : 0.4 * random.next();
    this.variety = random.next() < 0.3 ? 1 : 1 + random.int(12);
    this.isEliminated = random.next() < 0.5;
    this.isStrict = random.next() < 0.6;
  }

  /** Gives a letter its size, a power of two. */
  letter(name: string, log2: number): void {
    this.size.set(name, 2 ** log2);
  }

  weight(letters: string): Tensor {
    const node = this.node(letters, [], letters);
    this.begin[node] = 0;
    const tensor = { node, letters };
    this.weights.push(tensor);
    return tensor;
  }

  /** A node of the forward pass. */
  op(inputs: readonly Tensor[], letters: string, isAdd = false): Tensor {
    const output = this.make(inputs, letters);
    this.forwards.push({ inputs, output, isAdd });
    return output;
  }

  /** The backward pass and the update of the weights. */
  backward(last: Tensor): void {
    const gradient = new Map<number, Tensor>([[last.node, this.make([last], last.letters)]]);
    const give = (to: Tensor, from: readonly Tensor[]): void => {
      const known = gradient.get(to.node);
      const part = from.length === 1 && known === undefined ? from[0] : this.make(from, to.letters);
      gradient.set(to.node, known === undefined ? part : this.make([known, part], to.letters));
    };
    for (let k = this.forwards.length - 1; k >= 0; k--) {
      const { inputs, output, isAdd } = this.forwards[k];
      const out = gradient.get(output.node);
      if (out === undefined) continue;
      if (isAdd) for (const input of inputs) give(input, [out]);
      else if (inputs.length === 1) give(inputs[0], [out, inputs[0]]);
      else {
        give(inputs[0], [out, inputs[1]]);
        give(inputs[1], [out, inputs[0]]);
      }
    }
    for (const weight of this.weights) {
      const own = gradient.get(weight.node);
      if (own !== undefined) this.make([weight, own], weight.letters);
    }
    for (const weight of this.weights) this.end[weight.node] = this.now;
  }

  finish(tightness: number): DrawnInstance {
    const { kindOf, begin, end, edges, edgeTable, tables } = this;
    const nodeCount = kindOf.length;
    const strategyStart = new Int32Array(nodeCount + 1);
    kindOf.forEach((kind, i) => (strategyStart[i + 1] = strategyStart[i] + kind.cost.length));
    const tableStart = new Float64Array(tables.length + 1);
    tables.forEach((table, t) => (tableStart[t + 1] = tableStart[t] + table.length));
    const tableCost = new Float64Array(tableStart[tables.length]);
    tables.forEach((table, t) => tableCost.set(table, tableStart[t]));
    const planted = Int32Array.from(kindOf, (kind) => kind.planted);
    const low = peak(begin, end, (i) => kindOf[i].usage[planted[i]]);
    const usual = peak(begin, end, (i) => mean(kindOf[i].usage));
    const instance: ShardInstance = {
      name: 'drawn',
      nodeCount,
      strategyStart,
      nodeCost: Float64Array.from(kindOf.flatMap((kind) => kind.cost)),
      usage: Float64Array.from(kindOf.flatMap((kind) => kind.usage)),
      begin: Float64Array.from(begin),
      end: Float64Array.from(end),
      edgeCount: edgeTable.length,
      edgeStart: Int32Array.from({ length: edgeTable.length + 1 }, (_, e) => 2 * e),
      edgeNode: Int32Array.from(edges),
      edgeTable: Int32Array.from(edgeTable),
      tableStart,
      tableCost,
      usageLimit: Math.ceil(low + tightness * Math.max(0, usual - low)),
    };
    return { instance, planted };
  }

  private make(inputs: readonly Tensor[], letters: string): Tensor {
    const shape = [...inputs.map((t) => t.letters), letters].join();
    const node = this.node(`${shape} ${this.random.int(this.variety)}`, inputs, letters);
    for (const input of inputs) {
      this.end[input.node] = Math.max(this.end[input.node], this.now);
      this.edge(input, node);
    }
    return { node, letters };
  }

  private node(name: string, inputs: readonly Tensor[], letters: string): number {
    const kind = this.kinds.get(name) ?? this.drawKind(name, inputs, letters);
    this.kinds.set(name, kind);
    this.kindOf.push(kind);
    this.begin.push(this.now);
    this.end.push(++this.now);
    return this.kindOf.length - 1;
  }

  private drawKind(name: string, inputs: readonly Tensor[], letters: string): Kind {
    const { random, mesh } = this;
    const all = [...new Set([letters, ...inputs.map((t) => t.letters)].join(''))];
    const lead = all.includes(TOKENS) ? TOKENS : letters[0];
    const choices = ['', ...all];
    const axes: [string, string][] = [];
    const cost: number[] = [];
    const usage: number[] = [];
    let planted = -1;
    const contracted = all.filter((x) => !letters.includes(x));
    for (const x of choices)
      for (const y of choices) {
        const isPlanted = x === lead && y === lead;
        const isDropped = !isPlanted && random.next() < this.dropped;
        if (isDropped && this.isEliminated) continue;
        if (isPlanted) planted = axes.length;
        axes.push([x, y]);
        const bytes = 2 * this.held(letters, x, y);
        let own = 0;
        if (contracted.length > 0) own += this.held(all.join(''), x, y) / 256;
        if (contracted.includes(x)) own += (2 * bytes * (mesh[0] - 1)) / mesh[0];
        if (contracted.includes(y)) own += (2 * bytes * (mesh[1] - 1)) / mesh[1];
        cost.push(isDropped ? Infinity : Math.round(own));
        usage.push(Math.round(bytes));
      }
    return { name, axes, cost, usage, planted };
  }

  /** Elements of a tensor on one device. */
  private held(letters: string, x: string, y: string): number {
    let elements = 1;
    for (const l of letters) elements *= this.size.get(l)!;
    if (x !== '' && letters.includes(x)) elements /= this.mesh[0];
    if (y !== '' && letters.includes(y)) elements /= this.mesh[1];
    return elements;
  }

  private edge(from: Tensor, to: number): void {
    const a = this.kindOf[from.node];
    const b = this.kindOf[to];
    const name = `${a.name};${from.letters};${b.name}`;
    let table = this.tableOf.get(name);
    if (table === undefined) {
      table = this.tables.length;
      this.tableOf.set(name, table);
      const costs = new Float64Array(a.axes.length * b.axes.length);
      a.axes.forEach((has, s) =>
        b.axes.forEach((needs, t) => (costs[s * b.axes.length + t] = this.move(from.letters, has, needs))),
      );
      this.tables.push(costs);
    }
    this.edges.push(from.node, to);
    this.edgeTable.push(table);
  }

  /** Bytes that a device sends to lay a tensor out anew; letters that are none of its own leave it whole. */
  private move(letters: string, has: readonly string[], needs: readonly string[]): number {
    let sum = 0;
    let moved = 0;
    for (let axis = 0; axis < 2; axis++) {
      const from = letters.includes(has[axis]) ? has[axis] : '';
      const to = letters.includes(needs[axis]) ? needs[axis] : '';
      if (from === to || from === '') continue;
      const degree = this.mesh[axis];
      const bytes = 2 * this.held(letters, axis === 0 ? '' : has[0], axis === 0 ? has[1] : '');
      sum += to === '' ? (bytes * (degree - 1)) / degree : bytes / degree;
      if (to !== '') moved++;
    }
    return this.isStrict && moved === 2 ? Infinity : Math.round(sum);
  }
}

/**
 * A drawn instance of transformers, gated and plain, or of down- and upsampling levels with skips between them.
 *
 * @param layers default: drawn, 12 to 71
 */
export function drawShardInstance(random: Random, layers = 12 + random.int(60)): DrawnInstance {
  const drawing = new Drawing(random);
  const isHourglass = random.next() < 0.4;
  const shared = random.next() < 0.3 ? 0.3 : 0;
  const width = 8 + random.int(4);
  drawing.letter(TOKENS, 10 + random.int(5));
  drawing.letter('u', 9 + random.int(3));
  const levels = isHourglass ? 2 + random.int(3) : 1;
  const letterOf = (base: string, level: number): string => String.fromCharCode(base.charCodeAt(0) + level);
  for (let level = 0; level < levels; level++) {
    drawing.letter(letterOf('a', level), width + level);
    drawing.letter(letterOf('A', level), width + level);
    drawing.letter(letterOf('h', level), width + level + random.int(3));
  }
  const known: Tensor[][] = Array.from({ length: levels }, () => []);
  const skips: Tensor[][] = Array.from({ length: levels }, () => []);
  const weight = (letters: string, level: number): Tensor => {
    const same = known[level].filter((t) => t.letters === letters);
    if (same.length > 0 && random.next() < shared) return random.pick(same);
    const fresh = drawing.weight(letters);
    known[level].push(fresh);
    return fresh;
  };
  const chain = (x: Tensor): Tensor => {
    for (let k = random.int(3); k > 0; k--) x = drawing.op([x], x.letters);
    return x;
  };
  let level = 0;
  let x = chain(drawing.weight(TOKENS + 'a'));
  const isGated = random.next() < 0.5;
  const attention = random.next();
  const hub = random.next() < 0.5 ? drawing.weight(TOKENS + 'A') : null;
  for (let l = 0; l < layers; l++) {
    const goal = isHourglass ? Math.floor(levels * (1 - Math.abs((2 * l) / layers - 1)) * 0.999) : 0;
    if (goal !== level) {
      if (goal > level) skips[level].push(x);
      const to = letterOf('a', goal);
      x = drawing.op([x, weight(letterOf('a', level) + to, level)], TOKENS + to);
      const skip = goal < level ? skips[goal].pop() : undefined;
      if (skip !== undefined) x = drawing.op([x, skip], x.letters, true);
      level = goal;
    }
    const a = letterOf('a', level);
    const b = letterOf('A', level);
    const h = letterOf('h', level);
    if (random.next() < attention) {
      const y = chain(x);
      let q = drawing.op([y, weight(a + b, level)], TOKENS + b);
      if (hub !== null && level === 0) q = drawing.op([q, hub], TOKENS + b);
      const k = drawing.op([y, weight(a + b, level)], TOKENS + b);
      const v = drawing.op([y, weight(a + b, level)], TOKENS + b);
      // One of each pair of keys and queries is gathered: its letter is another one.
      const kept = drawing.op([k, v], 'u' + b);
      const seen = drawing.op([q, kept], TOKENS + 'u');
      const mixed = drawing.op([chain(seen), kept], TOKENS + b);
      x = drawing.op([x, drawing.op([mixed, weight(a + b, level)], TOKENS + a)], TOKENS + a, true);
    }
    const y = chain(x);
    const up = chain(drawing.op([y, weight(a + h, level)], TOKENS + h));
    const gated = isGated
      ? drawing.op([up, drawing.op([y, weight(a + h, level)], TOKENS + h)], TOKENS + h)
      : up;
    x = drawing.op([x, drawing.op([gated, weight(a + h, level)], TOKENS + a)], TOKENS + a, true);
  }
  drawing.backward(x);
  return drawing.finish(0.4 * random.next() ** 2);
}

/** Most bytes alive at one time. */
function peak(begin: readonly number[], end: readonly number[], usage: (node: number) => number): number {
  const change = new Float64Array(Math.max(...end) + 1);
  for (let i = 0; i < begin.length; i++) {
    change[begin[i]] += usage(i);
    change[end[i]] -= usage(i);
  }
  let load = 0;
  let most = 0;
  for (const c of change) most = Math.max(most, (load += c));
  return most;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
