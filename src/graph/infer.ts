/**
 * Shape inference: types and known values of every tensor of a model, subgraphs included, local functions inlined.
 *
 * One pass over the nodes in execution order. Each operator's rule (src/ops) computes its outputs' types and, for small
 * integer tensors, their values, symbolically; so `Shape -> Gather -> Concat -> Reshape` chains fold away as they are met.
 * What the model declares (value_info) is compared with what is inferred, and used only where nothing could be inferred.
 */
import type { ModelProto } from '../model/types.js';
import { Inference } from './inference.js';
import type { Inferred, InferOptions } from './inferred.js';

export type { Inferred, InferredBody, InferredNode, InferOptions } from './inferred.js';

/** @throws PartitionError `input` when the model contradicts itself or an operator's specification */
export function inferModel(model: ModelProto, options: InferOptions = {}): Inferred {
  return new Inference(model, options).run();
}
