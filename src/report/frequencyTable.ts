/** What clocks by task save, as people read it. */
import type { FrequencyPoint } from '../simulate/frequency.js';
import { formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';

export interface FrequencyFacts {
  /** Every task at full clock. */
  readonly full: FrequencyPoint;
  /** Clocks that tasks can really run at: as fast as full clock, and where the least energy is. */
  readonly noSlowdown: FrequencyPoint;
  readonly leastEnergy: FrequencyPoint;
  /** The whole trade-off, shortest step first. */
  readonly frontier: readonly FrequencyPoint[];
  readonly tasks: number;
  /** Critical-path cuts made. */
  readonly cuts: number;
}

export function frequencyTable({
  full,
  noSlowdown,
  leastEnergy,
  frontier,
  tasks,
  cuts,
}: FrequencyFacts): string {
  const row = (name: string, p: FrequencyPoint): string[] => [
    name,
    formatSeconds(p.timeSec),
    `+${formatPercent(Math.max(0, p.timeSec / full.timeSec - 1))}`,
    formatSi(p.energyJoule, 'J'),
    `-${formatPercent(Math.max(0, 1 - p.energyJoule / full.energyJoule))}`,
  ];
  const between = [0.25, 0.5, 0.75]
    .map((x) => frontier[Math.round(x * (frontier.length - 1))])
    .filter((p, i, all) => all.indexOf(p) === i && p !== frontier[0] && p !== frontier[frontier.length - 1]);
  return [
    `clocks by task (${tasks} tasks, ${cuts} cuts of the critical path):`,
    formatTable([
      ['', 'step', 'slower', 'energy', 'saved'],
      row('full clock', full),
      row('no slowdown', noSlowdown),
      ...between.map((p) => row('between', p)),
      row('least energy', leastEnergy),
    ]),
  ].join('\n');
}
