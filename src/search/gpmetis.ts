/** METIS's own partitioner, `gpmetis`, run as a program where it is installed: the yardstick of `multilevel`. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { PartitionError } from '../util/errors.js';
import type { Partition } from './multilevel.js';
import type { WeightedGraph } from './weightedGraph.js';
import { cutWeight, imbalanceOf } from './weightedGraph.js';

/** METIS reads whole numbers that add up to less than 2^31: weights are scaled to these sums. */
const VERTEX_SUM = 1e8;
const EDGE_SUM = 1e8;

export interface GpmetisOptions {
  /** A part may weigh (1 + imbalance) times the mean. */
  readonly imbalance: number;
  readonly seed: number;
}

/** Path of the program; null when it is not on PATH. */
export function findGpmetis(path = process.env['PATH'] ?? ''): string | null {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, 'gpmetis');
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here: look on.
    }
  }
  return null;
}

/** @throws PartitionError usage, saying how to install it, when the program is not there */
export function requireGpmetis(): string {
  const program = findGpmetis();
  if (program !== null) return program;
  throw new PartitionError(
    'usage',
    'expected the program gpmetis on PATH, found none',
    '--method gpmetis',
    'install METIS (Debian and Ubuntu: apt-get install metis), or use --method multilevel',
  );
}

/**
 * Partitions by running the program on a file in a temporary folder.
 *
 * @throws PartitionError when it is not installed or fails
 */
export function gpmetisPartition(g: WeightedGraph, parts: number, options: GpmetisOptions): Partition {
  const program = requireGpmetis();
  const folder = mkdtempSync(join(tmpdir(), 'gpmetis-'));
  try {
    const file = join(folder, 'graph');
    writeFileSync(file, metisText(g));
    const factor = Math.max(1, Math.round(1000 * options.imbalance));
    const run = spawnSync(program, [`-seed=${options.seed}`, `-ufactor=${factor}`, file, String(parts)], {
      encoding: 'utf8',
    });
    if (run.status !== 0)
      throw new PartitionError(
        'input',
        `gpmetis ended with status ${run.status}: ${(run.stderr || run.stdout).trim().split('\n').at(-1)}`,
        program,
      );
    const part = Int32Array.from(readFileSync(`${file}.part.${parts}`, 'utf8').trim().split('\n'), Number);
    return { part, cut: cutWeight(g, part), imbalance: imbalanceOf(g, part, parts) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The graph in METIS's format: a header, then a line per vertex with its weight and pairs of neighbour and weight. */
export function metisText(g: WeightedGraph): string {
  const vertexScale = VERTEX_SUM / Math.max(1e-300, sum(g.vertexWeight));
  const edgeScale = EDGE_SUM / Math.max(1e-300, sum(g.edgeWeight));
  const lines = [`${g.vertexCount} ${g.target.length / 2} 011`];
  for (let v = 0; v < g.vertexCount; v++) {
    const line = [Math.round(g.vertexWeight[v] * vertexScale)];
    for (let e = g.start[v]; e < g.start[v + 1]; e++)
      line.push(g.target[e] + 1, Math.max(1, Math.round(g.edgeWeight[e] * edgeScale)));
    lines.push(line.join(' '));
  }
  return `${lines.join('\n')}\n`;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const x of values) total += x;
  return total;
}
