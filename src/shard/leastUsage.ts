/** The frugal choice: of every variable the strategy that takes least memory over its rows, of equals the cheapest. */
import type { ShardCore } from './core.js';

export function leastUsage(core: ShardCore): Int32Array {
  const choice = new Int32Array(core.count);
  for (let i = 0; i < core.count; i++) {
    let least = Infinity;
    for (let s = 0; s < core.start[i + 1] - core.start[i]; s++) {
      let usage = 0;
      for (let g = core.segmentStart[i]; g < core.segmentStart[i + 1]; g++)
        usage += core.usage[core.usageAt[g] + s] * (core.rowEnd[g] - core.rowBegin[g]);
      const cheaper = core.cost[core.start[i] + s] < core.cost[core.start[i] + choice[i]];
      if (usage > least || (usage === least && !cheaper)) continue;
      least = usage;
      choice[i] = s;
    }
  }
  return choice;
}
