/** All that a report shows, as data; whoever fills it has read the files and played the step. */
import type { Plan } from '../../plan/types.js';
import type { AxisTraffic } from '../../simulate/linkTraffic.js';
import type { MemoryTimeline } from '../../simulate/memoryTimeline.js';
import type { Timeline } from '../../simulate/timeline.js';
import type { CurveFacts } from '../compareChart.js';
import type { CompareFacts } from '../compareTable.js';
import type { ExplanationFacts } from '../explanationTable.js';
import type { TrainingFacts } from './goodputSection.js';

export interface ReportFacts {
  readonly plan: Plan;
  readonly programVersion: string;
  /** How the plan was made, as run.json beside it says; null fields where it does not. */
  readonly run: {
    readonly command: string | null;
    readonly host: string | null;
    readonly date: string | null;
    readonly wallSec: number | null;
  };
  readonly stepTimeInterval: { readonly lowSec: number; readonly highSec: number } | null;
  readonly cluster: ClusterFacts;
  /** The step played event by event; null where the model was not at hand. */
  readonly step: StepFacts | null;
  readonly layers: LayerGraph | null;
  /** The job under failures; null where nothing was said of them. */
  readonly training: TrainingFacts | null;
  readonly comparison: {
    readonly facts: CompareFacts;
    readonly runs: readonly CurveFacts[];
  } | null;
  /** What the reader has to know first: what is missing, what does not fit. */
  readonly notes: readonly string[];
}

export interface StepFacts {
  /** Event by event; the explanation is of the closed form, which takes `estimateSec`. */
  readonly stepTimeSec: number;
  readonly estimateSec: number;
  readonly explanation: ExplanationFacts;
  readonly rankCount: number;
  readonly timeline: Timeline;
  /** Per pipeline rank: seconds in which its compute stream did nothing, and when it had finished. */
  readonly idleSec: readonly number[];
  readonly finishSec: readonly number[];
  readonly memory: MemoryTimeline;
  /** Per pipeline rank. */
  readonly capacityBytes: readonly number[];
  readonly traffic: readonly AxisTraffic[];
}

export interface LevelFacts {
  readonly name: string;
  readonly kind: string;
  /** Devices that it joins. */
  readonly size: number;
  /** One direction, of one device. */
  readonly bytesPerSecPerDevice: number;
  readonly oversubscription: number;
}

/** Equal hosts in rank order. */
export interface HostGroup {
  readonly name: string;
  readonly device: string;
  readonly firstRank: number;
  readonly deviceCount: number;
  readonly devicesPerHost: number;
  readonly memoryBytes: number;
}

export interface ClusterFacts {
  readonly name: string;
  readonly description: string;
  readonly levels: readonly LevelFacts[];
  readonly groups: readonly HostGroup[];
  /** Pipeline rank of every device, by its number in the cluster. */
  readonly stageOfDevice: Int32Array;
  readonly pue: number;
  readonly carbonKgPerKwh: number;
}

/** A run of equal segments of one virtual stage. */
export interface LayerNode {
  readonly virtualStage: number;
  readonly pipelineRank: number;
  /** Segments [first, last). */
  readonly first: number;
  readonly last: number;
  /** Kernels that do its work, the heaviest first, with how many times they stand in one segment. */
  readonly kernels: readonly { readonly kind: string; readonly count: number }[];
  /** Of all its segments, forward, of one sample; and weights that they read. */
  readonly flop: number;
  readonly parameters: number;
  readonly recompute: string;
}

export interface LayerGraph {
  readonly nodes: readonly LayerNode[];
  /** Between nodes: bytes of activations of one sample, as stored in the model. */
  readonly edges: readonly { readonly from: number; readonly to: number; readonly bytes: number }[];
}
