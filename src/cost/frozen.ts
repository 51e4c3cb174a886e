/**
 * Fine-tuning with a frozen base (LoRA, Hu et al. 2021): gradients flow through the whole model but only small adapters
 * learn, so that weight gradients, their reduction and optimizer state all but vanish. The adapters' own products are
 * left out: at rank 16 they are a thousandth of the work.
 */
import { KERNEL_KINDS } from './types.js';
import type { ClassCosts, CostProvider } from './types.js';

/**
 * The same layers with most of their parameters frozen, for times and energy. Bytes of frozen weights are not counted.
 *
 * @param trainableShare adapter parameters over all parameters
 */
export function frozenBase(costs: CostProvider, trainableShare: number): CostProvider {
  const known = new WeakMap<ClassCosts, ClassCosts>();
  return {
    ...(costs.leannesses === undefined ? {} : { leannesses: (degrees) => costs.leannesses!(degrees) }),
    costs(key): ClassCosts {
      const whole = costs.costs(key);
      let frozen = known.get(whole);
      if (frozen === undefined) known.set(whole, (frozen = freeze(whole, trainableShare)));
      return frozen;
    },
  };
}

function freeze(c: ClassCosts, share: number): ClassCosts {
  const trained = (column: Float64Array): Float64Array => column.map((value) => value * share);
  // Weight gradients are matrix products like the others: as much of their time is arithmetic.
  const dropped = c.backwardWeightSec.map((sec) => (1 - share) * sec);
  const left = c.forwardSec.map((sec, k) => {
    const all = sec + c.backwardInputSec[k] + c.backwardWeightSec[k];
    return all > 0 ? 1 - dropped[k] / all : 1;
  });
  return {
    ...c,
    backwardWeightSec: trained(c.backwardWeightSec),
    kernelSec: c.kernelSec.map((column, i) =>
      KERNEL_KINDS[i] === 'gemm' ? column.map((sec, k) => Math.max(0, sec - dropped[k])) : column,
    ),
    matrixSec: c.matrixSec.map((sec, k) => sec * left[k]),
    denseParameters: trained(c.denseParameters),
    expertParameters: trained(c.expertParameters),
  };
}
