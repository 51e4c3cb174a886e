/** Options of commands that say how a job fares when things fail. */
import type { Argv } from 'yargs';
import type { RiskFlags } from '../api/index.js';
import { text } from './options.js';

export const MTBF_TEXT =
  'expected time to train with failures (default: none fail): device=50000h,host=200000h,checkpoint=60s,restart=5m,repair=1d,spares=2,stragglers=1%,steps=100000; shape=0.7: failures in bursts (Weibull)';

export interface RiskArgs {
  mtbf?: string;
  deadline?: string;
  start?: string;
  maxCost?: string;
}

export function withMtbf<T>(argv: Argv<T>): Argv<T & Pick<RiskArgs, 'mtbf'>> {
  return argv.option('mtbf', text(MTBF_TEXT)) as never;
}

/** `--mtbf`, and what may be asked under it. */
export function withRisk<T>(argv: Argv<T>): Argv<T & RiskArgs> {
  return withMtbf(argv)
    .option(
      'deadline',
      text('probability to finish in time, under --mtbf: 30d, or a date YYYY-MM-DD (to its end, UTC)'),
    )
    .option('start', text('day on which the job starts, YYYY-MM-DD; with it the ends are dates'))
    .option('max-cost', text('probability to finish within so many US dollars, under --mtbf: 2e6')) as never;
}

/** The flags that were given, as a request keeps them; undefined when none was. */
export function riskFlags({ mtbf, deadline, start, maxCost }: RiskArgs): RiskFlags | undefined {
  const given = Object.entries({ mtbf, deadline, start, maxCost }).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
}
