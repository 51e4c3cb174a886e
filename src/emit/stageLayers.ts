/**
 * Layers of a plan's stages. A layer is what begins with a segment that holds attention and runs to the next such segment;
 * what stands before the first is the embedding, and the segments behind the last layer that hold no part of it are the head:
 *
 *     segments   [embed] [layer 0] [layer 1] [layer 2] [norm, logits, loss]        stages  [0..2) [2..5)
 *     layers              0         1         2                                    layers  [0..1) [1..3)
 */
import type { Segmentation } from '../graph/types.js';
import type { Plan } from '../plan/types.js';

export interface StageLayers {
  readonly layers: number;
  /** Segment at which every layer begins, and where the head begins at the end. */
  readonly layerSegment: readonly number[];
  /** First layer of every virtual stage, and `layers` at the end. */
  readonly firstLayer: readonly number[];
  /** Virtual stages that begin inside a layer or inside the embedding. */
  readonly cutInside: readonly number[];
}

/**
 * Without the model, a chain of two segments more than layers is taken for embedding, layers and head.
 *
 * @returns null where there are no layers to speak of
 */
export function stageLayers(plan: Plan, segmentation: Segmentation | null): StageLayers | null {
  const layerSegment = segmentation === null ? plainSegments(plan) : attentionSegments(segmentation);
  if (layerSegment.length === 0) return null;
  const layers = layerSegment.length;
  const stages = [...plan.stages].sort((a, b) => a.virtualStage - b.virtualStage);
  const head = headSegment(lastSegment(plan), layerSegment);
  const cutInside: number[] = [];
  const firstLayer = stages.map(({ firstSegment }, v) => {
    const next = layerSegment.findIndex((s) => s >= firstSegment);
    const inEmbedding = firstSegment > 0 && firstSegment < layerSegment[0];
    if (v > 0 && (inEmbedding || (layerSegment[next] !== firstSegment && firstSegment < head)))
      cutInside.push(v);
    return v === 0 ? 0 : next < 0 ? layers : next;
  });
  return { layers, layerSegment: [...layerSegment, head], firstLayer: [...firstLayer, layers], cutInside };
}

export function attentionSegments({ segmentCount, blockStart, blocks }: Segmentation): number[] {
  const found: number[] = [];
  for (let s = 0; s < segmentCount; s++)
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++)
      if (blocks[b].kind === 'attention') {
        found.push(s);
        break;
      }
  return found;
}

/** The last layer is as many segments long as the one before it; the head follows. */
function headSegment(segmentCount: number, layerSegment: readonly number[]): number {
  const last = layerSegment.length - 1;
  const length = last > 0 ? layerSegment[last] - layerSegment[last - 1] : 1;
  return Math.min(layerSegment[last] + length, segmentCount);
}

function plainSegments(plan: Plan): number[] {
  const { layers } = plan.model;
  return lastSegment(plan) === layers + 2 ? Array.from({ length: layers }, (_, l) => l + 1) : [];
}

function lastSegment(plan: Plan): number {
  return plan.stages.reduce((last, stage) => Math.max(last, stage.lastSegment), 0);
}

/** Layers of every virtual stage. */
export function layerCounts({ firstLayer }: StageLayers): number[] {
  return firstLayer.slice(1).map((end, v) => end - firstLayer[v]);
}
