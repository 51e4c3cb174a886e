/**
 * Concrete sizes of inferred tensors. Dimensions that depend on the data (rows routed to an expert, detections kept) are
 * estimated, once per symbol and with a warning; symbols of the inputs that were given no value are remembered, because the
 * user must give them.
 */
import { bind, symbolsOf } from '../ops/dim.js';
import type { Dim } from '../ops/types.js';
import type { Inferred } from './inferred.js';

export interface ConcreteSize {
  /** `null` for what is no tensor or has no known rank. */
  readonly dims: readonly number[] | null;
  /** Dimension that was estimated; -1 for none. */
  readonly dataDependentDim: number;
}

export class Sizes {
  readonly warnings: string[] = [];
  private readonly values = new Map<string, Dim>();
  private readonly inputSymbols: Set<string>;
  private firstUnbound: { symbol: string; tensor: string; dim: Dim } | null = null;

  constructor(
    private readonly inferred: Inferred,
    private readonly producer: Int32Array,
  ) {
    this.inputSymbols = new Set(inferred.symbols.map((s) => s.name));
  }

  /** First symbol met that is the user's to bind; `null` when there was none. */
  unbound(): { symbol: string; tensor: string; dim: Dim } | null {
    return this.firstUnbound;
  }

  of(v: number): ConcreteSize {
    const type = this.inferred.type[v];
    if (type === null || type.kind !== 'tensor' || type.shape === null)
      return { dims: null, dataDependentDim: -1 };
    let dependent = -1;
    const dims = type.shape.map((d, k): number => {
      if (typeof d === 'number') return d;
      dependent = k;
      return this.number(d, v);
    });
    return { dims, dataDependentDim: dependent };
  }

  private number(d: Dim, v: number): number {
    for (const symbol of symbolsOf(d)) {
      if (this.values.has(symbol)) continue;
      if (this.inputSymbols.has(symbol)) {
        this.firstUnbound ??= { symbol, tensor: this.inferred.values[v], dim: d };
        this.values.set(symbol, 1);
      } else this.values.set(symbol, this.estimate(symbol, v));
    }
    const bound = bind(d, this.values);
    return typeof bound === 'number' ? Math.max(0, bound) : 1;
  }

  /**
   * A data-dependent size: for NonZero the elements of its input times the share that is set where that is known (a slice
   * of a one-hot table has one set in its depth); for others the longest dimension of the inputs.
   */
  private estimate(symbol: string, v: number): number {
    const origin = this.originOf(symbol, v);
    const node = this.producer[origin] >= 0 ? this.inferred.nodes[this.producer[origin]] : undefined;
    let size = 1;
    if (node !== undefined && node.opType === 'NonZero') {
      const input = node.inputs[0];
      const elements = (this.of(input).dims ?? [1]).reduce((p, d) => p * d, 1);
      size = Math.max(1, Math.round(elements * this.density(input)));
    } else if (node !== undefined) {
      for (const x of node.inputs)
        if (x >= 0 && x !== v) for (const d of this.of(x).dims ?? []) size = Math.max(size, d);
    }
    this.warnings.push(
      `the size of '${this.inferred.values[origin]}' depends on the data: taken as ${String(size)}`,
    );
    return size;
  }

  /** The first tensor, walking back, that has the symbol. */
  private originOf(symbol: string, v: number): number {
    let at = v;
    for (let step = 0; step < 10_000; step++) {
      const n = this.producer[at];
      if (n < 0) return at;
      const from = this.inferred.nodes[n].inputs.find((x) => x >= 0 && this.has(x, symbol));
      if (from === undefined) return at;
      at = from;
    }
    return at;
  }

  private has(v: number, symbol: string): boolean {
    const type = this.inferred.type[v];
    if (type === null || type.kind !== 'tensor' || type.shape === null) return false;
    return type.shape.some((d) => typeof d !== 'number' && symbolsOf(d).includes(symbol));
  }

  /** Share of elements that are not zero: 1/depth behind a one-hot table, else 1. */
  private density(v: number): number {
    let at = v;
    for (let step = 0; step < 64; step++) {
      const n = this.producer[at];
      if (n < 0) return 1;
      const { opType, inputs, attrs } = this.inferred.nodes[n];
      if (opType === 'OneHot') {
        const dims = this.of(at).dims ?? [];
        const axis = attrs.int('axis', -1);
        return 1 / (dims[axis < 0 ? axis + dims.length : axis] ?? 1);
      }
      if (!PRESERVING.has(opType)) return 1;
      at = inputs[0];
    }
    return 1;
  }
}

/** Operators that select or rearrange without changing the share of set elements. */
const PRESERVING: ReadonlySet<string> = new Set([
  'Gather', 'Slice', 'Squeeze', 'Unsqueeze', 'Transpose', 'Cast', 'Reshape', 'Identity', 'Flatten', 'Split',
]); // prettier-ignore
