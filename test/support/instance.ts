/** Operator instances of an inferred, fully concrete model. */
import { DType } from '../../src/model/dtype.js';
import type { Inferred, InferredNode } from '../../src/graph/infer.js';
import type { OpInstance } from '../../src/ops/types.js';

/** `null` when a tensor of the node is not concrete. */
export function instanceOf(inferred: Inferred, node: InferredNode): OpInstance | null {
  const shape = (v: number): readonly number[] | null => {
    const t = v < 0 ? null : inferred.type[v];
    if (t === null || t.kind !== 'tensor' || t.shape === null) return null;
    return t.shape as readonly number[];
  };
  const dtype = (v: number): DType => {
    const t = v < 0 ? null : inferred.type[v];
    return t?.kind === 'tensor' ? t.dtype : DType.UNDEFINED;
  };
  for (const v of [...node.inputs, ...node.outputs]) {
    if (v < 0) continue;
    const dims = shape(v);
    if (dims === null || dims.some((d) => typeof d !== 'number')) return null;
  }
  const { opType, domain, version, attrs } = node;
  return {
    opType,
    domain,
    version,
    attrs,
    inputCount: node.inputs.length,
    outputCount: node.outputs.length,
    inputShape: (i) => shape(node.inputs[i] ?? -1),
    outputShape: (i) => shape(node.outputs[i] ?? -1),
    inputDtype: (i) => dtype(node.inputs[i] ?? -1),
    outputDtype: (i) => dtype(node.outputs[i] ?? -1),
    inputIsParameter: (i) =>
      inferred.initializers.has(node.inputs[i] ?? -1) && dtype(node.inputs[i]) === DType.FLOAT,
    inputValue: (i) => inferred.known[node.inputs[i] ?? -1] ?? null,
  };
}
