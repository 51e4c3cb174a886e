/**
 * FLOPs of a training step as sources count them. Sources use formulas over sizes, so these do too; what the predictor prices
 * is the graph.
 */
import type { ArchConfig } from '../zoo/index.js';
import type { FlopConvention } from './rules.js';

/** FLOP of one sequence, forward, by what repeats under recomputation and what does not. */
interface ForwardFlop {
  readonly products: number;
  readonly attention: number;
  readonly head: number;
}

/** FLOP of one sequence of a step under a convention. `repeated`: layers run forward twice. */
export function flopPerSequence(
  config: ArchConfig,
  sequenceLength: number,
  convention: FlopConvention,
  repeated: boolean,
): number {
  const { products, attention, head } = forwardFlop(config, sequenceLength);
  const layers = products + (convention.attention === 'causal' ? 0.5 : 1) * attention;
  return (convention.recompute && repeated ? 4 : 3) * layers + 3 * head;
}

/** Matmuls only, a multiply-add as two; of the routed experts those that a token visits. */
function forwardFlop(c: ArchConfig, tokens: number): ForwardFlop {
  const { layers, hidden, heads, moe, mla } = c;
  const qkDim = c.headDim;
  const valueDim = mla === null ? c.headDim : mla.valueHeadDim;
  const projections =
    mla === null
      ? 2 * hidden * c.headDim * (heads + c.kvHeads)
      : (mla.qLoraRank > 0
          ? hidden * mla.qLoraRank + mla.qLoraRank * heads * qkDim
          : hidden * heads * qkDim) +
        hidden * (mla.kvLoraRank + mla.ropeHeadDim) +
        mla.kvLoraRank * heads * (mla.nopeHeadDim + valueDim) +
        heads * valueDim * hidden;
  const matrices = c.gatedFfn ? 3 : 2;
  const dense = matrices * hidden * c.ffn;
  const routed =
    moe === null ? 0 : hidden * moe.experts + (moe.topk + moe.sharedExperts) * 3 * hidden * moe.expertFfn;
  const denseLayers = moe === null ? layers : moe.denseLayers;
  const weights = layers * projections + denseLayers * dense + (layers - denseLayers) * routed;
  return {
    products: 2 * tokens * weights,
    attention: 2 * layers * tokens * tokens * heads * (qkDim + valueDim),
    head: 2 * tokens * hidden * c.vocab,
  };
}
