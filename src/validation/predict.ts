/**
 * From a measured run's configuration to the metric that was published for it. What a run *is* (graph, shardings, plan) is
 * prepared once; what it costs is priced as often as figures change, without solving anything again.
 */
import type { Cluster } from '../cluster/index.js';
import { loadStack, stackOn } from '../cost/stack.js';
import type { StackProfile } from '../cost/stack.js';
import { RECOMPUTE_FULL, RECOMPUTE_NONE, RECOMPUTE_SELECTIVE } from '../cost/types.js';
import type { Graph, Segmentation } from '../graph/index.js';
import { analyze } from '../graph/index.js';
import { DType } from '../model/index.js';
import { checkCandidate } from '../plan/candidate.js';
import type { Candidate, TimeBreakdown } from '../plan/types.js';
import { createEstimate, createSimulator } from '../simulate/estimate.js';
import type { Estimate, PlanProblem, Simulator } from '../simulate/types.js';
import { modelFacts, StrategyBook } from '../strategy/index.js';
import type { BookOptions, ModelFacts } from '../strategy/index.js';
import { PartitionError } from '../util/errors.js';
import type { ArchConfig } from '../zoo/index.js';
import { buildZoo } from '../zoo/index.js';
import { launcherCuts } from './cuts.js';
import { flopPerSequence } from './flops.js';
import type { ClusterLoader } from './hardware.js';
import { CellFault } from './row.js';
import type { MeasuredRow, RowFault } from './row.js';
import { flopConvention } from './rules.js';
import type { FlopConvention } from './rules.js';
import { settingOf } from './setting.js';
import { canStretch, stretch } from './stretch.js';
import type { Setting } from './setting.js';

/** Figures that a prediction is priced with. */
export interface Figures {
  /** Profile of a name; the shipped ones by default. */
  readonly stack?: ((name: string) => StackProfile) | undefined;
  /** Cluster with other figures (same hosts and levels); the prepared one by default. */
  readonly cluster?: ((cluster: Cluster) => Cluster) | undefined;
}

/** A run ready to be priced under any figures. */
export interface Prepared {
  readonly row: MeasuredRow;
  readonly setting: Setting;
  /** Shared by runs of the same model on the same cluster. */
  readonly base: PlanProblem & { readonly costs: StrategyBook };
  readonly candidate: Candidate;
  readonly convention: FlopConvention;
  /** FLOP of one sequence as the source counts, and of the model (causal, nothing repeated). */
  readonly metricFlop: number;
  readonly modelFlop: number;
}

export interface Prediction {
  readonly prepared: Prepared;
  readonly stepTimeSec: number;
  /** In the unit of the row's metric. */
  readonly value: number;
  readonly breakdown: TimeBreakdown;
  readonly peakMemoryBytes: number;
  readonly memoryCapacityBytes: number;
}

export interface PredictorOptions extends Figures {
  /** Presets under a calibration. */
  readonly load?: ClusterLoader | undefined;
  /** Prices every row with this stack, whatever its source says. */
  readonly stackName?: string | undefined;
}

/** A model that was met: its layers, and its whole chain. */
interface Analysed {
  readonly layers: StrategyBook;
  readonly segmentation: Segmentation;
  facts: ModelFacts | null;
}

/** Equal layers that a graph is built with, however many the model has. */
const LAYERS_BUILT = 4;

/** Problems and simulators of one set of figures. */
type Priced = Map<PlanProblem, { problem: PlanProblem; simulator: Simulator }>;

export class Predictor {
  private readonly models = new Map<string, Analysed>();
  private readonly problems = new Map<string, Prepared['base']>();
  private readonly estimate: Estimate = createEstimate();

  constructor(private readonly options: PredictorOptions = {}) {}

  /** @throws CellFault naming the field that makes the row impossible */
  prepare(row: MeasuredRow): Prepared {
    const setting = settingOf(row, this.options.load);
    const named =
      this.options.stackName === undefined ? setting : { ...setting, stack: this.options.stackName };
    const base = this.problem(named);
    const candidate = this.candidate(named, base);
    const convention = flopConvention(`${row.source} ${row.note}`);
    const flop = (rule: FlopConvention): number =>
      flopPerSequence(setting.architecture, row.sequenceLength, rule, row.recompute === 'full');
    return {
      row,
      setting: named,
      base,
      candidate,
      convention,
      metricFlop: flop(convention),
      modelFlop: flop({ attention: 'causal', recompute: false }),
    };
  }

  /** Prepares all rows that can be; the others with their reasons, in order. */
  prepareAll(
    rows: readonly MeasuredRow[],
    progress: (done: number) => void = () => undefined,
  ): { prepared: Prepared[]; faults: RowFault[] } {
    const prepared: Prepared[] = [];
    const faults: RowFault[] = [];
    rows.forEach((row, i) => {
      try {
        prepared.push(this.prepare(row));
      } catch (e) {
        if (!(e instanceof CellFault)) throw e;
        faults.push({ line: row.line, id: row.id, reason: e.message });
      }
      progress(i + 1);
    });
    return { prepared, faults };
  }

  predict(prepared: Prepared, figures: Figures = this.options): Prediction {
    return this.predictAll([prepared], figures)[0];
  }

  /** Runs that share a problem share its tables. */
  predictAll(all: readonly Prepared[], figures: Figures = this.options): Prediction[] {
    const priced: Priced = new Map();
    const stacks = new Map<string, StackProfile>();
    const stack = (name: string): StackProfile => {
      let found = stacks.get(name);
      if (found === undefined) stacks.set(name, (found = (figures.stack ?? loadStack)(name)));
      return found;
    };
    return all.map((prepared) => {
      let entry = priced.get(prepared.base);
      if (entry === undefined) {
        const problem = reprice(prepared.base, figures, stack(prepared.setting.stack));
        entry = { problem, simulator: createSimulator(problem, true) };
        priced.set(prepared.base, entry);
      }
      const globalBatch = prepared.setting.globalBatch;
      const e = entry.simulator.estimate(prepared.candidate, this.estimate);
      return {
        prepared,
        stepTimeSec: e.stepTimeSec,
        value: metricOf(prepared, e.stepTimeSec, globalBatch),
        breakdown: { ...e.breakdown },
        peakMemoryBytes: e.peakMemoryBytes,
        memoryCapacityBytes: e.memoryCapacityBytes,
      };
    });
  }

  private problem(setting: Setting): Prepared['base'] {
    const { row, cluster, precision } = setting;
    const model = modelKey(setting.architecture, row.sequenceLength);
    const key = [
      model,
      setting.preset,
      row.devices,
      row.devicesPerDomain,
      precision,
      row.sequenceParallel,
      setting.stack,
      setting.globalBatch,
    ].join('|');
    let found = this.problems.get(key);
    if (found === undefined) {
      const stack = stackOn((this.options.stack ?? loadStack)(setting.stack), cluster.groups[0].device);
      const options = {
        phase: 'train',
        precision,
        stack,
        sequenceParallel: row.sequenceParallel ?? 'auto',
      } as const;
      const analysed = this.analyse(model, setting, options);
      const { segmentation } = analysed;
      const book = analysed.layers.on(cluster, options, segmentation);
      analysed.facts ??= modelFacts(book);
      found = {
        segmentation,
        cluster,
        devices: cluster.deviceCount,
        phase: 'train',
        precision,
        stack,
        globalBatch: setting.globalBatch,
        sequenceLength: row.sequenceLength,
        objective: { time: 1, energy: 0, cost: 0 },
        costs: book,
        ...analysed.facts,
        tpChoices: [1],
      };
      this.problems.set(key, found);
    }
    return found;
  }

  private analyse(key: string, setting: Setting, options: BookOptions): Analysed {
    let found = this.models.get(key);
    if (found === undefined) {
      const { architecture } = setting;
      const { layers } = architecture;
      const seq = setting.row.sequenceLength;
      try {
        const few = Math.min(layers, LAYERS_BUILT + (architecture.moe?.denseLayers ?? 0));
        let read = readLayers(architecture, few, seq);
        // Beside a huge vocabulary a few layers are no chain worth cutting: then the model is built whole.
        if (!canStretch(read.segmentation, few)) read = readLayers(architecture, layers, seq);
        const { graph, segmentation } = read;
        found = {
          layers: new StrategyBook(graph, segmentation, setting.cluster, options),
          segmentation: stretch(segmentation, canStretch(segmentation, few) ? layers - few : 0),
          facts: null,
        };
      } catch (e) {
        if (!(e instanceof PartitionError)) throw e;
        throw new CellFault('model', e.line());
      }
      this.models.set(key, found);
    }
    return found;
  }

  private candidate(setting: Setting, base: Prepared['base']): Candidate {
    const { row, vpp, etp, zeroStage, microbatch, dpReplicate, dpShard } = setting;
    const { tp, pp, cp, ep } = row;
    const { segmentation, costs } = base;
    for (const degree of new Set([tp, etp]))
      if (degree > 1 && !costs.splitsWeights(degree))
        throw new CellFault('tp', `${degree} does not split the weights of this model`);
    const candidate: Candidate = {
      dpReplicate,
      dpShard,
      tp,
      pp,
      vpp,
      cp,
      ep,
      etp,
      zeroStage,
      schedule: vpp > 1 ? 'interleaved' : '1f1b',
      microbatch,
      axisOrder: 'tp-cp-dp-pp',
      contextExchange: 'ring',
      recompute: new Uint8Array(segmentation.classCount).fill(RECOMPUTE_NONE),
      stageStart: launcherCuts(segmentation.segmentCount, pp * vpp),
    };
    const fault = checkCandidate({ ...base, tpChoices: [1, tp, etp] }, candidate);
    if (fault !== null) throw new CellFault('plan', fault);
    if (row.recompute === 'full') candidate.recompute.fill(RECOMPUTE_FULL);
    else if (row.recompute === 'selective' || (row.recompute === null && !this.fits(base, candidate)))
      candidate.recompute.fill(RECOMPUTE_SELECTIVE);
    return candidate;
  }

  private fits(problem: PlanProblem, candidate: Candidate): boolean {
    return createSimulator(problem, true).estimate(candidate, this.estimate).fits;
  }
}

/** The graph of an architecture with so many layers. */
function readLayers(
  architecture: ArchConfig,
  layers: number,
  seq: number,
): { graph: Graph; segmentation: Segmentation } {
  const model = buildZoo({ ...architecture, layers }, { dtype: DType.BFLOAT16, attentionMask: false });
  return analyze(model, { where: architecture.name, seq, phase: 'train' });
}

function modelKey(config: ArchConfig, sequenceLength: number): string {
  return JSON.stringify({ ...config, name: '', source: '', published: null, sequenceLength });
}

/** The same plan under other figures; strategies stay. */
function reprice(base: Prepared['base'], figures: Figures, profile: StackProfile): PlanProblem {
  const cluster = figures.cluster?.(base.cluster) ?? base.cluster;
  const stack = stackOn(profile, cluster.groups[0].device);
  return { ...base, cluster, stack, costs: base.costs.repriced(cluster, stack) };
}

/** The row's metric of a step that takes so long. */
export function metricOf(prepared: Prepared, stepTimeSec: number, globalBatch: number): number {
  const { row, metricFlop, base } = prepared;
  const perDevice = globalBatch / (stepTimeSec * row.devices);
  if (row.metric === 'step_s') return stepTimeSec;
  if (row.metric === 'tokens_per_s_per_gpu') return perDevice * row.sequenceLength;
  const flopPerSec = perDevice * metricFlop;
  if (row.metric === 'tflops_per_gpu') return flopPerSec / 1e12;
  return flopPerSec / base.cluster.groups[0].device.peakFlopPerSec[base.precision];
}

/** The step time that a metric's value stands for, seconds: the inverse of `metricOf`. */
export function stepTimeOf(prepared: Prepared, value: number): number {
  if (prepared.row.metric === 'step_s') return value;
  return metricOf(prepared, 1, prepared.setting.globalBatch) / value;
}
