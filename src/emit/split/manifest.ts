/** manifest.json of a split model: its sub-models, the order in which they run, and what travels between them. */

export interface ManifestTensor {
  name: string;
  /** As in TensorProto.DataType, e.g. `FLOAT16`. */
  dtype: string;
  /** Sizes; names of symbolic dimensions; null where nothing is known. The whole is null when the rank is not known. */
  shape: (number | string | null)[] | null;
}

export interface ManifestPiece {
  stage: number;
  /** Sub-models of one stage run in this order. */
  segment: number;
  /** Rank in the stage's tensor-parallel group. */
  rank: number;
  /** Beside the manifest. */
  file: string;
  /** Files with its weights, beside it. */
  dataFiles: string[];
  nodes: number;
  initializerBytes: number;
  inputs: ManifestTensor[];
  outputs: ManifestTensor[];
}

export type ManifestStep =
  /** Every rank of the stage runs its sub-model of this segment. */
  | { kind: 'run'; stage: number; segment: number }
  /** Rank r of one stage hands tensors to rank r of a later one. */
  | { kind: 'send'; fromStage: number; toStage: number; tensors: string[] }
  /** The ranks of a stage add up their `from`; all get `to`. */
  | { kind: 'allReduce'; stage: number; from: string; to: string; op: 'sum' }
  /** Joins the ranks' `from` along `axis`: each rank has runs of `part` elements; `to` has, run by run, those of all ranks. */
  | { kind: 'allGather'; stage: number; from: string; to: string; axis: number; part: number };

export interface ManifestSharding {
  /** An initializer of the model. */
  tensor: string;
  /** The initializer that holds rank r's part in rank r's sub-models. */
  as: string;
  axis: number;
  blocks: number;
}

export interface SplitManifest {
  schemaVersion: 1;
  model: string;
  stages: number;
  tp: number;
  inputs: ManifestTensor[];
  outputs: ManifestTensor[];
  pieces: ManifestPiece[];
  steps: ManifestStep[];
  shardings: ManifestSharding[];
}
