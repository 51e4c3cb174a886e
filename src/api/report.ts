/** The facts of a report: the plan file, what stands beside it, and the step played out where the model is at hand. */
import type { Cluster } from '../cluster/index.js';
import { shardKeyOf } from '../plan/candidate.js';
import { candidateOf } from '../plan/candidateOf.js';
import { decodePlan, validatePlan } from '../plan/index.js';
import type { Plan } from '../plan/types.js';
import type { CurveFacts } from '../report/compareChart.js';
import type { CompareFacts } from '../report/compareTable.js';
import { explanationFacts } from '../report/explanationTable.js';
import type { ClusterFacts, LayerGraph, ReportFacts, StepFacts } from '../report/page/facts.js';
import { reportPage } from '../report/page/page.js';
import { createEngine } from '../simulate/engine.js';
import { explain } from '../simulate/explain.js';
import { linkTraffic } from '../simulate/linkTraffic.js';
import { memoryTimeline } from '../simulate/memoryTimeline.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { version } from '../util/version.js';
import { stepTimeInterval } from '../validation/intervals.js';
import { trainingFacts } from './goodputReport.js';
import { layerGraph } from './layerGraph.js';
import { plannedCluster } from './plannedCluster.js';
import { openModel, problemOf } from './problem.js';
import type { RiskFlags } from './risk.js';
import type { RunFile } from './runFile.js';
import { modelNear, readRun } from './runFile.js';

export interface ReportOptions {
  /** Default: the model that the plan was made from, where run.json says or near the plan; without it parts are left out. */
  readonly modelPath?: string | undefined;
  /** Default: as run.json says, else the preset of the plan's cluster name. */
  readonly cluster?: string | undefined;
  readonly calibration?: string | undefined;
  /** A file of `partition compare --json`. */
  readonly compare?: string | undefined;
  /** What fails, and by when the job should end; default: as the plan was made. */
  readonly failures?: RiskFlags | undefined;
  readonly seq?: number | undefined;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly strict?: boolean | undefined;
}

/** What `partition report --json` prints, but for where the page went. */
export interface ReportSummary {
  readonly plan: string;
  /** The model that was read; null where none was found. */
  readonly model: string | null;
  /** Headings of the page, in order. */
  readonly sections: readonly string[];
  readonly bytes: number;
  readonly warnings: readonly string[];
}

export interface Report {
  readonly html: string;
  readonly summary: ReportSummary;
}

/**
 * A plan as one page.
 *
 * @throws PartitionError input when a file is not what it should be, or the model is not the plan's
 */
export function makeReport(planPath: string, options: ReportOptions = {}): Report {
  const { facts, modelPath } = gather(planPath, options);
  const { html, sections } = reportPage(facts);
  return {
    html,
    summary: {
      plan: planPath,
      model: modelPath,
      sections,
      bytes: Buffer.byteLength(html),
      warnings: facts.notes,
    },
  };
}

function gather(planPath: string, options: ReportOptions): { facts: ReportFacts; modelPath: string | null } {
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const run = readRun(planPath);
  const comparison = options.compare === undefined ? null : readComparison(options.compare);
  const modelPath = options.modelPath ?? modelNear(planPath, plan, run);
  const settings = {
    cluster: options.cluster ?? run.cluster ?? plan.cluster.name,
    calibration: options.calibration ?? run.calibration,
    devices: plan.cluster.devices,
  };
  const cluster = plannedCluster(plan, settings);
  const played =
    modelPath === null
      ? null
      : play(plan, planPath, modelPath, cluster, { ...options, bind: options.bind ?? run.bind, ...settings });
  return {
    modelPath,
    facts: {
      plan,
      programVersion: version(),
      run: runFacts(run),
      stepTimeInterval: stepTimeInterval(plan.prediction.stepTimeSec, {
        stack: plan.stack,
        cluster: plan.cluster.name,
        phase: plan.phase,
      }),
      cluster: clusterFacts(plan, cluster),
      step: played?.step ?? null,
      layers: played?.layers ?? null,
      training: trainingFacts(plan, { ...run.failures, ...options.failures }, settings),
      comparison,
      notes: [
        ...(played === null
          ? [
              `the model ${oneLine(plan.model.name, 80)} was not found: no time line, no layers (give --model)`,
            ]
          : played.warnings),
        ...plan.warnings.map((w) => oneLine(w, 300)),
      ],
    },
  };
}

function runFacts({ command, host, date, wallSec }: RunFile): ReportFacts['run'] {
  return { command: command ?? null, host: host ?? null, date: date ?? null, wallSec: wallSec ?? null };
}

/** One step of the plan, event by event. */
function play(
  plan: Plan,
  planPath: string,
  modelPath: string,
  cluster: Cluster,
  options: ReportOptions,
): { step: StepFacts; layers: LayerGraph; warnings: string[] } {
  const seq = options.seq ?? (plan.sequenceLength > 1 ? plan.sequenceLength : undefined);
  const model = openModel(modelPath, { seq, bind: options.bind, strict: options.strict });
  const { problem, book } = problemOf(model, cluster, {
    devices: plan.cluster.devices,
    batch: plan.globalBatch,
    precision: plan.precision,
    stack: plan.stack,
    calibration: options.calibration,
    objective: plan.objective,
  });
  const candidate = candidateOf(plan, model.graph, model.segmentation, planPath);
  const explanation = explain(problem, candidate);
  const run = createEngine(problem).run(candidate, true);
  const key = shardKeyOf(candidate, 0);
  const faults = validatePlan(plan, model.graph, cluster, model.segmentation);
  return {
    step: {
      stepTimeSec: run.stepTimeSec,
      estimateSec: explanation.estimate.stepTimeSec,
      explanation: explanationFacts(explanation),
      rankCount: run.rankCount,
      timeline: run.timeline!,
      idleSec: Array.from(run.idleSec.subarray(0, run.rankCount)),
      finishSec: Array.from(run.finishSec.subarray(0, run.rankCount)),
      memory: memoryTimeline(problem, candidate),
      capacityBytes: explanation.ranks.map((r) => r.capacityBytes),
      traffic: linkTraffic(problem, candidate, book.collectives(key)),
    },
    layers: layerGraph(model.graph, model.segmentation, candidate),
    warnings: faults.map((fault) => oneLine(fault, 300)),
  };
}

function clusterFacts(plan: Plan, cluster: Cluster): ClusterFacts {
  return {
    name: cluster.name,
    description: cluster.description,
    levels: cluster.levels.map(({ name, kind, size, bytesPerSecPerDevice, oversubscription }) => ({
      name,
      kind,
      size,
      bytesPerSecPerDevice,
      oversubscription,
    })),
    groups: cluster.groups.map(({ name, device, firstRank, deviceCount, devicesPerHost }) => ({
      name,
      device: device.name,
      firstRank,
      deviceCount,
      devicesPerHost,
      memoryBytes: device.memoryBytes,
    })),
    stageOfDevice: stageOfDevice(plan),
    pue: cluster.pue,
    carbonKgPerKwh: cluster.carbonKgPerKwh,
  };
}

/** Pipeline rank of every device: its coordinate on the mesh's pp axis. */
function stageOfDevice({ cluster, mesh }: Plan): Int32Array {
  const stages = new Int32Array(cluster.devices);
  const axis = mesh.axes.find((a) => a.name === 'pp');
  for (let rank = 0; rank < cluster.devices; rank++) {
    const device = mesh.rankToDevice === null ? rank : mesh.rankToDevice[rank];
    stages[device] = axis === undefined ? 0 : Math.floor(rank / axis.stride) % axis.size;
  }
  return stages;
}

/** A comparison as `partition compare --json` wrote it, with the curves of its runs where it tells them. */
function readComparison(path: string): ReportFacts['comparison'] {
  const expected = 'a comparison: what partition compare --json prints';
  let facts: Partial<CompareFacts> & { runs?: readonly CurveFacts[] };
  try {
    facts = JSON.parse(readTextFile(path, expected)) as typeof facts;
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    throw new PartitionError('input', `expected ${expected}, found no JSON`, path);
  }
  const whole =
    typeof facts === 'object' &&
    facts !== null &&
    Array.isArray(facts.comparisons) &&
    Array.isArray(facts.seeds) &&
    facts.comparisons.every((c: CompareFacts['comparisons'][number] | null) => Array.isArray(c?.methods)) &&
    typeof facts.model === 'string';
  if (!whole) throw new PartitionError('input', `expected ${expected}, found other fields`, path);
  return { facts: facts as CompareFacts, runs: facts.runs ?? [] };
}
