/**
 * The collectives of a layer one by one. They are overheard while the layer is priced, so that they are those of the
 * price and nothing else.
 */
import type { ClassCollective } from '../cost/traffic.js';
import type { TpKind } from '../cost/types.js';
import { invariant } from '../util/errors.js';
import { KernelClock } from './kernels.js';
import type { LayerStrategy } from './solve.js';

/** A clock that remembers what it was asked. */
export class OverhearingClock extends KernelClock {
  private heard: { axis: ClassCollective['axis']; kind: TpKind; bytes: number; timeSec: number }[] = [];

  override tensorParallelSec(kind: TpKind, bytes: number): number {
    return this.note('tp', kind, bytes, super.tensorParallelSec(kind, bytes));
  }

  override contextParallelSec(kind: 'allGather' | 'reduceScatter' | 'allToAll', bytes: number): number {
    return this.note('cp', kind, bytes, super.contextParallelSec(kind, bytes));
  }

  override expertParallelSec(bytes: number): number {
    return this.note('ep', 'allToAll', bytes, super.expertParallelSec(bytes));
  }

  private note(axis: ClassCollective['axis'], kind: TpKind, bytes: number, timeSec: number): number {
    this.heard.push({ axis, kind, bytes, timeSec });
    return timeSec;
  }

  /**
   * What was heard since the last call, while a layer was priced: the sums inside its kernels (both passes), then its
   * reshardings in their order; of what came after, gathers are of the backward pass and sums belong to recomputation,
   * which is not priced here. Of context and expert traffic only a reduction is of one pass alone.
   */
  collectives(
    { collectives, options, degree }: LayerStrategy,
    cp: number,
    trains: boolean,
  ): ClassCollective[] {
    const heard = this.heard;
    this.heard = [];
    const reshards = collectives.filter(({ pass }) => trains || pass === 'forward');
    const sums = options.filter((option) => option.splitsStatistics).length;
    const inTensor = heard.filter(({ axis }) => axis === 'tp').length;
    invariant(
      inTensor >= sums + reshards.length,
      `heard ${inTensor} tensor-parallel collectives of ${sums + reshards.length}`,
    );
    const found: ClassCollective[] = [];
    let t = 0;
    for (const { axis, kind, bytes, timeSec } of heard) {
      let forward = kind !== 'reduceScatter' || axis !== 'cp';
      let backward = trains;
      if (axis === 'tp') {
        const after = t - sums;
        t++;
        if (after >= reshards.length) {
          if (kind === 'allReduce') continue;
          forward = false;
        } else if (after >= 0) {
          forward = reshards[after].pass === 'forward';
          backward = !forward;
        }
      }
      if (bytes > 0)
        found.push({
          axis,
          kind,
          forward,
          backward,
          inputBytes: inputBytes(axis, kind, bytes, degree, cp),
          timeSec,
        });
    }
    return found;
  }
}

/** Clocks are told the size of the whole tensor, but of one rank's part where tokens or heads are exchanged. */
function inputBytes(
  axis: ClassCollective['axis'],
  kind: TpKind,
  bytes: number,
  tp: number,
  cp: number,
): number {
  if (kind === 'allGather') return bytes / (axis === 'tp' ? tp : cp);
  return kind === 'allToAll' && axis === 'tp' ? bytes / tp : bytes;
}
