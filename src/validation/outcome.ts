/** A prediction as the figures of a validation see it. */
import type { Outcome } from './metrics.js';
import type { Prediction } from './predict.js';
import { stepTimeOf } from './predict.js';
import { groupOf } from './row.js';

export function outcomeOf(p: Prediction): Outcome {
  const { row, setting, base, modelFlop, candidate } = p.prepared;
  const { globalBatch } = setting;
  return {
    id: row.id,
    group: groupOf(row.id),
    stack: setting.stack,
    device: setting.preset,
    precision: setting.precision,
    metric: row.metric,
    measured: row.value,
    predicted: p.value,
    measuredSec: stepTimeOf(p.prepared, row.value),
    predictedSec: p.stepTimeSec,
    flopPerDevice: (modelFlop * globalBatch) / row.devices,
    peakFlopPerSec: base.cluster.groups[0].device.peakFlopPerSec[setting.precision],
    setup: JSON.stringify([
      groupOf(row.id),
      row.source,
      setting.stack,
      row.modelName,
      row.layers,
      row.hidden,
      row.hardware,
      row.devices,
      row.sequenceLength,
      row.precision,
      globalBatch,
      row.metric,
    ]),
    configuration: JSON.stringify([
      row.tp,
      row.pp,
      setting.vpp,
      row.cp,
      row.ep,
      setting.etp,
      setting.zeroStage,
      setting.microbatch,
      candidate.recompute[candidate.recompute.length >> 1],
      row.sequenceParallel,
    ]),
  };
}
