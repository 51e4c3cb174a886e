/**
 * What was run, in our words: architecture, cluster, software, degrees. What a source leaves open takes a default that
 * is the same for all rows (`DEFAULTS` says which).
 */
import type { Cluster } from '../cluster/index.js';
import type { Precision } from '../cost/types.js';
import { divisors } from '../parallel/degrees.js';
import type { ArchConfig } from '../zoo/index.js';
import { architectureOf } from './architecture.js';
import { clusterOf, hardwarePreset } from './hardware.js';
import type { ClusterLoader } from './hardware.js';
import { CellFault } from './row.js';
import type { MeasuredRow } from './row.js';
import { clusterRule, modelRule, precisionOf } from './rules.js';
import { stackOf } from './software.js';

/** Defaults of what a source leaves open, as told to users. */
export const DEFAULTS: readonly string[] = [
  'vpp empty: not interleaved',
  'zero_stage empty: 0; 1, 2 and 3 shard over all data-parallel ranks, on TPUs inside a slice',
  'micro_batch empty: the whole local batch without a pipeline (up to 4 sequences), else 1',
  'global_batch empty: one microbatch per replica, four per stage under a pipeline',
  'recompute empty: none where that fits in memory, else selective',
  'seq_parallel empty: what is faster',
  'the vocabulary is padded to a multiple of 128 tp',
  'experts are not split by tensor parallelism unless the model rule or the note (ETP=n) says so',
  'layers that do not divide by the stages: embedding and head count as layers, then as even as possible',
];

/** A measured run as a planning problem. */
export interface Setting {
  readonly row: MeasuredRow;
  readonly architecture: ArchConfig;
  readonly preset: string;
  readonly cluster: Cluster;
  readonly stack: string;
  readonly precision: Precision;
  readonly dpReplicate: number;
  readonly dpShard: number;
  readonly vpp: number;
  readonly etp: number;
  readonly zeroStage: 0 | 1 | 2 | 3;
  readonly microbatch: number;
  readonly globalBatch: number;
}

/** @throws CellFault naming the field */
export function settingOf(row: MeasuredRow, load?: ClusterLoader): Setting {
  const precision = precisionOf(row.precision);
  if (precision === undefined) throw new CellFault('precision', `unknown number format ${row.precision}`);
  const hardware = hardwarePreset(row.hardware);
  if (hardware === undefined)
    throw new CellFault(
      'hardware',
      `no cluster preset is called ${row.hardware}; partition clusters lists them`,
    );
  const preset = clusterRule(`${row.source} ${row.note}`, hardware);
  const architecture = padVocabulary(architectureOf(row), row.tp);
  const cluster = clusterOf(preset, row.devices, row.devicesPerDomain, load);
  const dp = row.devices / (row.tp * row.pp * row.cp);
  const zeroStage = row.zeroStage ?? 0;
  const copies = zeroStage === 0 ? dp : sliceCopies(row, cluster, dp);
  const { microbatch, globalBatch } = batchOf(row, dp);
  const network = cluster.levels[0].kind;
  return {
    row,
    architecture,
    preset,
    cluster,
    stack: stackOf(row, network),
    precision,
    dpReplicate: copies,
    dpShard: dp / copies,
    vpp: row.pp === 1 ? 1 : (row.vpp ?? 1),
    etp: expertDegree(row),
    zeroStage,
    microbatch,
    globalBatch,
  };
}

/** Launchers pad the vocabulary so that every rank holds a multiple of 128 entries. */
function padVocabulary(architecture: ArchConfig, tp: number): ArchConfig {
  const unit = 128 * tp;
  return { ...architecture, vocab: Math.ceil(architecture.vocab / unit) * unit };
}

/** On a torus, parameters are sharded inside a slice and copied between slices. */
function sliceCopies(row: MeasuredRow, cluster: Cluster, dp: number): number {
  const domain = row.devicesPerDomain;
  if (cluster.levels[0].kind !== 'torus' || domain === null || row.devices % domain !== 0) return 1;
  const slices = row.devices / domain;
  return dp % slices === 0 ? slices : 1;
}

/** Largest local batch that is taken for one microbatch where nothing is said. */
const MOST_LOCAL_SEQUENCES = 4;
/** Microbatches per stage where no batch is stated. */
const MICROBATCHES_PER_STAGE = 4;

function batchOf(row: MeasuredRow, dp: number): { microbatch: number; globalBatch: number } {
  const { pp } = row;
  if (row.globalBatch === null) {
    const microbatch = row.microbatch ?? 1;
    return { microbatch, globalBatch: dp * microbatch * (pp === 1 ? 1 : MICROBATCHES_PER_STAGE * pp) };
  }
  const { globalBatch } = row;
  if (globalBatch % dp !== 0)
    throw new CellFault('global_batch', `${globalBatch} is not divisible by dp = ${dp}`);
  const local = globalBatch / dp;
  const microbatch =
    row.microbatch ??
    (pp > 1
      ? 1
      : divisors(local).reduce((most, d) => (d <= MOST_LOCAL_SEQUENCES ? Math.max(most, d) : most), 1));
  if (local % microbatch !== 0)
    throw new CellFault('micro_batch', `${microbatch} does not divide the ${local} sequences of a replica`);
  return { microbatch, globalBatch };
}

function expertDegree(row: MeasuredRow): number {
  if ((row.experts ?? 1) <= 1) {
    if (row.ep > 1) throw new CellFault('ep', `${row.ep}, but the model has no experts`);
    return 1;
  }
  const stated = /\bETP ?= ?(\d+)/.exec(row.note);
  const wanted =
    stated !== null ? Number(stated[1]) : modelRule(row.modelName).expertTensorParallel === 'tp' ? row.tp : 1;
  const ranks = row.devices / row.pp;
  if (ranks % (row.ep * wanted) !== 0)
    throw new CellFault('ep', `ep * etp = ${row.ep * wanted} does not divide dp * cp * tp = ${ranks}`);
  return wanted;
}
