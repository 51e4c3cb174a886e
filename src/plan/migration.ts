/**
 * Moving a job's state from one plan to another: every rank of the new plan gets what it will hold and does not have yet, from
 * the nearest rank of the old plan that has it and is still there; what nobody has any more comes from a checkpoint.
 * Tensors that lie alike move alike, so moves are stated once for all of them.
 */
import { boxAt, elementsOf, intersection, placeOf } from './holdings.js';
import type { Box, RankOrder, TensorLayout } from './holdings.js';
import type { Level } from '../cluster/types.js';

/** One of the two plans. */
export interface MigrationSide {
  readonly order: RankOrder;
  readonly zeroStage: number;
  readonly layouts: readonly TensorLayout[];
  /** Per rank the device, as a number that is the same in both plans and close for close devices; -1: it is gone. */
  readonly deviceOfRank: readonly number[];
}

/**
 * Bytes of one element of each kind of state; 0: it does not move. In training the master copy and the moments move, and
 * the copies that kernels read are gathered from the master's shards, as in every step.
 */
export interface StateSizes {
  /** The copy that kernels read: sharded by ZeRO 3. */
  readonly parameter: number;
  /** Master copy and moments: sharded from ZeRO 1 on. */
  readonly optimizer: number;
}

export const STATES = ['parameter', 'optimizer'] as const;
export type StateKind = (typeof STATES)[number];

/** One rank gives another (or a checkpoint gives it) a part of each tensor of the group. */
export interface Move {
  /** Rank of the old plan; null: from a checkpoint. */
  readonly from: number | null;
  /** Rank of the new plan. */
  readonly to: number;
  readonly box: Box;
}

export interface MoveGroup {
  readonly state: StateKind;
  /** Tensors of one shape that lie alike before and after. */
  readonly tensors: readonly string[];
  readonly shape: readonly number[];
  readonly moves: readonly Move[];
}

export interface MigrationLoad {
  readonly movedBytes: number;
  readonly checkpointBytes: number;
  /** What stays where it is. */
  readonly keptBytes: number;
  /** By level of the network, innermost first. */
  readonly levelBytes: readonly number[];
  /** Ranks that receive anything. */
  readonly receivers: number;
  /** Of the busiest link end, at the levels' rates. */
  readonly moveSec: number;
}

export interface Migration {
  readonly groups: readonly MoveGroup[];
  readonly load: MigrationLoad;
}

interface Holder {
  readonly box: Box;
  readonly elements: number;
  /** Ranks, ascending. */
  readonly ranks: number[];
}

/**
 * @param levels of the network that the state moves over, innermost first
 */
export function migrationOf(
  before: MigrationSide,
  after: MigrationSide,
  sizes: StateSizes,
  levels: readonly Level[],
): Migration {
  const count = new LoadCount(before, after, levels);
  const groups: MoveGroup[] = [];
  const old = new Map(before.layouts.map((l) => [l.tensor, l]));
  for (const state of STATES) {
    if (sizes[state] === 0) continue;
    const alike = new Map<string, { from: TensorLayout; to: TensorLayout; tensors: string[] }>();
    for (const to of after.layouts) {
      const from = old.get(to.tensor);
      if (from === undefined) continue;
      const key = JSON.stringify([
        { ...from, tensor: '' },
        { ...to, tensor: '' },
      ]);
      const found = alike.get(key);
      if (found === undefined) alike.set(key, { from, to, tensors: [to.tensor] });
      else found.tensors.push(to.tensor);
    }
    for (const { from, to, tensors } of alike.values()) {
      const sources = holders(before, from, isSharded(state, before.zeroStage));
      const targets = holders(after, to, isSharded(state, after.zeroStage));
      const moves = movesBetween(before, after, sources, targets, count, tensors.length * sizes[state]);
      if (moves.length > 0) groups.push({ state, tensors, shape: to.shape, moves });
    }
  }
  return { groups, load: count.load() };
}

/** All state from a checkpoint: every rank reads what it will hold. */
export function reloadOf(after: MigrationSide, sizes: StateSizes, levels: readonly Level[]): Migration {
  const count = new LoadCount(after, after, levels);
  const groups: MoveGroup[] = [];
  for (const state of STATES) {
    if (sizes[state] === 0) continue;
    const alike = new Map<string, TensorLayout[]>();
    for (const layout of after.layouts) {
      const key = JSON.stringify({ ...layout, tensor: '' });
      alike.set(key, [...(alike.get(key) ?? []), layout]);
    }
    for (const layouts of alike.values()) {
      const moves: Move[] = [];
      for (const { box, elements, ranks } of holders(after, layouts[0], isSharded(state, after.zeroStage)))
        for (const to of ranks) {
          count.move(null, to, elements * layouts.length * sizes[state]);
          moves.push({ from: null, to, box });
        }
      groups.push({ state, tensors: layouts.map((l) => l.tensor), shape: layouts[0].shape, moves });
    }
  }
  return { groups, load: count.load() };
}

export function isSharded(state: StateKind, zeroStage: number): boolean {
  return state === 'parameter' ? zeroStage >= 3 : zeroStage >= 1;
}

/** The different parts of a tensor and the ranks that hold each. */
function holders(side: MigrationSide, layout: TensorLayout, sharded: boolean): Holder[] {
  const parts = new Map<string, Holder>();
  const boxes = new Map<number, { key: string; box: Box }>();
  for (let rank = 0; rank < side.deviceOfRank.length; rank++) {
    const { pipelineRank, place } = placeOf(side.order, rank);
    if (!layout.pipelineRanks.includes(pipelineRank)) continue;
    let at = boxes.get(place);
    if (at === undefined) {
      const box = boxAt(side.order, layout, place, sharded);
      boxes.set(place, (at = { key: JSON.stringify(box), box }));
    }
    const elements = elementsOf(at.box);
    if (elements === 0) continue;
    const known = parts.get(at.key);
    if (known === undefined) parts.set(at.key, { box: at.box, elements, ranks: [rank] });
    else known.ranks.push(rank);
  }
  return [...parts.values()].sort((a, b) => firstRow(a.box) - firstRow(b.box));
}

function firstRow(box: Box): number {
  return box.length === 0 ? 0 : box[0][0][0];
}

function lastRow(box: Box): number {
  return box.length === 0 ? 1 : box[0][box[0].length - 1][1];
}

function movesBetween(
  before: MigrationSide,
  after: MigrationSide,
  sources: readonly Holder[],
  targets: readonly Holder[],
  count: LoadCount,
  elementBytes: number,
): Move[] {
  const moves: Move[] = [];
  // Where the last row of all sources so far ends: sources whose rows end before a target's need not be looked at.
  for (const target of targets) {
    const first = firstRow(target.box);
    const last = lastRow(target.box);
    const shared: { box: Box; elements: number; source: Holder; devices: Set<number> }[] = [];
    for (const source of sources) {
      if (firstRow(source.box) >= last) break;
      if (lastRow(source.box) <= first) continue;
      const box = intersection(source.box, target.box);
      if (box === null) continue;
      const devices = new Set(source.ranks.map((r) => before.deviceOfRank[r]).filter((d) => d >= 0));
      shared.push({ box, elements: elementsOf(box), source, devices });
    }
    for (const to of target.ranks) {
      const device = after.deviceOfRank[to];
      for (const { box, elements, source, devices } of shared) {
        const bytes = elements * elementBytes;
        if (devices.has(device)) {
          count.keep(bytes);
          continue;
        }
        const from = devices.size === 0 ? null : count.nearest(source.ranks, device);
        count.move(from, to, bytes);
        moves.push({ from, to, box });
      }
    }
  }
  return moves;
}

/** Bytes through every device, by level. */
class LoadCount {
  private keptBytes = 0;
  private checkpointBytes = 0;
  private readonly levelBytes: number[];
  private readonly sentSec = new Map<number, number>();
  private readonly receivedSec = new Map<number, number>();

  constructor(
    private readonly before: MigrationSide,
    private readonly after: MigrationSide,
    private readonly levels: readonly Level[],
  ) {
    this.levelBytes = levels.map(() => 0);
  }

  keep(bytes: number): void {
    this.keptBytes += bytes;
  }

  /** Of the ranks that are still there the closest to the device, and of equally close ones that which has sent the least. */
  nearest(ranks: readonly number[], device: number): number {
    let best = -1;
    let closest = Infinity;
    let least = Infinity;
    for (const rank of ranks) {
      const from = this.before.deviceOfRank[rank];
      if (from < 0) continue;
      const level = this.levelBetween(from, device);
      const sent = this.sentSec.get(from) ?? 0;
      if (level > closest || (level === closest && sent >= least)) continue;
      best = rank;
      closest = level;
      least = sent;
    }
    return best;
  }

  move(from: number | null, to: number, bytes: number): void {
    const target = this.after.deviceOfRank[to];
    if (from === null) {
      this.checkpointBytes += bytes;
      this.receivedSec.set(target, this.receivedSec.get(target) ?? 0);
      return;
    }
    const source = this.before.deviceOfRank[from];
    const at = this.levelBetween(source, target);
    this.levelBytes[at] += bytes;
    const { bytesPerSecPerDevice, efficiency, oversubscription } = this.levels[at];
    const sec = (bytes * oversubscription) / (bytesPerSecPerDevice * efficiency);
    this.sentSec.set(source, (this.sentSec.get(source) ?? 0) + sec);
    this.receivedSec.set(target, (this.receivedSec.get(target) ?? 0) + sec);
  }

  load(): MigrationLoad {
    const most = (times: Map<number, number>): number => {
      let longest = 0;
      for (const sec of times.values()) longest = Math.max(longest, sec);
      return longest;
    };
    return {
      movedBytes: this.levelBytes.reduce((a, b) => a + b, 0),
      checkpointBytes: this.checkpointBytes,
      keptBytes: this.keptBytes,
      levelBytes: this.levelBytes,
      receivers: this.receivedSec.size,
      moveSec: Math.max(most(this.sentSec), most(this.receivedSec)),
    };
  }

  private levelBetween(a: number, b: number): number {
    const { levels } = this;
    for (let l = 0; l + 1 < levels.length; l++)
      if (Math.floor(a / levels[l].size) === Math.floor(b / levels[l].size)) return l;
    return levels.length - 1;
  }
}
