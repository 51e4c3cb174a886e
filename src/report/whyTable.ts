/** The difference between two plans as people read it: one sentence, then term by term. */
import type { TrillionTokens } from '../cost/energy.js';
import type { PlanDegrees } from '../plan/types.js';
import { oneLine } from '../util/errors.js';
import { formatBytes, formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';
import { trillionText } from './explanationTable.js';

/** One of the two plans compared. */
export interface WhySide {
  readonly plan: string;
  readonly degrees: PlanDegrees;
  readonly cluster: string;
  readonly devices: number;
  readonly stack: string;
  readonly precision: string;
  readonly globalBatch: number;
  readonly stepTimeSec: number;
  readonly tokensPerSec: number;
  readonly mfu: number;
  readonly fits: boolean;
  readonly overflowBytes: number;
  readonly worstRank: number;
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
  /** The pipeline rank that ends last: the one that terms are of. */
  readonly criticalRank: number;
  readonly energyJoulesPerStep: number;
  readonly costPerStep: number | null;
  readonly perTrillionTokens: TrillionTokens | null;
}

export interface WhyTerm {
  readonly term: string;
  readonly label: string;
  readonly before: number;
  readonly after: number;
  readonly difference: number;
}

export interface WhyTimeTerm extends WhyTerm {
  readonly hiddenBefore: number;
  readonly hiddenAfter: number;
  /** Difference over the step before. */
  readonly share: number;
}

/** What `partition why --json` prints, less its sentence. Terms stand with the largest difference first. */
export interface WhyFacts {
  readonly plan: string;
  readonly model: string;
  readonly instead: string;
  readonly before: WhySide;
  readonly after: WhySide;
  /** Time of a sequence after over before, less one: above 0 = slower. */
  readonly slowdown: number;
  readonly time: readonly WhyTimeTerm[];
  readonly memory: readonly WhyTerm[];
  readonly energy: readonly WhyTerm[];
  readonly warnings: readonly string[];
}

/** Differences below this share of the step are not told. */
const LEAST_SHARE = 1e-3;

/** `tp=8 is 12.0 % slower (1.32 s a step instead of 1.18 s): +0.31 s exposed ...; it fits.` */
export function whySentence(f: WhyFacts): string {
  const { before, after, slowdown } = f;
  const size = Math.abs(slowdown);
  const verdict =
    size < 5e-4
      ? 'as fast'
      : `${(size * 100).toPrecision(size < 0.1 ? 2 : 3)} % ${slowdown > 0 ? 'slower' : 'faster'}`;
  const per = before.globalBatch === after.globalBatch ? '' : ' a sequence';
  const moved = f.time.filter(({ share }) => Math.abs(share) >= LEAST_SHARE).slice(0, 3);
  const reasons = moved.map(({ label, difference }) => `${signed(difference, formatSeconds)} ${label}`);
  const why = reasons.length === 0 ? 'no term differs' : reasons.join(', ');
  const fits = after.fits
    ? before.fits
      ? ''
      : '; it fits, which the plan does not'
    : `; it does NOT fit: ${formatBytes(after.overflowBytes)} over on stage ${after.worstRank}`;
  return `${oneLine(f.instead, 120)} is ${verdict}${per} (${formatSeconds(after.stepTimeSec)} a step instead of ${formatSeconds(before.stepTimeSec)}): ${why}${fits}.`;
}

export function whyTable(f: WhyFacts): string {
  const { before, after } = f;
  const step = before.stepTimeSec;
  return [
    whySentence(f),
    sides(before, after),
    differences(
      'where the time goes',
      f.time.filter((t) => Math.abs(t.share) >= LEAST_SHARE / 10),
      step,
      formatSeconds,
      ['step', before.stepTimeSec, after.stepTimeSec],
    ),
    differences(
      'memory of the fullest device',
      f.memory.filter((t) => Math.abs(t.difference) > LEAST_SHARE * before.peakMemoryBytes),
      before.peakMemoryBytes,
      formatBytes,
      ['all', before.peakMemoryBytes, after.peakMemoryBytes],
    ),
    differences(
      'energy of a step',
      f.energy.filter((t) => Math.abs(t.difference) > LEAST_SHARE * before.energyJoulesPerStep),
      before.energyJoulesPerStep,
      (joule) => formatSi(joule, 'J'),
      ['all', before.energyJoulesPerStep, after.energyJoulesPerStep],
    ),
  ].join('\n\n');
}

function sides(before: WhySide, after: WhySide): string {
  const row = (name: string, of: (s: WhySide) => string): string[] => [name, of(before), of(after)];
  const rows = [
    ['', 'the plan', 'instead'],
    row('plan', (s) => oneLine(s.plan, 120)),
    row(
      'devices',
      (s) => `${s.devices} of ${oneLine(s.cluster, 60)}, ${s.precision}, ${oneLine(s.stack, 40)}`,
    ),
    row('step time', (s) => `${formatSeconds(s.stepTimeSec)}, ${formatSi(s.tokensPerSec)} tokens/s`),
    row('MFU', (s) => formatPercent(s.mfu)),
    row(
      'memory',
      (s) =>
        `${formatBytes(s.peakMemoryBytes)} of ${formatBytes(s.memoryCapacityBytes)}: ${s.fits ? 'fits' : 'DOES NOT FIT'}`,
    ),
    row(
      'energy',
      (s) =>
        `${formatSi(s.energyJoulesPerStep, 'J')}${s.costPerStep === null ? '' : `, ${s.costPerStep.toPrecision(3)} USD`} a step`,
    ),
  ];
  if (before.perTrillionTokens !== null && after.perTrillionTokens !== null)
    rows.push(row('a trillion tokens', (s) => trillionText(s.perTrillionTokens!)));
  return formatTable(rows, 3);
}

/** @param whole what shares are of */
function differences(
  title: string,
  terms: readonly WhyTerm[],
  whole: number,
  format: (value: number) => string,
  [label, before, after]: [string, number, number],
): string {
  const line = (name: string, a: number, b: number): string[] => [
    name,
    a === 0 ? '-' : format(a),
    b === 0 ? '-' : format(b),
    a === b ? '-' : signed(b - a, format),
    `${b < a ? '-' : '+'}${formatPercent(Math.abs(b - a) / whole)}`,
  ];
  return formatTable([
    [title, 'before', 'after', 'difference', `of the ${label === 'step' ? 'step' : 'whole'}`],
    ...terms.map((t) => line(t.label, t.before, t.after)),
    line(label, before, after),
  ]);
}

function signed(value: number, format: (value: number) => string): string {
  return `${value < 0 ? '-' : '+'}${format(Math.abs(value))}`;
}
