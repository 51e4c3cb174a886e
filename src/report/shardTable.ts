/** The answer to a sharding instance as people read it. */
import { formatPercent, formatSeconds, formatTable } from '../util/format.js';

/** The fields of an answer that the table shows. */
export interface ShardFacts {
  readonly nodes: number;
  readonly edges: number;
  readonly cost: number | null;
  readonly lowerBound: number | null;
  readonly gap: number | null;
  readonly peakUsage: number;
  readonly usageLimit: number | null;
  readonly proven: boolean;
  readonly wallSec: number;
}

export function shardTable(facts: ShardFacts): string {
  const limit = facts.usageLimit;
  return formatTable([
    ['cost', facts.cost === null ? 'none found' : whole(facts.cost), ''],
    ['lower bound', facts.lowerBound === null ? 'none' : whole(facts.lowerBound), ''],
    [
      'gap',
      facts.gap === null ? 'unknown' : `${(100 * facts.gap).toFixed(2)}%`,
      facts.proven ? 'proved best' : '',
    ],
    [
      'peak usage',
      whole(facts.peakUsage),
      limit === null ? 'no limit' : `${formatPercent(facts.peakUsage / limit)} of ${whole(limit)}`,
    ],
    ['nodes', whole(facts.nodes), `${whole(facts.edges)} edges`],
    ['time', formatSeconds(facts.wallSec), ''],
  ]);
}

/** `2,274,276,676`. */
function whole(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}
