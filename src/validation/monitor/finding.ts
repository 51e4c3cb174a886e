/** What the monitor found: one line of findings.jsonl; monitor-finding.schema.json publishes it. */
import { formatBytes, formatPercent, formatSeconds } from '../../util/format.js';

export const FINDING_KINDS = [
  'drift',
  'silent',
  'back',
  'restart',
  'pause',
  'prediction',
  'memory',
  'clock',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];
export type Quantity = 'step time' | 'compute' | 'communication' | 'power' | 'memory' | 'reports' | 'clock';
export type Scope = 'job' | 'level' | 'host' | 'rank' | 'source';

export interface Finding {
  /** From 1, without gaps: what a reader has seen already it can pass over. */
  readonly number: number;
  readonly kind: FindingKind;
  readonly what: Quantity;
  readonly scope: Scope;
  readonly host: string | null;
  readonly rank: number | null;
  readonly level: string | null;
  /** Path or address. */
  readonly source: string | null;
  /** Step at which it was found, and from which on it holds. */
  readonly step: number;
  readonly sinceStep: number;
  /** Relative: 0.05 is 5 % more than before. */
  readonly change: number | null;
  /** In seconds, watts or bytes, as `what` says. */
  readonly before: number | null;
  readonly after: number | null;
  /** Number of the finding that explains this one. */
  readonly cause: number | null;
  readonly message: string;
}

export type Found = Partial<Finding> & Pick<Finding, 'kind' | 'what' | 'scope' | 'step'>;

/** A finding with everything stated, and its sentence. */
export function findingOf(number: number, found: Found, causeText: string | null): Finding {
  const whole = {
    host: null,
    rank: null,
    level: null,
    source: null,
    sinceStep: found.step,
    change: null,
    before: null,
    after: null,
    cause: null,
    ...found,
  };
  return {
    number,
    kind: whole.kind,
    what: whole.what,
    scope: whole.scope,
    host: whole.host,
    rank: whole.rank,
    level: whole.level,
    source: whole.source,
    step: whole.step,
    sinceStep: whole.sinceStep,
    change: whole.change,
    before: whole.before,
    after: whole.after,
    cause: whole.cause,
    message: whole.message ?? sentence(whole, causeText),
  };
}

/** `host3` or `rank 12 (host1)` or `level nic`. */
export function placeOf({
  scope,
  host,
  rank,
  level,
  source,
}: Pick<Finding, 'scope' | 'host' | 'rank' | 'level' | 'source'>): string {
  if (scope === 'rank') return host === null ? `rank ${rank}` : `rank ${rank} (${host})`;
  if (scope === 'host') return host ?? 'a host';
  if (scope === 'level') return level === null ? 'communication' : `link level ${level}`;
  if (scope === 'source') return source ?? 'a source';
  return 'the job';
}

function sentence(f: Omit<Finding, 'number' | 'message'>, causeText: string | null): string {
  const place = placeOf(f);
  const since = `since step ${f.sinceStep}`;
  if (f.kind === 'pause')
    return `no step for ${formatSeconds(f.after ?? NaN)} before step ${f.step}: the job paused, or its clock was set`;
  if (f.kind === 'silent') return `${place} says nothing any more, ${since}`;
  if (f.kind === 'back') return `${place} reports again`;
  if (f.kind === 'restart') return `the job went back to step ${f.sinceStep}`;
  const amount = f.change === null ? '' : ` by ${formatPercent(Math.abs(f.change))}`;
  const more = (f.change ?? 0) > 0;
  const levels =
    f.before === null || f.after === null
      ? ''
      : ` (${unitText(f.what, f.before)} -> ${unitText(f.what, f.after)})`;
  if (f.kind === 'prediction')
    return `steps take ${more ? 'longer' : 'less'} than the plan foretells${amount}${levels}`;
  if (f.kind === 'memory') return `${place} holds more memory than the plan foretells${amount}${levels}`;
  if (f.kind === 'clock') return `the clock of ${place} jumps`;
  const word =
    f.what === 'power'
      ? `draws ${more ? 'more' : 'less'} power`
      : f.what === 'communication'
        ? `takes ${more ? 'longer' : 'less time'}`
        : f.what === 'compute'
          ? `computes ${more ? 'more slowly' : 'faster'}`
          : `is ${more ? 'slower' : 'faster'}`;
  const everywhere = f.scope === 'job' && f.what === 'compute' ? ' on every host' : '';
  const cause = causeText === null ? '' : `, because of ${causeText}`;
  return `${place} ${word}${everywhere}${amount} ${since}${levels}${cause}`;
}

function unitText(what: Quantity, value: number): string {
  if (what === 'power') return `${value.toFixed(0)} W`;
  return what === 'memory' ? formatBytes(value) : formatSeconds(value);
}
