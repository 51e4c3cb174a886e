/** What several targets ask of an input before they write. */
import type { Precision } from '../cost/types.js';
import { layerRecompute } from './recompute.js';
import type { LayerRecompute } from './recompute.js';
import { modelShape } from './shape.js';
import type { ModelShape } from './shape.js';
import { stageLayers } from './stageLayers.js';
import type { StageLayers } from './stageLayers.js';
import type { Notes } from './notes.js';
import type { EmitInput, EmitModel } from './types.js';
import type { Plan } from '../plan/types.js';

const shapes = new WeakMap<EmitModel, ModelShape | null>();

/** The model's sizes; null without a model, or where nothing attends. */
export function shapeOf({ model }: EmitInput): ModelShape | null {
  if (model === null) return null;
  let shape = shapes.get(model);
  if (shape === undefined) {
    shape = modelShape(model.graph, model.segmentation);
    shapes.set(model, shape);
  }
  return shape;
}

export function layersOf({ plan, model }: EmitInput): StageLayers | null {
  return stageLayers(plan, model?.segmentation ?? null);
}

export function recomputeOf(input: EmitInput): LayerRecompute {
  return layerRecompute(input.plan, input.model?.segmentation ?? null, layersOf(input));
}

/** Plans of old name the layout between layers in words only. */
export function isSequenceParallel({ degrees, sequenceParallel, classes }: Plan): boolean {
  return degrees.tp > 1 && (sequenceParallel ?? classes.some((c) => c.strategy.startsWith('sequence;')));
}

/** Maker of the accelerators, `nvidia`, `amd`, `google`, `aws`; null where the cluster is not known. */
export function vendorOf({ cluster }: EmitInput): string | null {
  const vendor = cluster?.groups[0].device.vendor ?? null;
  return vendor === 'amazon' ? 'aws' : vendor;
}

/** Notes that every launcher of training has in common. */
export function noteTraining(input: EmitInput, notes: Notes, tool: string, vendors: readonly string[]): void {
  const { plan } = input;
  if (plan.phase !== 'train')
    notes.blocks(
      'phase inference',
      `${tool} trains; these files describe a training job of the same degrees`,
    );
  const vendor = vendorOf(input);
  if (vendor !== null && !vendors.includes(vendor))
    notes.blocks(`cluster ${plan.cluster.name}`, `${tool} runs on accelerators of ${vendors.join(' and ')}`);
  noteFrequency(plan, notes);
}

/** Clocks by task are for the run time to set, not for a launcher. */
export function noteFrequency(plan: Plan, notes: Notes): void {
  if (plan.frequency !== undefined)
    notes.differs('clocks by task', 'everything runs at full clock; see frequency in plan.json');
}

/** Where ranks stand is the scheduler's to say. */
export function noteRankMap(plan: Plan, notes: Notes): void {
  if (plan.mesh.rankToDevice !== null)
    notes.differs(
      'an irregular map of ranks to devices',
      'ranks are dealt to hosts in order; start it from the files of --target slurm or rankfile',
    );
}

/** The tensor format that weights and activations have in 16-bit training, or fp32. */
export function baseType(precision: Precision): 'fp32' | 'fp16' | 'bf16' {
  return precision === 'fp32' || precision === 'tf32' ? 'fp32' : precision === 'fp16' ? 'fp16' : 'bf16';
}

/** Stages that begin inside a layer, for tools that cut between layers only. */
export function noteCuts(layers: StageLayers | null, notes: Notes): void {
  if (layers === null || layers.cutInside.length === 0) return;
  notes.differs(
    `virtual stage${layers.cutInside.length > 1 ? 's' : ''} ${layers.cutInside.join(', ')} cut inside a layer or the embedding`,
    'stages are cut between layers, at the next one',
  );
}
