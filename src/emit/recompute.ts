/** What is recomputed, by layer: plans say it by class of segments, launchers by layer of a stage. */
import type { Segmentation } from '../graph/types.js';
import type { Recompute } from '../parallel/recompute.js';
import type { Plan } from '../plan/types.js';
import { layerCounts } from './stageLayers.js';
import type { StageLayers } from './stageLayers.js';

export interface LayerRecompute {
  /** Of most layers. */
  readonly policy: Recompute;
  readonly isUniform: boolean;
  /** Layers of each pipeline rank that are recomputed in full. */
  readonly fullPerRank: readonly number[];
  /** Something outside the layers (embedding, head) is recomputed. */
  readonly outside: boolean;
}

export function layerRecompute(
  plan: Plan,
  segmentation: Segmentation | null,
  layers: StageLayers | null,
): LayerRecompute {
  const policies = segmentation === null || layers === null ? null : policiesOf(plan, segmentation, layers);
  const weights = new Map<Recompute, number>();
  if (policies === null)
    for (const { recompute, segments } of plan.classes)
      weights.set(recompute, (weights.get(recompute) ?? 0) + segments);
  else for (const policy of policies.layer) weights.set(policy, (weights.get(policy) ?? 0) + 1);
  const [policy] = [...weights].reduce<[Recompute, number]>(
    (best, w) => (w[1] > best[1] ? w : best),
    ['none', 0],
  );
  const { pp } = plan.degrees;
  const fullPerRank = new Array<number>(pp).fill(0);
  if (layers !== null)
    layerCounts(layers).forEach((count, v) => {
      for (let l = layers.firstLayer[v]; l < layers.firstLayer[v] + count; l++)
        if ((policies === null ? policy : policies.layer[l]) === 'full') fullPerRank[v % pp]++;
    });
  // Without the model, classes of one segment may be the embedding and the head.
  const isUniform =
    policies === null
      ? plan.classes.every((c) => c.segments === 1 || c.recompute === policy)
      : weights.size <= 1;
  return { policy, isUniform, fullPerRank, outside: policies?.outside ?? false };
}

function policiesOf(
  plan: Plan,
  segmentation: Segmentation,
  { layerSegment, layers }: StageLayers,
): { layer: Recompute[]; outside: boolean } {
  const byClass = new Map(plan.classes.map((c) => [c.id, c.recompute]));
  const of = (segment: number): Recompute => byClass.get(segmentation.segmentClass[segment]) ?? 'none';
  let outside = false;
  for (let s = 0; s < segmentation.segmentCount; s++)
    if ((s < layerSegment[0] || s >= layerSegment[layers]) && of(s) !== 'none') outside = true;
  return { layer: Array.from({ length: layers }, (_, l) => of(layerSegment[l])), outside };
}
