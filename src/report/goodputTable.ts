/** A job under failures, as people read it. */
import type { Goodput } from '../simulate/goodput.js';
import { formatPercent, formatSpan } from '../util/format.js';
import { formatEnd } from './riskTable.js';

/** What is infinite, as where nothing fails, is null. */
export type GoodputFacts = { readonly steps: number } & { readonly [K in keyof Goodput]: number | null };

/** Three lines for people. */
export function goodputText(f: GoodputFacts): string {
  const steps = `${f.steps} steps`;
  if (f.mtbfSec === null)
    return `goodput     ${formatPercent(f.goodput ?? 0)}: ${steps} in ${formatEnd(f.expectedSec)}; nothing fails`;
  const share = (timeSec: number | null): string =>
    timeSec === null || f.expectedSec === null ? '-' : formatPercent(timeSec / f.expectedSec);
  const ends = formatEnd(f.expectedSec);
  const failures = f.expectedFailures === null ? 'no end of' : f.expectedFailures.toPrecision(3);
  const often = `${failures} failures, one every ${formatSpan(f.mtbfSec)}`;
  return [
    `goodput     ${formatPercent(f.goodput ?? 0)}: ${steps} ${ends === 'never' ? 'are never done' : `in ${ends} expected`}, ${often}`,
    `checkpoint  ${f.intervalSec === null ? 'none pays' : `every ${formatSpan(f.intervalSec)}`} (Young's rule ${formatSpan(f.youngIntervalSec ?? Infinity)})`,
    `lost        checkpoints ${share(f.checkpointingSec)}, work done again ${share(f.lostSec)}, restarts ${share(f.restartingSec)}, waiting for repairs ${share(f.waitingSec)}`,
  ].join('\n');
}
