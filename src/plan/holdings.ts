/**
 * Which part of every tensor each rank holds under a plan: a box, that is for every dimension a few runs of indices.
 *
 *     rows    0..7  |  runs [[0, 2], [4, 6]]: rows 0 1 4 5, the first half of each of two blocks
 *     columns 0..3  |  runs [[0, 4]]: all
 *
 * State that ZeRO shards is divided along the first dimension of the rank's own part, as FSDP2 does; who shards a flat
 * buffer instead moves as many bytes in other runs.
 */
import { expertShards } from './candidate.js';
import type { Candidate, MeshAxisName } from './types.js';

/** [first, last) along one dimension, ascending and apart. */
export type Runs = readonly (readonly [number, number])[];
export type Box = readonly Runs[];

/** How one tensor lies on the ranks that hold it. */
export interface TensorLayout {
  readonly tensor: string;
  readonly shape: readonly number[];
  /** Per dimension: axes that split it, major to minor; equal blocks each split on its own; ranks that hold the same part. */
  readonly dims: readonly (readonly MeshAxisName[])[];
  readonly blocks: readonly number[];
  readonly copies: readonly number[];
  /** Pipeline ranks that hold it, ascending: several where it is tied. */
  readonly pipelineRanks: readonly number[];
}

/** Degrees and rank order of a plan: a `Candidate` fits. */
export type RankOrder = Pick<
  Candidate,
  'dpReplicate' | 'dpShard' | 'tp' | 'pp' | 'cp' | 'ep' | 'etp' | 'axisOrder' | 'vpp'
>;

/** A rank's coordinates. */
export interface Place {
  readonly pipelineRank: number;
  /** In its stage: tp innermost, then cp, dpShard, dpReplicate. */
  readonly place: number;
}

export function placeOf(c: RankOrder, rank: number): Place {
  const inner = c.tp * c.cp;
  const stage = inner * c.dpReplicate * c.dpShard;
  if (c.axisOrder === 'tp-cp-dp-pp') return { pipelineRank: Math.floor(rank / stage), place: rank % stage };
  const outer = Math.floor(rank / inner);
  return { pipelineRank: outer % c.pp, place: (rank % inner) + inner * Math.floor(outer / c.pp) };
}

function coordinate(c: RankOrder, place: number, axis: MeshAxisName): number {
  switch (axis) {
    case 'tp':
      return place % c.tp;
    case 'cp':
      return Math.floor(place / c.tp) % c.cp;
    case 'dp':
      return Math.floor(place / (c.tp * c.cp));
    case 'etp':
      return place % c.etp;
    case 'ep':
      return Math.floor(place / c.etp) % c.ep;
  }
}

function axisSize(c: RankOrder, axis: MeshAxisName): number {
  return axis === 'dp' ? c.dpReplicate * c.dpShard : c[axis];
}

/** The part that a place of a stage holds whole; `shards` > 1: of it, the rows of that shard of ZeRO. */
export function boxAt(c: RankOrder, layout: TensorLayout, place: number, isSharded: boolean): Box {
  const box = layout.shape.map((size, d) => {
    let index = 0;
    let parts = 1;
    for (const axis of layout.dims[d]) {
      index = index * axisSize(c, axis) + coordinate(c, place, axis);
      parts *= axisSize(c, axis);
    }
    return dimensionRuns(
      size,
      layout.blocks[d],
      parts / layout.copies[d],
      Math.floor(index / layout.copies[d]),
    );
  });
  if (!isSharded || box.length === 0) return box;
  const { shard, shards } = shardOf(c, layout, place);
  return [rowsOf(box[0], shard, shards), ...box.slice(1)];
}

/** Which of how many ZeRO shards a place holds. */
function shardOf(c: RankOrder, layout: TensorLayout, place: number): { shard: number; shards: number } {
  const isExpert = layout.dims.some((axes) => axes.includes('ep') || axes.includes('etp'));
  if (isExpert) {
    const shards = expertShards(c as Candidate);
    return { shard: Math.floor(place / (c.etp * c.ep)) % shards, shards };
  }
  const shards = c.dpShard * c.cp;
  return { shard: Math.floor(place / c.tp) % shards, shards };
}

/** Part `index` of `parts` of every one of `blocks` equal blocks; the last part is shorter where they do not divide. */
function dimensionRuns(size: number, blocks: number, parts: number, index: number): Runs {
  if (parts === 1) return [[0, size]];
  const unit = size / blocks;
  const each = Math.ceil(unit / parts);
  const runs: [number, number][] = [];
  for (let b = 0; b < blocks; b++) {
    const first = Math.min(index * each, unit);
    const last = Math.min(first + each, unit);
    if (last > first) runs.push([b * unit + first, b * unit + last]);
  }
  return runs;
}

/** Rows of shard `shard` of `shards`, in runs of the whole dimension. */
function rowsOf(runs: Runs, shard: number, shards: number): Runs {
  const count = runs.reduce((sum, [a, b]) => sum + b - a, 0);
  const each = Math.ceil(count / shards);
  let skip = Math.min(shard * each, count);
  let left = Math.min(each, count - skip);
  const rows: [number, number][] = [];
  for (const [a, b] of runs) {
    const from = a + Math.min(skip, b - a);
    skip -= from - a;
    const to = Math.min(b, from + left);
    if (to > from) rows.push([from, to]);
    left -= to - from;
  }
  return rows;
}

export function elementsOf(box: Box): number {
  return box.reduce((product, runs) => product * runs.reduce((sum, [a, b]) => sum + b - a, 0), 1);
}

/** What two boxes share; null when nothing. */
export function intersection(a: Box, b: Box): Box | null {
  const shared: Runs[] = [];
  for (let d = 0; d < a.length; d++) {
    const runs = sharedRuns(a[d], b[d]);
    if (runs.length === 0) return null;
    shared.push(runs);
  }
  return shared;
}

function sharedRuns(a: Runs, b: Runs): Runs {
  const shared: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const from = Math.max(a[i][0], b[j][0]);
    const to = Math.min(a[i][1], b[j][1]);
    if (to > from) shared.push([from, to]);
    if (a[i][1] < b[j][1]) i++;
    else j++;
  }
  return shared;
}
