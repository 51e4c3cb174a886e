/**
 * Published power of runs beside what the simulator predicts for their workloads (`data/measured/energy.yaml`). One set of
 * figures for all rows: power levels of the device, watts of the host, of fans, supplies and switches.
 */
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import { loadCluster } from '../cluster/index.js';
import type { Cluster } from '../cluster/index.js';
import { hostDirectWatt, hostMainsWatt } from '../cost/energy.js';
import { frozenBase } from '../cost/frozen.js';
import { loadStack, stackOn } from '../cost/stack.js';
import { analyze } from '../graph/index.js';
import { DType } from '../model/index.js';
import { checkCandidate } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { explain } from '../simulate/explain.js';
import { EnergyMeter } from '../simulate/power.js';
import type { PlanProblem } from '../simulate/types.js';
import { StrategyBook, modelFacts } from '../strategy/index.js';
import { invariant } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import { fileURLToPath } from 'node:url';
import { buildZoo, zooConfig } from '../zoo/index.js';

/** Where the meter stood: before the host's power supplies, or behind them. */
export type MeterPlace = 'mains' | 'direct';

interface Site {
  readonly description: string;
  readonly meter: MeterPlace;
  readonly cluster: string;
  readonly coolingShare: number | null;
  readonly networkBaseWatt: number | null;
}

interface Workload {
  readonly model: string;
  readonly sequence: number;
  readonly precision: 'bf16' | 'fp8';
  readonly batch: number;
  readonly dp: number;
  readonly tp: number;
  readonly cp: number;
  readonly zeroStage: 0 | 1 | 3;
  /** Share of the parameters that learn; null = all. */
  readonly trainableShare: number | null;
  /** Sequences of the whole run; null = a steady state was measured. */
  readonly samples: number | null;
  readonly assumption: string;
}

export interface EnergyRow {
  readonly id: string;
  readonly source: string;
  readonly workload: string;
  /** Why the row is left out; null when it is modelled. */
  readonly notModelled: string | null;
  readonly site: string;
  readonly run: string;
  readonly devices: number;
  readonly hostKw: number;
  /** Share of one host in the switches, kW; null when not measured. */
  readonly switchKw: number | null;
  readonly minutes: number | null;
  readonly assumption: string | null;
}

export interface EnergyPrediction {
  readonly row: EnergyRow;
  readonly hostKw: number;
  readonly switchKw: number;
  /** Of one device in the mean over the run, watt. */
  readonly deviceWatt: number;
  readonly stepTimeSec: number;
  /** Share of the run spent in steps; the rest (evaluations, start, stragglers) counts as waiting. */
  readonly busyShare: number;
  readonly assumptions: readonly string[];
}

/** Predicted over measured less one. */
export function energyError({ row, hostKw }: EnergyPrediction): number {
  return hostKw / row.hostKw - 1;
}

interface EnergyData {
  readonly sites: ReadonlyMap<string, Site>;
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly rows: readonly EnergyRow[];
}

/** The rows that ship. */
export function readEnergyRows(): EnergyData {
  const file = fileURLToPath(dataPath('measured/energy.yaml'));
  const fields = Fields.of(readYaml(file), file, '', []);
  const table = <T>(name: string, read: (f: Fields) => T): Map<string, T> => {
    const map = fields.required(name);
    return new Map(map.names().map((key) => [key, read(map.required(key))]));
  };
  const sites = table('sites', readSite);
  const workloads = table('workloads', readWorkload);
  const rows = fields.children('rows').map(readRow);
  fields.done();
  return { sites, workloads, rows };
}

function readSite(f: Fields): Site {
  const site: Site = {
    description: f.string('description'),
    meter: f.oneOf('meter', ['mains', 'direct']),
    cluster: f.string('cluster'),
    coolingShare: f.has('coolingShare') ? f.number('coolingShare') : null,
    networkBaseWatt: f.has('networkBaseWatt') ? f.number('networkBaseWatt') : null,
  };
  f.done();
  return site;
}

function readWorkload(f: Fields): Workload {
  const degrees = f.required('degrees');
  const degree = (name: string): number => degrees.number(name, { min: 1, integer: true, default: 1 });
  const workload: Workload = {
    model: f.string('model'),
    sequence: f.number('sequence', { min: 1, integer: true }),
    precision: f.oneOf('precision', ['bf16', 'fp8']),
    batch: f.number('batch', { min: 1, integer: true }),
    dp: degree('dp'),
    tp: degree('tp'),
    cp: degree('cp'),
    zeroStage: f.number('zeroStage', { max: 3, integer: true }) as 0 | 1 | 3,
    trainableShare: f.has('trainableShare') ? f.number('trainableShare', { max: 1 }) : null,
    samples: f.has('samples') ? f.number('samples', { min: 1 }) : null,
    assumption: f.string('assumption'),
  };
  degrees.done();
  f.done();
  return workload;
}

function readRow(f: Fields): EnergyRow {
  const optional = (name: string): number | null => (f.has(name) ? f.number(name) : null);
  const notModelled = f.has('notModelled') ? f.string('notModelled') : null;
  const modelled = notModelled === null;
  const row: EnergyRow = {
    id: f.string('id'),
    source: f.string('source'),
    workload: f.string('workload'),
    notModelled,
    site: modelled ? f.string('site') : '',
    run: modelled ? f.string('run') : '',
    devices: modelled ? f.number('devices', { min: 1, integer: true }) : 0,
    hostKw: modelled ? f.number('hostKw') : 0,
    switchKw: optional('switchKw'),
    minutes: optional('minutes'),
    assumption: f.has('assumption') ? f.string('assumption') : null,
  };
  f.done();
  return row;
}

/** Power of the rows that are modelled. */
export function predictEnergy(data: EnergyData = readEnergyRows()): EnergyPrediction[] {
  const analysed = new Map<string, ReturnType<typeof analyze>>();
  return data.rows
    .filter((row) => row.notModelled === null)
    .map((row) => {
      const site = data.sites.get(row.site);
      const workload = data.workloads.get(row.run);
      invariant(site !== undefined && workload !== undefined, `energy row ${row.id} names no known setting`);
      const key = `${workload.model} ${workload.sequence}`;
      let graph = analysed.get(key);
      if (graph === undefined) {
        const model = buildZoo(zooConfig(workload.model), { dtype: DType.BFLOAT16, attentionMask: false });
        graph = analyze(model, { where: workload.model, seq: workload.sequence, phase: 'train' });
        analysed.set(key, graph);
      }
      return predictRow(row, site, workload, graph);
    });
}

function predictRow(
  row: EnergyRow,
  site: Site,
  workload: Workload,
  analysed: ReturnType<typeof analyze>,
): EnergyPrediction {
  const cluster = siteCluster(site, row.devices);
  const problem = problemOf(workload, cluster, analysed);
  const candidate = candidateOf(workload, problem);
  const { ranks, estimate } = explain(problem, candidate);
  const group = cluster.groups[0];
  const joule = ranks.reduce(
    (sum, { energy }) =>
      sum + energy.matrixJoule + energy.memoryJoule + energy.networkJoule + energy.idleJoule,
    0,
  );
  const step = estimate.stepTimeSec;
  const steps = workload.samples === null ? null : workload.samples / workload.batch;
  const busyShare =
    steps === null || row.minutes === null ? 1 : Math.min(1, (steps * step) / (60 * row.minutes));
  const stepWatt = joule / row.devices / step;
  const deviceWatt = busyShare * stepWatt + (1 - busyShare) * group.device.idleWatt;
  const watt = site.meter === 'mains' ? hostMainsWatt : hostDirectWatt;
  return {
    row,
    hostKw: watt(group, deviceWatt * group.devicesPerHost) / 1000,
    switchKw: new EnergyMeter(problem).switchWatt / group.hosts / 1000,
    deviceWatt,
    stepTimeSec: step,
    busyShare,
    assumptions: [
      ...(row.assumption === null ? [] : [row.assumption]),
      workload.assumption,
      site.description,
    ],
  };
}

function siteCluster(site: Site, devices: number): Cluster {
  const cluster = loadCluster(site.cluster, devices);
  return {
    ...cluster,
    groups: cluster.groups.map((group) => ({
      ...group,
      coolingShare: site.coolingShare ?? group.coolingShare,
      networkBaseWatt: site.networkBaseWatt ?? group.networkBaseWatt,
    })),
  };
}

function problemOf(
  w: Workload,
  cluster: Cluster,
  { graph, segmentation }: ReturnType<typeof analyze>,
): PlanProblem {
  const stack = stackOn(loadStack(), cluster.groups[0].device);
  const book = new StrategyBook(graph, segmentation, cluster, {
    phase: 'train',
    precision: w.precision,
    stack,
  });
  return {
    segmentation,
    cluster,
    devices: cluster.deviceCount,
    phase: 'train',
    precision: w.precision,
    stack,
    globalBatch: w.batch,
    sequenceLength: w.sequence,
    objective: { time: 1, energy: 0, cost: 0 },
    costs: w.trainableShare === null ? book : frozenBase(book, w.trainableShare),
    ...modelFacts(book),
    tpChoices: [1, w.tp],
  };
}

function candidateOf(w: Workload, problem: PlanProblem): Candidate {
  const { segmentCount, classCount } = problem.segmentation;
  const candidate: Candidate = {
    dpReplicate: 1,
    dpShard: w.dp,
    tp: w.tp,
    pp: 1,
    vpp: 1,
    cp: w.cp,
    ep: 1,
    etp: 1,
    zeroStage: w.zeroStage,
    schedule: '1f1b',
    microbatch: 1,
    axisOrder: 'tp-cp-dp-pp',
    contextExchange: 'ring',
    recompute: new Uint8Array(classCount),
    stageStart: Int32Array.of(0, segmentCount),
  };
  const fault = checkCandidate(problem, candidate);
  invariant(fault === null, `energy workload on ${w.model}: ${fault}`);
  return candidate;
}
