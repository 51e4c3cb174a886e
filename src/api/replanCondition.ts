/** What is wrong with the devices of a running job, as a user states it and as a log shows it. */
import type { Condition, ConditionedCluster, Slot } from '../cluster/condition.js';
import { HEALTHY } from '../cluster/condition.js';
import type { Plan } from '../plan/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { jobLayout } from '../validation/monitor/layout.js';
import type { JobLayout } from '../validation/monitor/layout.js';
import { readObserved } from '../validation/monitor/observed.js';
import type { ObservedLog } from '../validation/monitor/observed.js';

export interface StatedCondition {
  /** `host7,rank12,host3.2`: hosts, ranks of the running plan, devices of a host. */
  readonly failed?: string | undefined;
  /** `rank3=0.7,host2=0.9`: share of the nominal rate. */
  readonly slow?: string | undefined;
  /** `rail=0.5,host3.spine=0.25`: share of a link level's rate, everywhere or at one host. */
  readonly degraded?: string | undefined;
}

/** A device or link this much below its rate is worth a change. */
const WORTH_SHARE = 0.97;

/**
 * @param devices of the running ranks
 * @throws PartitionError usage naming the term
 */
export function conditionOf(
  { failed, slow, degraded }: StatedCondition,
  devices: readonly Slot[],
): Condition {
  return {
    failed: terms(failed).map((t) => deviceOf(t, devices, '--failed')),
    slow: terms(slow).map((t) => {
      const [name, factor] = ratioOf(t, '--slow');
      return { ...deviceOf(name, devices, '--slow'), factor };
    }),
    degraded: terms(degraded).map((t) => {
      const [name, factor] = ratioOf(t, '--degraded');
      const match = /^(?:host(\d+)\.)?(.+)$/.exec(name)!;
      return { level: match[2], host: match[1] === undefined ? null : Number(match[1]), factor };
    }),
  };
}

function terms(text: string | undefined): string[] {
  if (text === undefined) return [];
  return text
    .split(',')
    .map((t) => t.trim())
    .filter((t) => t !== '');
}

function ratioOf(term: string, flag: string): [string, number] {
  const at = term.lastIndexOf('=');
  const factor = Number(term.slice(at + 1));
  if (at < 1 || !(factor >= 0.01 && factor <= 1))
    throw new PartitionError(
      'usage',
      `expected name=share with a share from 0.01 to 1, found ${oneLine(term, 60)}`,
      flag,
      'for example rank3=0.7',
    );
  return [term.slice(0, at), factor];
}

function deviceOf(
  name: string,
  devices: readonly Slot[],
  flag: string,
): { host: number; device: number | null } {
  const rank = /^rank(\d+)$/.exec(name);
  if (rank !== null) {
    const at = Number(rank[1]);
    if (at >= devices.length)
      throw new PartitionError('usage', `${name}: the plan has ranks 0 to ${devices.length - 1}`, flag);
    return devices[at];
  }
  const host = /^host(\d+)(?:\.(\d+))?$/.exec(name);
  if (host === null)
    throw new PartitionError('usage', `expected host7, host7.3 or rank12, found ${oneLine(name, 60)}`, flag);
  return { host: Number(host[1]), device: host[2] === undefined ? null : Number(host[2]) };
}

export interface ObservedCondition {
  readonly condition: Condition;
  /** Of the cluster while the log was written: what failed since is not in it. */
  readonly during: Condition;
  /** Null without a log. */
  readonly log: { readonly observed: ObservedLog; readonly layout: JobLayout } | null;
  /** What was read into the log, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * The stated condition with what a log shows beside it: slow ranks and hosts, degraded levels. What is stated counts more.
 *
 * @throws PartitionError input when the log is of another plan or holds nothing
 */
export function observedCondition(
  log: string | undefined,
  plan: Plan,
  before: ConditionedCluster,
  earlier: Condition | undefined,
  stated: Condition,
): ObservedCondition {
  const known = earlier ?? HEALTHY;
  const all: Condition = {
    failed: [...known.failed, ...stated.failed],
    slow: [...known.slow, ...stated.slow],
    degraded: [...known.degraded, ...stated.degraded],
    ...(known.rates === undefined ? {} : { rates: known.rates }),
  };
  if (log === undefined) return { condition: all, during: known, log: null, notes: [] };
  const layout = jobLayout(plan, before.cluster);
  const observed = readObserved(log, layout);
  const notes: string[] = skipped(observed);
  const slow = [...all.slow];
  const told = new Set<number>(all.slow.map((s) => s.host));
  const percent = (ratio: number): string => `${(100 * ratio).toFixed(0)} %`;
  for (const { rank, speedRatio } of observed.ranks) {
    const at = before.devices[rank];
    if (speedRatio >= WORTH_SHARE || told.has(at.host)) continue;
    slow.push({ ...at, factor: Math.max(0.01, speedRatio) });
    notes.push(`rank${rank} (host${at.host}) runs at ${percent(speedRatio)} of the others' rate`);
  }
  const hostIds = [...new Set(before.devices.map((d) => d.host))];
  const byRank = new Set(slow.map((s) => s.host));
  for (const { host, name, speedRatio, silent } of observed.hosts) {
    const id = hostIds[host];
    if (silent) notes.push(`${name} has stopped to report: --failed host${id} if it is gone`);
    if (speedRatio >= WORTH_SHARE || byRank.has(id)) continue;
    slow.push({ host: id, device: null, factor: Math.max(0.01, speedRatio) });
    notes.push(`${name} runs at ${percent(speedRatio)} of the others' rate`);
  }
  const degraded = [...all.degraded];
  const levels = new Set(before.cluster.levels.map((l) => l.name));
  for (const { level, bandwidthRatio } of observed.levels) {
    if (level === null || !levels.has(level) || bandwidthRatio >= WORTH_SHARE) continue;
    if (degraded.some((d) => d.level === level)) continue;
    degraded.push({ level, host: null, factor: Math.max(0.01, bandwidthRatio) });
    notes.push(`level ${level} moves ${percent(bandwidthRatio)} of the bytes a second that it did`);
  }
  const ratio = observed.stepTime?.ratioToPlan ?? null;
  if (ratio !== null) notes.push(`steps take ${ratio.toFixed(3)} times what the plan foretells`);
  const condition: Condition = { ...all, slow, degraded };
  return { condition, during: { ...condition, failed: known.failed }, log: { observed, layout }, notes };
}

/** What of a log was not used, one sentence each. */
function skipped({ faults, strangers }: ObservedLog): string[] {
  const said = Object.entries(faults).map(
    ([fault, count]) => `${count} ${count === 1 ? 'record is' : 'records are'} skipped: ${fault}`,
  );
  if (strangers.length > 0) said.push(`hosts that are none of the plan's: ${strangers.join(', ')}`);
  return said;
}
