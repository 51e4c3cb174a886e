/**
 * How much communication a training framework really hides behind compute. One profile, few numbers, all shares of
 * 0..1; no constant of this kind stands anywhere else. To be fitted per framework on measured runs.
 */
export interface OverlapProfile {
  readonly name: string;
  /** Share of the tensor-parallel collectives' time that is exposed (1: plain Megatron, no chunked overlap). */
  readonly tpExposed: number;
  /** Share of the context-parallel exchange that is exposed: a ring hides behind the attention of the block before. */
  readonly cpExposed: number;
  /** Share of the expert dispatch and combine that is exposed. */
  readonly epExposed: number;
  /** Share of one microbatch's backward time under which gradients can be reduced (the last bucket cannot hide). */
  readonly gradientsUnderBackward: number;
  /** Share of one microbatch's forward time under which parameters can be gathered (the first layer cannot hide). */
  readonly gathersUnderForward: number;
}

export const DEFAULT_OVERLAP: OverlapProfile = {
  name: 'default',
  tpExposed: 1,
  cpExposed: 0.5,
  epExposed: 1,
  gradientsUnderBackward: 0.8,
  gathersUnderForward: 0.8,
};
