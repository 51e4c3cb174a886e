/**
 * The honest yardstick: a predictor that knows only that devices of a kind reach a constant model FLOPs utilisation at a
 * precision, the median of the very rows it is judged on.
 */
import { median } from '../util/stats.js';
import type { Outcome } from './metrics.js';

/** Step time by constant MFU, seconds. */
export function constantMfu(outcomes: readonly Outcome[]): (o: Outcome) => number {
  const seen = new Map<string, number[]>();
  for (const o of outcomes) {
    const mfu = o.flopPerDevice / (o.measuredSec * o.peakFlopPerSec);
    const key = kindOf(o);
    const known = seen.get(key);
    if (known === undefined) seen.set(key, [mfu]);
    else known.push(mfu);
  }
  const constant = new Map([...seen].map(([key, values]) => [key, median(values)]));
  return (o) => o.flopPerDevice / (o.peakFlopPerSec * constant.get(kindOf(o))!);
}

function kindOf(o: Outcome): string {
  return `${o.device} ${o.precision}`;
}
