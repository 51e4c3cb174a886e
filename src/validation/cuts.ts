/** Where launchers cut the layers into pipeline stages. */
import { CellFault } from './row.js';

/**
 * First segment of every virtual stage. The chain begins with the embedding and ends with the head. Layers are shared out
 * evenly, embedding and head beside the first and last; where that leaves a remainder and counting both as layers does not,
 * they count as layers (Megatron-Core's `account_for_embedding_in_pipeline_split`); else the stages differ by one segment,
 * the middle ones being the larger.
 *
 * @param segments of the chain, embedding and head included
 * @throws CellFault when there are more stages than layers
 */
export function launcherCuts(segments: number, stages: number): Int32Array {
  const layers = segments - 2;
  if (stages > segments)
    throw new CellFault(
      'pp',
      `pp * vpp = ${stages} stages are more than the ${segments} layers, embedding and head included`,
    );
  const start = new Int32Array(stages + 1);
  start[stages] = segments;
  if (layers % stages === 0 && layers > 0) {
    for (let v = 1; v < stages; v++) start[v] = 1 + (v * layers) / stages;
    return start;
  }
  const least = Math.floor(segments / stages);
  const extra = segments - least * stages;
  const first = Math.floor((stages - extra) / 2);
  for (let v = 0; v + 1 < stages; v++)
    start[v + 1] = start[v] + least + (v >= first && v < first + extra ? 1 : 0);
  return start;
}
