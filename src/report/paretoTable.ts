/** The trade-off of time and energy over plans and clocks, as people read it. */
import type { FrequencyPoint } from '../simulate/frequency.js';
import { oneLine } from '../util/errors.js';
import { formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';

export interface ParetoPoint extends FrequencyPoint {
  /** Number of the plan whose clocks give it. */
  readonly plan: number;
}

export interface ParetoFacts {
  readonly model: string;
  readonly cluster: string;
  readonly devices: number;
  readonly evaluations: number;
  readonly plans: readonly {
    readonly plan: number;
    readonly degrees: string;
    readonly schedule: string;
    /**
     * At full clock, and with the clocks that cost no time (which no clocks bring below `boundJoule`, where known); null: these were not
     * worked out.
     */
    readonly full: FrequencyPoint;
    readonly noSlowdown: (FrequencyPoint & { readonly boundJoule: number | null }) | null;
  }[];
  /** What no plan and clocks beat in both, fastest first. */
  readonly front: readonly ParetoPoint[];
}

export function paretoTable(facts: ParetoFacts): string {
  const { plans, front } = facts;
  const fastest = plans[0].full;
  const change = (value: number, from: number): string =>
    `${value < from ? '-' : '+'}${formatPercent(Math.abs(value / from - 1))}`;
  return [
    `time and energy of ${oneLine(facts.model, 80)} on ${facts.devices} devices of ${oneLine(facts.cluster, 60)}, ${facts.evaluations} plans priced`,
    '',
    formatTable(
      [
        ['plan', 'degrees', 'schedule', 'step', 'full clock', 'no slowdown'],
        ...plans.map((p) => [
          String(p.plan),
          p.degrees,
          p.schedule,
          formatSeconds(p.full.timeSec),
          formatSi(p.full.energyJoule, 'J'),
          p.noSlowdown === null ? '' : formatSi(p.noSlowdown.energyJoule, 'J'),
        ]),
      ],
      3,
    ),
    '',
    formatTable([
      ['front', 'step', 'energy', 'time', 'energy'],
      ...front.map((p) => [
        `plan ${p.plan}`,
        formatSeconds(p.timeSec),
        formatSi(p.energyJoule, 'J'),
        change(p.timeSec, fastest.timeSec),
        change(p.energyJoule, fastest.energyJoule),
      ]),
    ]),
    '',
    'changes are against the fastest plan at full clock',
  ].join('\n');
}
