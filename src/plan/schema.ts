/** The shape of plan.json, version 1, field by field in the order in which it is written. */
import { CONTEXT_EXCHANGES } from '../parallel/context.js';
import { SCHEDULES } from '../parallel/schedule.js';
import {
  array,
  choice,
  flag,
  fraction,
  integer,
  jsonSchema,
  nullable,
  object,
  optional,
  quantity,
  text,
} from './shape.js';
import type { Shape } from './shape.js';
import { CLOCKED_WORK } from './types.js';

const degrees = object({
  dp: integer(1, 'Data-parallel replicas in all: dpReplicate * dpShard.'),
  dpReplicate: integer(1, 'Copies of the sharded model; only gradients travel between them.'),
  dpShard: integer(1, 'Data-parallel ranks over which ZeRO shards.'),
  tp: integer(1, 'Tensor parallelism.'),
  pp: integer(1, 'Pipeline ranks.'),
  vpp: integer(1, 'Virtual stages per pipeline rank.'),
  cp: integer(1, 'Context (sequence) parallelism.'),
  ep: integer(1, 'Expert parallelism.'),
  etp: integer(1, 'Tensor parallelism inside an expert.'),
});

const axis = (names: readonly string[]): Shape =>
  object({ name: choice(names), size: integer(1), stride: integer(1) });

const breakdown = object(
  {
    computeSec: quantity(),
    recomputeSec: quantity(),
    tensorParallelSec: quantity(),
    contextParallelSec: quantity(),
    expertParallelSec: quantity(),
    pipelineTransferSec: quantity(),
    bubbleSec: quantity('Waiting for other stages.'),
    dataParallelExposedSec: quantity('Gradient reduction and parameter gathers that no compute hides.'),
    optimizerSec: quantity(),
    overheadSec: quantity('Host time that no device work hides.'),
  },
  'Where the step goes on the critical pipeline rank; the parts add up to stepTimeSec.',
);

const memory = object(
  {
    parameterBytes: quantity(),
    gradientBytes: quantity(),
    optimizerBytes: quantity(),
    activationBytes: quantity('Saved activations of the microbatches in flight.'),
    transientBytes: quantity('Short-lived working set: logits, gathered parameters, messages.'),
    cacheBytes: quantity('KV cache (inference).'),
    reservedBytes: quantity('Runtime, communicators, fragmentation.'),
    totalBytes: quantity(),
  },
  'Peak of one device; the parts add up to totalBytes.',
);

const wrongHost = integer(0, 'As the cluster counts its hosts when nothing is wrong.');
const wrongDevice = nullable(integer(0), 'Of the host; null: all of them.');
const rateShare = fraction('Of the nominal rate.');

const condition = object(
  {
    devices: integer(1, 'Of the cluster when nothing is wrong.'),
    failed: array(object({ host: wrongHost, device: wrongDevice }), 'Devices that are gone.'),
    slow: array(
      object({ host: wrongHost, device: wrongDevice, factor: rateShare }),
      'Devices below their rate.',
    ),
    degraded: array(
      object({
        level: text('Of the network.'),
        host: nullable(integer(0), 'Null: at all hosts.'),
        factor: rateShare,
      }),
      'Links below their rate.',
    ),
    rates: optional(
      object(
        { compute: quantity('Of every device.'), communication: quantity('Of every link.') },
        'Over the described rates, as the job was observed to run; absent: as described.',
      ),
    ),
  },
  'What was wrong with the cluster when the plan was made; absent: nothing.',
);

export const PLAN_SHAPE: Shape = object({
  schemaVersion: choice([1]),
  model: object({
    name: text(),
    digest: text("SHA-256 of the graph's structure."),
    parameters: integer(0),
    layers: integer(0, 'Repeated layers found; 0 when nothing repeats.'),
  }),
  cluster: object({
    name: text(),
    devices: integer(1),
    digest: text('SHA-256 of the cluster as priced.'),
    condition: optional(condition),
  }),
  phase: choice(['train', 'inference']),
  precision: choice(['fp32', 'tf32', 'fp16', 'bf16', 'fp8', 'fp4']),
  stack: text('Stack profile that it was priced with.'),
  calibration: optional(
    object(
      { name: text(), digest: text('SHA-256 of the numbers that it changes.') },
      'Measured numbers that it was priced with; absent: the presets alone.',
    ),
  ),
  objective: text(),
  sequenceLength: integer(1),
  globalBatch: integer(1, 'Sequences per step.'),
  microbatch: integer(1, 'Sequences per microbatch of one replica.'),
  microbatches: integer(1, 'Microbatches per step of one replica.'),
  degrees,
  mesh: object({
    axes: array(
      axis(['tp', 'cp', 'dpShard', 'dpReplicate', 'pp']),
      'Innermost first: rank = sum of coordinate * stride.',
    ),
    expertAxes: array(
      axis(['etp', 'ep', 'edp']),
      'Over the ranks of one stage, numbered from 0 along tp, cp, dpShard, dpReplicate.',
    ),
    rankToDevice: nullable(array(integer(0)), 'Device of each rank where that is not the rank itself.'),
  }),
  zeroStage: choice([0, 1, 2, 3]),
  schedule: choice(SCHEDULES),
  contextExchange: optional(
    choice(
      CONTEXT_EXCHANGES,
      'How context-parallel ranks see the whole sequence; stated where cp is above 1.',
    ),
  ),
  sequenceParallel: optional(
    flag(
      'Whether activations between tensor-parallel blocks are split along the sequence; stated where tp is above 1.',
    ),
  ),
  leanness: optional(
    integer(
      -16,
      "Which of the mesh's shardings: each above 0 keeps fewer activations and takes longer, each below 0 is faster and keeps more; absent: 0, the usual one.",
    ),
  ),
  stages: array(
    object({
      virtualStage: integer(0),
      pipelineRank: integer(0, 'virtualStage modulo pp.'),
      firstSegment: integer(0),
      lastSegment: integer(0, 'Exclusive.'),
      ops: array(text(), 'Node names as in the model; #<index> where a node has no name of its own.'),
    }),
  ),
  classes: array(
    object({
      id: integer(0),
      segments: integer(0, 'Segments of this class.'),
      recompute: choice(['none', 'selective', 'full']),
      strategy: text("How the class's operators are split."),
    }),
  ),
  shardings: array(
    object({
      tensor: text('As in the model.'),
      role: choice(['parameter', 'activation', 'input', 'output']),
      shape: array(integer(0), 'Whole tensor, as in the model.'),
      dims: array(
        array(choice(['dp', 'cp', 'tp', 'ep', 'etp'])),
        'Per dimension the mesh axes that split it, major to minor.',
      ),
      blocks: optional(
        array(integer(1), 'Per dimension, equal blocks that are each split on their own; absent: all 1.'),
      ),
      copies: optional(
        array(integer(1), 'Per dimension, ranks of its axes that hold the same part; absent: all 1.'),
      ),
    }),
  ),
  prediction: object({
    stepTimeSec: quantity(),
    breakdown,
    tokensPerSec: quantity(),
    mfu: fraction('Model FLOP utilisation: no recomputation counted.'),
    hfu: fraction('Hardware FLOP utilisation: recomputation counted.'),
    modelFlopPerStep: quantity(),
    flopConvention: choice(['causal', 'full']),
    memoryPerRank: array(memory, 'Per pipeline rank.'),
    peakMemoryBytes: quantity('Of the rank with the least room.'),
    memoryCapacityBytes: quantity('Of that rank.'),
    energyJoulesPerStep: quantity('Of the whole job at the meter of the site.'),
    costPerStep: nullable(quantity(), 'US dollars; null where the cluster has no price.'),
    perTrillionTokens: optional(
      object(
        { kwh: quantity(), carbonKg: quantity('CO2e.'), priceUsd: nullable(quantity()) },
        'At the meter of the site; absent where the model reads no tokens.',
      ),
    ),
  }),
  frequency: optional(
    object(
      {
        stepTimeSec: quantity('Of a step under these clocks.'),
        energyJoulesPerStep: quantity('Of the whole job at the meter of the site.'),
        fullStepTimeSec: quantity('At full clock.'),
        fullEnergyJoulesPerStep: quantity('At full clock.'),
        tasks: array(
          object({
            virtualStage: integer(0),
            work: choice(CLOCKED_WORK, 'weight: gradients of weights, where zb-h1 parts them.'),
            runs: array(
              object({
                microbatches: integer(1, 'Microbatches in a row, the first run from microbatch 0.'),
                clockShare: fraction('Of the full clock of the matrix units.'),
                capWatt: quantity('Power cap of a device that keeps that clock.'),
              }),
            ),
          }),
          'Every kind of task of every virtual stage.',
        ),
      },
      'Clocks by task; absent: everything at full clock.',
    ),
  ),
  robust: optional(
    object(
      {
        slowerShare: fraction('Of the draws that may be slower than the step time minimised.'),
        draws: integer(1, 'Worlds that the search minimised over.'),
        noise: object(
          {
            device: quantity("Of devices' speeds."),
            compute: quantity('Of kernels of the matrix units.'),
            memory: quantity('Of kernels bound by memory.'),
            host: quantity('Of launches and other host time.'),
            domain: quantity('Of traffic inside the innermost network level.'),
            network: quantity('Of traffic on each level beyond.'),
          },
          'Standard deviations of logarithms of times.',
        ),
        freshDraws: integer(1, 'Worlds that the search never saw.'),
        stepTimeSec: quantity('The quantile on fresh draws.'),
        searchedStepTimeSec: quantity('The quantile on the draws searched over.'),
        lowSec: quantity('As many fresh draws are faster as are slower than stepTimeSec.'),
        medianSec: quantity('Of the fresh draws.'),
        slowestSec: quantity('Of the fresh draws.'),
        searchedBoundSec: quantity('No plan of the space is below it on the draws searched over.'),
        optimalInDraws: flag('Whether the whole space was enumerated for searchedStepTimeSec.'),
      },
      'A quantile of the step time over draws was minimised; absent: the nominal step time was. The prediction is always nominal.',
    ),
  ),
  lowerBoundSec: quantity('Holds for every plan of the stated space on these devices.'),
  planBoundSec: quantity("Holds for this plan's degrees."),
  optimalInSpace: flag('True only when the whole space was enumerated.'),
  space: text('The space searched.'),
  foundBy: object({ method: text(), member: text(), seed: integer(0), evaluations: integer(0) }),
  warnings: array(text()),
});

/** The published schema (src/data/schemas/plan.schema.json). */
export function planJsonSchema(): Record<string, unknown> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'plan.json, schema version 1',
    ...jsonSchema(PLAN_SHAPE),
  };
}
