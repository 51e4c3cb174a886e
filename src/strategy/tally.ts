/** Splits of a layer's seconds that only explanations read. The caller adds to the sums that prices are made of. */
import { KERNEL_KINDS, TP_KINDS } from '../cost/types.js';
import type { ClassCosts, KernelKind, TpKind } from '../cost/types.js';

/** Adds seconds of a class to what kernels of that kind take. */
export function countKernel(costs: ClassCosts, classId: number, kind: KernelKind, sec: number): void {
  costs.kernelSec[KERNEL_KINDS.indexOf(kind)][classId] += sec;
}

/** Adds seconds of a class to what tensor-parallel collectives of that kind take. */
export function countTensorParallel(costs: ClassCosts, classId: number, kind: TpKind, sec: number): void {
  costs.tpKindSec[TP_KINDS.indexOf(kind)][classId] += sec;
}
