/** Plans for several device counts as people compare them. */
import type { PlanDegrees } from '../plan/types.js';
import { formatBytes, formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';

/** The fields of a sweep's rows that the table shows. */
export interface SweepFacts {
  readonly devices: number;
  readonly plan: {
    readonly degrees: PlanDegrees;
    readonly stepTimeSec: number;
    readonly tokensPerSec: number;
    readonly mfu: number;
    readonly peakMemoryBytes: number;
    readonly energyJoulesPerStep: number;
  } | null;
  readonly costPerStep: number | null;
  readonly reason: string | null;
  readonly onFrontier: boolean;
}

export function sweepTable(rows: readonly SweepFacts[], folder: string): string {
  const head = [
    'devices',
    'mesh',
    'step',
    'tokens/s',
    'MFU',
    'peak memory',
    'energy',
    'USD a step',
    'frontier',
  ];
  const lines = rows.map(({ devices, plan, costPerStep, onFrontier }) => {
    if (plan === null) return [String(devices), 'no plan fits', '', '', '', '', '', '', ''];
    const { dp, tp, pp, vpp, cp, ep } = plan.degrees;
    const mesh = Object.entries({ dp, tp, pp, vpp, cp, ep })
      .filter(([, n]) => n > 1)
      .map(([name, n]) => `${name} ${n}`);
    return [
      String(devices),
      mesh.join(', ') || 'one device',
      formatSeconds(plan.stepTimeSec),
      formatSi(plan.tokensPerSec),
      formatPercent(plan.mfu),
      formatBytes(plan.peakMemoryBytes),
      formatSi(plan.energyJoulesPerStep, 'J'),
      costPerStep === null ? '' : costPerStep.toPrecision(3),
      onFrontier ? 'yes' : '',
    ];
  });
  const reasons = rows.flatMap((r) => (r.reason === null ? [] : [`${r.devices}: ${r.reason}`]));
  const notes = [...reasons, `plans written to ${folder}/<devices>/plan.json`];
  return `${formatTable([head, ...lines], 2)}\n\n${notes.join('\n')}`;
}
