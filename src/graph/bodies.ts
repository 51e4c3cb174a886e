/** Work of control flow: the bodies of If, Loop and Scan, costed as one node. */
import { DType } from '../model/dtype.js';
import { workOf } from '../ops/defaults.js';
import type { KnownValue, OpInstance } from '../ops/types.js';
import type { Inferred, InferredNode } from './inferred.js';
import type { Sizes } from './sizes.js';

/** Values of the surrounding graph that the bodies of a node read, each once. */
export function capturedBy(node: InferredNode): number[] {
  const made = new Set<number>();
  const read = new Set<number>();
  const stack = [...node.bodies];
  while (stack.length > 0) {
    const body = stack.pop()!;
    for (const v of body.inputs) made.add(v);
    for (const v of body.outputs) read.add(v);
    for (const inner of body.nodes) {
      for (const v of inner.inputs) if (v >= 0) read.add(v);
      for (const v of inner.outputs) made.add(v);
      stack.push(...inner.bodies);
    }
  }
  const own = new Set(node.inputs);
  return [...read].filter((v) => !made.has(v) && !own.has(v));
}

/** FLOP of one execution: all branches of an If summed, a loop body times its trips. */
export function bodyFlop(node: InferredNode, inferred: Inferred, sizes: Sizes, warnings: string[]): number {
  let sum = 0;
  const stack: { node: InferredNode; times: number }[] = [{ node, times: 1 }];
  while (stack.length > 0) {
    const { node: at, times } = stack.pop()!;
    const inner = times * trips(at, inferred, sizes, warnings);
    for (const body of at.bodies) {
      for (const n of body.nodes) {
        if (n.bodies.length > 0) stack.push({ node: n, times: inner });
        else sum += inner * workOf(n.rule, new BodyInstance(n, inferred, sizes)).flop;
      }
    }
  }
  return sum;
}

function trips(node: InferredNode, inferred: Inferred, sizes: Sizes, warnings: string[]): number {
  if (node.opType === 'Loop') {
    const limit = node.inputs[0] ?? -1;
    const count = limit < 0 ? undefined : inferred.known[limit]?.elements[0];
    if (typeof count === 'number') return Math.max(0, count);
    warnings.push(`the trip count of loop '${node.proto.name ?? ''}' is not known: costed once`);
    return 1;
  }
  if (node.opType === 'Scan') {
    const last = node.inputs[node.inputs.length - 1] ?? -1;
    return last < 0 ? 1 : (sizes.of(last).dims?.[0] ?? 1);
  }
  return 1;
}

/** A body's node as its operator's rules see it. */
class BodyInstance implements OpInstance {
  readonly opType: string;
  readonly domain: string;
  readonly version: number;
  readonly attrs: InferredNode['attrs'];
  readonly inputCount: number;
  readonly outputCount: number;

  constructor(
    private readonly node: InferredNode,
    private readonly inferred: Inferred,
    private readonly sizes: Sizes,
  ) {
    this.opType = node.opType;
    this.domain = node.domain;
    this.version = node.version;
    this.attrs = node.attrs;
    this.inputCount = node.inputs.length;
    this.outputCount = node.outputs.length;
  }

  private shape(v: number | undefined): readonly number[] | null {
    return v === undefined || v < 0 ? null : this.sizes.of(v).dims;
  }

  private dtype(v: number | undefined): DType {
    const type = v === undefined || v < 0 ? null : this.inferred.type[v];
    return type !== null && type.kind === 'tensor' ? type.dtype : DType.UNDEFINED;
  }

  inputShape(i: number): readonly number[] | null {
    return this.shape(this.node.inputs[i]);
  }

  outputShape(i: number): readonly number[] | null {
    return this.shape(this.node.outputs[i]);
  }

  inputDtype(i: number): DType {
    return this.dtype(this.node.inputs[i]);
  }

  outputDtype(i: number): DType {
    return this.dtype(this.node.outputs[i]);
  }

  inputIsParameter(i: number): boolean {
    return this.inferred.initializers.has(this.node.inputs[i] ?? -1);
  }

  inputValue(i: number): KnownValue | null {
    const v = this.node.inputs[i] ?? -1;
    return v < 0 ? null : this.inferred.known[v];
  }
}
