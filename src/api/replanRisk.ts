/** A running job's chances to end in time and within a cost, going on as it is or changing its plan. */
import type { ReplanSide } from '../report/replanTable.js';
import type { RiskFacts } from '../report/riskTable.js';
import { parseMtbf } from './goodput.js';
import type { ReplanReply } from './replan.js';
import { parseRisk, ratiosOf, riskOf } from './risk.js';
import type { RiskFlags, RiskRequest, RiskSubject } from './risk.js';

/** Chances of both ways; null where the running plan cannot go on, or there is no other. */
export interface ReplanRisk {
  readonly keep: RiskFacts | null;
  readonly change: RiskFacts | null;
}

/** Without a deadline and a cost the quantiles are told all the same. */
const UNASKED: RiskRequest = { deadline: null, deadlineSec: null, start: null, maxCostUsd: null };

/**
 * The job from the decision on: standstill, the steps left, and what fails on the way. Where devices were observed their
 * steps are taken as certain.
 *
 * @returns null when nothing is said of failures
 * @throws PartitionError usage, as the flags
 */
export function replanRisk(
  reply: ReplanReply,
  flags: RiskFlags | undefined,
  seed: number,
): ReplanRisk | null {
  if (flags?.mtbf === undefined) return null;
  const risk = parseRisk(flags) ?? UNASKED;
  const { facts, plan, manifest } = reply;
  const request = { ...parseMtbf(flags.mtbf), steps: facts.steps };
  const { stepTimeSec, costPerStep } = plan.prediction;
  const usdPerDeviceSec = costPerStep === null ? null : costPerStep / stepTimeSec / plan.cluster.devices;
  const hostsPerDevice = new Set(manifest.newRanks.map(({ host }) => host)).size / manifest.newRanks.length;
  const observed = facts.calibration !== null || facts.correction !== 1;
  const chances = (side: ReplanSide): RiskFacts => {
    const subject: RiskSubject = {
      devices: side.devices,
      hosts: Math.ceil(side.devices * hostsPerDevice),
      stepTimeSec: side.stepTimeSec,
      steps: facts.steps,
      usdPerStep: usdPerDeviceSec === null ? null : usdPerDeviceSec * side.devices * side.stepTimeSec,
      standstillSec: side.standstillSec,
      ratios: observed ? null : ratiosOf(plan),
    };
    return riskOf(subject, request, risk, seed);
  };
  const { kept, best } = facts;
  const same = kept !== null && kept.plan === best.plan && kept.devices === best.devices;
  return { keep: kept === null ? null : chances(kept), change: same ? null : chances(best) };
}
