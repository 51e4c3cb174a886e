/** Sharding instances to learn on. */
import type { ShardInstance } from '../shard/index.js';
import type { Random } from '../util/random.js';

/**
 * A drawn instance: layers of nodes, each tied to a few before it; costs of edges are near 0 where strategies agree and large
 * where they do not, as resharding is; half of the strategies trade cost for memory; the limit cuts into what is cheapest.
 */
export function drawShardInstance(random: Random, nodeCount = 300 + random.int(900)): ShardInstance {
  const sizes = Array.from({ length: nodeCount }, () => 2 + random.int(9));
  const strategyStart = new Int32Array(nodeCount + 1);
  sizes.forEach((size, i) => (strategyStart[i + 1] = strategyStart[i] + size));
  const strategies = strategyStart[nodeCount];
  const layout = Int32Array.from({ length: strategies }, () => random.int(4));
  const nodeCost = new Float64Array(strategies);
  const usage = new Float64Array(strategies);
  const begin = new Float64Array(nodeCount);
  const end = new Float64Array(nodeCount);
  for (let i = 0; i < nodeCount; i++) {
    const scale = 10 ** (3 * random.next());
    begin[i] = i;
    end[i] = i + 1 + random.int(random.next() < 0.2 ? nodeCount : 20);
    for (let s = strategyStart[i]; s < strategyStart[i + 1]; s++) {
      const share = random.next();
      nodeCost[s] = Math.round(scale * 1000 * share);
      usage[s] = Math.round(scale * 100 * (1 - 0.8 * share * random.next()));
    }
  }
  const pairs: [number, number][] = [];
  const reach = 4 + random.int(30);
  for (let i = 1; i < nodeCount; i++)
    for (let k = 1 + random.int(3); k > 0; k--) {
      const far = random.next() < 0.1 ? nodeCount : reach;
      pairs.push([Math.max(0, i - 1 - random.int(far)), i]);
    }
  const edges = pairs.filter(([a, b]) => a !== b);
  const tableStart = new Float64Array(edges.length + 1);
  edges.forEach(([a, b], e) => (tableStart[e + 1] = tableStart[e] + sizes[a] * sizes[b]));
  const tableCost = new Float64Array(tableStart[edges.length]);
  edges.forEach(([a, b], e) => {
    const scale = 10 ** (3 + 3 * random.next());
    for (let s = 0; s < sizes[a]; s++)
      for (let t = 0; t < sizes[b]; t++)
        tableCost[tableStart[e] + s * sizes[b] + t] =
          layout[strategyStart[a] + s] === layout[strategyStart[b] + t]
            ? 0
            : Math.round(scale * (0.2 + random.next()));
  });
  const peak = (pick: (values: Float64Array) => number): number => {
    let most = 0;
    for (let at = 0; at < nodeCount; at++) {
      let load = 0;
      for (let i = 0; i <= at; i++)
        if (end[i] > at) load += pick(usage.subarray(strategyStart[i], strategyStart[i + 1]));
      most = Math.max(most, load);
    }
    return most;
  };
  const least = peak((values) => Math.min(...values));
  const usual = peak((values) => values.reduce((sum, v) => sum + v, 0) / values.length);
  return {
    name: 'drawn',
    nodeCount,
    strategyStart,
    nodeCost,
    usage,
    begin,
    end,
    edgeCount: edges.length,
    edgeStart: Int32Array.from({ length: edges.length + 1 }, (_, e) => 2 * e),
    edgeNode: Int32Array.from(edges.flat()),
    edgeTable: Int32Array.from({ length: edges.length }, (_, e) => e),
    tableStart,
    tableCost,
    usageLimit: least + (0.2 + 0.6 * random.next()) * (usual - least),
  };
}
