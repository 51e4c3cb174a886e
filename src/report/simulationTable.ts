/** A simulated plan as people read it. */
import type { TrillionTokens } from '../cost/energy.js';
import type { MemoryBreakdown, PlanDegrees, TimeBreakdown } from '../plan/types.js';
import { oneLine } from '../util/errors.js';
import {
  formatBytes,
  formatPercent,
  formatSeconds,
  formatSi,
  formatTable,
  formatUsd,
} from '../util/format.js';
import type { ExplanationFacts } from './explanationTable.js';
import { energyTable, rankTable, timeSplitTable, trillionText } from './explanationTable.js';
import { intervalLine, memoryTable } from './planTable.js';

/** A plan priced event by event, as it is shown. */
export interface SimulationFacts {
  readonly model: string;
  readonly cluster: string;
  readonly devices: number;
  readonly degrees: PlanDegrees;
  /** Event by event. */
  readonly stepTimeSec: number;
  /** Four of five runs are expected within; null for inference, of which no run was measured. */
  readonly stepTimeInterval: { readonly lowSec: number; readonly highSec: number } | null;
  /** As searches price it, in closed form. */
  readonly estimateSec: number;
  /** As the plan file predicts it. */
  readonly plannedSec: number;
  readonly events: number;
  readonly breakdown: TimeBreakdown;
  readonly tokensPerSec: number;
  readonly mfu: number;
  readonly hfu: number;
  readonly fits: boolean;
  readonly memoryPerRank: readonly MemoryBreakdown[];
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
  readonly energyJoulesPerStep: number;
  /** US dollars; null where the cluster has no price. */
  readonly costPerStep: number | null;
  /** Null where the model reads no tokens. */
  readonly perTrillionTokens: TrillionTokens | null;
  /** What the closed form is made of. */
  readonly explanation: ExplanationFacts;
  /** What the independent judge finds wrong with the plan; empty when it is sound. */
  readonly faults: readonly string[];
}

/** @param inFull with the time of every stage and where the energy goes */
export function simulationTable(s: SimulationFacts, inFull = false): string {
  const d = s.degrees;
  const gap = s.estimateSec / s.stepTimeSec - 1;
  const head = formatTable(
    [
      [
        'plan',
        `${oneLine(s.model, 80)} on ${s.devices} devices of ${oneLine(s.cluster, 60)}: dp ${d.dp}, tp ${d.tp}, pp ${d.pp}, vpp ${d.vpp}, cp ${d.cp}, ep ${d.ep}`,
      ],
      [
        'step time',
        `${formatSeconds(s.stepTimeSec)} event by event (${s.events} events), ${formatSi(s.tokensPerSec)} tokens/s`,
      ],
      ...intervalLine(s.stepTimeInterval),
      [
        'estimate',
        `${formatSeconds(s.estimateSec)} (${formatPercent(gap)} off); the plan says ${formatSeconds(s.plannedSec)}`,
      ],
      ['utilisation', `MFU ${formatPercent(s.mfu)}, HFU ${formatPercent(s.hfu)}`],
      [
        'memory',
        `peak ${formatBytes(s.peakMemoryBytes)} of ${formatBytes(s.memoryCapacityBytes)}: ${s.fits ? 'fits' : 'DOES NOT FIT'}`,
      ],
      [
        'energy',
        `${formatSi(s.energyJoulesPerStep, 'J')} a step${s.costPerStep === null ? '' : `, ${formatUsd(s.costPerStep)} a step`}`,
      ],
      ...(s.perTrillionTokens === null ? [] : [['a trillion tokens', trillionText(s.perTrillionTokens)]]),
      ['judge', s.faults.length === 0 ? 'sound' : s.faults.map((f) => oneLine(f, 200)).join('; ')],
    ],
    2,
  );
  return [
    head,
    timeSplitTable(s.explanation, s.estimateSec),
    ...(inFull && s.explanation.ranks.length > 1 ? [rankTable(s.explanation, s.estimateSec)] : []),
    memoryTable(s.memoryPerRank, s.memoryCapacityBytes),
    ...(inFull ? [energyTable(s.explanation.energy, s.estimateSec)] : []),
  ].join('\n\n');
}
