/**
 * Price of one layer under its strategy, for one microbatch on one rank: fills one column of `ClassCosts`.
 */
import type { ClassCosts, Phase, ShardKey } from '../cost/types.js';
import { cacheBytes, countActivations } from './activations.js';
import { priceContext } from './context.js';
import type { ExpertTraffic } from './experts.js';
import type { KernelClock } from './kernels.js';
import { expertFactor } from './options.js';
import type { RankScale } from './scale.js';
import { tensorBytes, touchedBytes, workScale } from './scale.js';
import type { LayerStrategy } from './solve.js';
import { countKernel, countTensorParallel } from './tally.js';
import type { Pricing } from './pricing.js';

/** Fills row `strategy.layer.classId` of every column but `cutBytes`. */
export function priceLayer(
  costs: ClassCosts,
  strategy: LayerStrategy,
  traffic: ExpertTraffic,
  key: ShardKey,
  scale: RankScale,
  clock: KernelClock,
  phase: Phase,
): void {
  const c = strategy.layer.classId;
  const pricing: Pricing = { costs, c, strategy, traffic, key, scale, clock, trains: phase === 'train' };
  priceKernels(pricing);
  priceCollectives(pricing);
  priceHost(pricing);
  priceContext(pricing);
  priceExperts(pricing);
  countParameters(pricing);
  countActivations(pricing);
  if (!pricing.trains) costs.cacheBytes[c] = cacheBytes(strategy, scale);
}

function priceKernels({ costs, c, strategy, scale, clock, trains }: Pricing): void {
  const { layer, options } = strategy;
  layer.blocks.forEach((block, b) => {
    const option = options[b];
    const sec = clock.blockSec(layer, block, option, scale);
    const work = workScale(block, option, scale);
    const bytes = touchedBytes(layer, block, option, scale);
    costs.forwardSec[c] += sec.forward;
    costs.forwardFlop[c] += block.source.flop * work;
    costs.memoryTrafficBytes[c] += bytes;
    costs.tpForwardSec[c] += sec.statistics;
    const backward = trains ? sec.backwardInput + sec.backwardWeight : 0;
    const flop = block.source.flop + (trains ? block.source.gradInputFlop + block.source.gradWeightFlop : 0);
    const rate = clock.matrixFlopPerSec(layer, block);
    if (rate > 0) costs.matrixSec[c] += Math.min(sec.forward + backward, (flop * work) / rate);
    countKernel(costs, c, block.isLoss ? 'loss' : block.source.kind, sec.forward + backward);
    countTensorParallel(costs, c, 'allReduce', (trains ? 2 : 1) * sec.statistics);
    if (!trains) return;
    costs.backwardInputSec[c] += sec.backwardInput;
    costs.backwardWeightSec[c] += sec.backwardWeight;
    costs.tpBackwardSec[c] += sec.statistics;
    costs.backwardFlop[c] += (block.source.gradInputFlop + block.source.gradWeightFlop) * work;
    costs.memoryTrafficBytes[c] += 2 * bytes;
  });
}

/** The host feeds kernels one after the other: a layer on the device is not over before its last one was launched. */
function priceHost({ costs, c, strategy, traffic, clock, trains }: Pricing): void {
  const launched = strategy.layer.blocks.reduce((n, b) => n + (b.source.touchedElements > 0 ? 1 : 0), 0);
  const { hostSecPerBlock, hostSecPerCollective, hostSecPerExpertLayer } = clock.stack;
  const passes = strategy.collectives.reduce((n, { pass }) => n + (pass === 'forward' ? 1 : 0), 0);
  const hostSec =
    hostSecPerBlock * launched +
    hostSecPerCollective * passes +
    (traffic.experts > 1 ? hostSecPerExpertLayer : 0);
  const forward = costs.forwardSec[c] + costs.tpForwardSec[c];
  costs.forwardSec[c] += Math.max(0, hostSec - forward);
  countKernel(costs, c, 'launch', Math.max(0, hostSec - forward));
  if (!trains) return;
  const backward = costs.backwardInputSec[c] + costs.backwardWeightSec[c] + costs.tpBackwardSec[c];
  costs.backwardInputSec[c] += Math.max(0, hostSec - backward);
  countKernel(costs, c, 'launch', Math.max(0, hostSec - backward));
}

function priceCollectives({ costs, c, strategy, scale, clock, trains }: Pricing): void {
  for (const { tensor, kind, pass } of strategy.collectives) {
    if (pass === 'backward' && !trains) continue;
    const bytes = tensorBytes(strategy.layer.tensors[tensor], scale);
    const sec = clock.tensorParallelSec(kind, bytes);
    if (pass === 'forward') costs.tpForwardSec[c] += sec;
    else costs.tpBackwardSec[c] += sec;
    countTensorParallel(costs, c, kind, sec);
    costs.networkBytes[c] += (kind === 'allReduce' ? 2 : 1) * bytes * (1 - 1 / strategy.degree);
  }
}

function priceExperts({ costs, c, strategy, traffic, key, scale, trains, clock }: Pricing): void {
  if (key.ep === 1 || traffic.experts === 1) return;
  // One copy of every token: the residual stream that leaves the layer.
  const tokens = strategy.layer.tensors.reduce(
    (most, t) => (t.leaves && t.perSample && t.carriesGradient ? Math.max(most, t.elements) : most),
    1,
  );
  for (const t of [...traffic.dispatched, ...traffic.combined]) {
    const whole = tensorBytes(strategy.layer.tensors[t], scale) / (key.etp < key.tp ? key.tp / key.etp : 1);
    const bytes = whole * clock.dispatchShare(strategy.layer.tensors[t].elements / tokens);
    const sec = clock.expertParallelSec(bytes);
    costs.epForwardSec[c] += sec;
    if (trains) costs.epBackwardSec[c] += sec;
    costs.networkBytes[c] += bytes * (1 - 1 / key.ep) * (trains ? 2 : 1);
  }
}

function countParameters({ costs, c, strategy, key }: Pricing): void {
  const { layer, options } = strategy;
  const counted = new Set<number>();
  for (const tensor of layer.tensors) {
    if (!tensor.isParameter || counted.has(tensor.storage)) continue;
    counted.add(tensor.storage);
    let shards = 1;
    let expert = false;
    for (const { block, slot } of tensor.consumers) {
      shards = Math.max(shards, options[block].inputSpecs[slot].shards);
      const reader = layer.blocks[block];
      const lookup = expertFactor(reader);
      if (lookup >= 0 && reader.inputDims[slot]?.some((d) => d.includes(lookup))) expert = true;
    }
    if (expert) costs.expertParameters[c] += tensor.elements / shards / key.ep;
    else costs.denseParameters[c] += tensor.elements / shards;
  }
}
