/**
 * The placement episode: every op (or fusion group) of a DAG gets one of a handful of unlike devices.
 *
 * Actions: the device of the next op, ops in a topological order by falling upward rank (as HEFT). Devices that cannot
 *   run the op or have no room for it (and for the ops bound to it) are masked; where none has room, all that can run it
 *   are offered. An op whose group has its device already is not asked.
 * Observation: context (the op: its work, urgency, neighbours; the placement so far; the problem; the op's embedding
 *   where one is given) and per device what placing the op there means (time, start, finish, data at hand, load, memory).
 * Reward: log of how much the bound on the finished value (makespan, or largest load) grows, negative or 0; with the
 *   last op also log(reference / bound at the start), so that an episode sums to log(reference / value), where the
 *   reference is the greedy placement (HEFT for makespan), less a penalty that grows with the memory overflow.
 * Start: nothing placed; the seed does not matter. End: when every op has its device.
 */
import type { Environment, EnvironmentSpec, Observation, Step } from './environment.js';
import { checkAction, MAX_OPTIONS } from './environment.js';
import type { GraphEmbedding } from './graphEmbedding.js';
import { EMBEDDING_FEATURES } from './graphEmbedding.js';
import type { PlacementProblem } from './placementGraph.js';
import { PlacementGraph } from './placementGraph.js';
import { greedyDevice, greedyPlacement, PlacementState } from './placementState.js';

export const PLACEMENT_OPTION_FEATURES = 13;
export const PLACEMENT_CONTEXT_FEATURES = 14;
/** Lost by a placement that does not fit, and more per doubling of memory beyond capacity. */
const OVERFLOW_PENALTY = 1;

export class PlacementEpisode implements Environment {
  readonly spec: EnvironmentSpec;
  readonly graph: PlacementGraph;
  readonly state: PlacementState;
  /** Value of the greedy placement: an episode that only does as well earns 0. */
  readonly referenceSec: number;
  private next = 0;
  private observation: Observation | null = null;
  /** Per kind, log2 of the mean time over that of the fastest kind: how unlike the devices are. */
  private readonly kindSlowness: Float64Array;

  /**
   * @param problem with at most MAX_OPTIONS devices
   * @param embedding node embeddings of the same DAG, for the ops' contexts
   */
  constructor(
    problem: PlacementProblem,
    private readonly embedding: GraphEmbedding | null = null,
  ) {
    if (problem.deviceKind.length > MAX_OPTIONS)
      throw new Error(
        `internal: ${problem.deviceKind.length} devices, at most ${MAX_OPTIONS} can be offered`,
      );
    this.graph = new PlacementGraph(problem);
    this.state = new PlacementState(this.graph);
    greedyPlacement(this.state);
    this.referenceSec = this.state.valueSec;
    this.kindSlowness = slowness(problem);
    this.spec = {
      name: embedding === null ? 'placement' : 'placement-embedded',
      optionFeatures: PLACEMENT_OPTION_FEATURES,
      contextFeatures: PLACEMENT_CONTEXT_FEATURES + (embedding === null ? 0 : EMBEDDING_FEATURES),
      maxSteps: Math.max(1, problem.opCount),
    };
  }

  /** Device per op of the last finished episode. */
  get placement(): Int32Array {
    return this.state.device;
  }

  /** The reference's action: what a demonstration would do now. */
  greedyAction(): number {
    return greedyDevice(this.state, this.graph.order[this.next]);
  }

  reset(_seed: number): Observation {
    this.state.clear();
    this.next = 0;
    return (this.observation = this.observe());
  }

  step(action: number): Step {
    if (this.observation === null || this.next === this.graph.order.length)
      throw new Error('internal: step without a running episode');
    checkAction(this.observation, action);
    const { state, graph } = this;
    const before = state.valueSec;
    state.place(graph.order[this.next++], action);
    while (this.next < graph.order.length) {
      const op = graph.order[this.next];
      const forced = state.forced(op);
      if (forced < 0) break;
      state.place(op, forced);
      this.next++;
    }
    const terminated = this.next === graph.order.length;
    let gain = Math.log(before / state.valueSec);
    let excess = 0;
    if (terminated) {
      gain += Math.log(this.referenceSec / graph.boundSec);
      const ratio = state.memoryRatio();
      if (ratio > 1 + 1e-9) excess = OVERFLOW_PENALTY * (1 + Math.log2(Math.min(ratio, 2 ** 20)));
    } else this.observation = this.observe();
    const { observation } = this;
    return { observation, reward: gain - excess, terminated, truncated: false, components: { gain, excess } };
  }

  private observe(): Observation {
    const { graph, state } = this;
    const op = graph.order[this.next];
    const n = graph.devices;
    const mask = new Uint8Array(n);
    let roomy = 0;
    for (let d = 0; d < n; d++) roomy += mask[d] = state.runs(op, d) && state.fits(op, d) ? 1 : 0;
    if (roomy === 0) for (let d = 0; d < n; d++) mask[d] = state.runs(op, d) ? 1 : 0;
    return {
      optionCount: n,
      options: this.options(op, mask),
      mask,
      context: this.context(op),
    };
  }

  private options(op: number, mask: Uint8Array): Float32Array {
    const { graph, state } = this;
    const { problem } = graph;
    const n = graph.devices;
    const out = new Float32Array(n * PLACEMENT_OPTION_FEATURES);
    const finish = new Float64Array(n).fill(Infinity);
    let earliest = Infinity;
    let meanLoad = 0;
    for (let d = 0; d < n; d++) meanLoad += state.loadSec[d] / n;
    const latency = problem.objective === 'latency';
    const readySec = new Float64Array(n);
    for (let d = 0; d < n; d++) {
      if (mask[d] === 0) continue;
      if (latency) {
        readySec[d] = state.readySec(op, d);
        finish[d] = state.startSec(op, d, readySec[d]) + state.opSec(op, d);
      } else finish[d] = state.loadSec[d] + state.opSec(op, d);
      earliest = Math.min(earliest, finish[d]);
    }
    const scale = graph.boundSec;
    for (let d = 0; d < n; d++) {
      if (mask[d] === 0) continue;
      let k = d * PLACEMENT_OPTION_FEATURES;
      const sec = state.opSec(op, d);
      out[k++] = log2Ratio(sec, graph.leastSec[op]);
      out[k++] = root((finish[d] - earliest) / (graph.meanSec[op] + 1e-3 * scale));
      out[k++] = latency ? root((finish[d] - sec - readySec[d]) / scale) : 0;
      out[k++] = latency ? root(readySec[d] / scale) : 0;
      out[k++] = finish[d] === earliest ? 1 : 0;
      out[k++] = clip(state.loadSec[d] / (meanLoad + 1e-3 * scale));
      out[k++] = clip(10 * Math.log(state.valueAfter(op, d) / state.valueSec));
      out[k++] = this.localShare(op, d);
      out[k++] = memoryShare(state.usedBytes[d] + graph.groupBytes[op], problem.memoryBytes[d]);
      out[k++] = memoryShare(state.usedBytes[d], problem.memoryBytes[d]);
      out[k++] = this.kindSlowness[problem.deviceKind[d]];
      out[k++] = problem.paysTransfers[d];
      out[k] = root(finish[d] / scale);
    }
    return out;
  }

  /** Share of the op's inputs, by transfer time, that lie on the device already. */
  private localShare(op: number, d: number): number {
    const { graph, state } = this;
    const { edgeFrom, transferSec } = graph.problem;
    let all = 0;
    let local = 0;
    for (let j = graph.inStart[op]; j < graph.inStart[op + 1]; j++) {
      const e = graph.inEdge[j];
      all += transferSec[e];
      if (state.device[edgeFrom[e]] === d) local += transferSec[e];
    }
    return all > 0 ? local / all : 0;
  }

  private context(op: number): Float32Array {
    const { graph, state, embedding } = this;
    const { problem } = graph;
    const out = new Float32Array(this.spec.contextFeatures);
    const scale = graph.boundSec;
    let incoming = 0;
    let outgoing = 0;
    for (let j = graph.inStart[op]; j < graph.inStart[op + 1]; j++)
      incoming += problem.transferSec[graph.inEdge[j]];
    for (let j = graph.outStart[op]; j < graph.outStart[op + 1]; j++)
      outgoing = Math.max(outgoing, problem.transferSec[graph.outEdge[j]]);
    let bytes = 0;
    let capacity = 0;
    for (let d = 0; d < graph.devices; d++) {
      bytes += state.usedBytes[d];
      capacity += problem.memoryBytes[d];
    }
    let k = 0;
    out[k++] = this.next / problem.opCount;
    out[k++] = log2Ratio(graph.meanSec[op] * problem.opCount, scale * graph.devices) / 2;
    out[k++] = root(graph.upwardRank[op] / scale);
    out[k++] = root(graph.tailSec[op] / scale);
    out[k++] = Math.log2(1 + graph.inStart[op + 1] - graph.inStart[op]) / 2;
    out[k++] = Math.log2(1 + graph.outStart[op + 1] - graph.outStart[op]) / 2;
    out[k++] = log2Ratio(incoming + 1e-6 * scale, graph.meanSec[op] + 1e-6 * scale) / 4;
    out[k++] = log2Ratio(outgoing + 1e-6 * scale, graph.meanSec[op] + 1e-6 * scale) / 4;
    out[k++] = clip(Math.log2(state.valueSec / scale));
    out[k++] = clip(Math.log2(this.referenceSec / scale));
    out[k++] = memoryShare(bytes, capacity);
    out[k++] = Math.log2(graph.devices) / 4;
    out[k++] = Math.log2(problem.opCount) / 8;
    out[k++] = problem.objective === 'latency' ? 1 : 0;
    if (embedding !== null) embedding.writeNode(op, out, k);
    return out;
  }
}

/** log2 of a mean op's time on each kind over that on the fastest kind. */
function slowness({ opCount, kindCount, timeSec }: PlacementProblem): Float64Array {
  const out = new Float64Array(kindCount);
  for (let k = 0; k < kindCount; k++) {
    let ratio = 0;
    let count = 0;
    for (let v = 0; v < opCount; v++) {
      let least = Infinity;
      for (let j = 0; j < kindCount; j++) least = Math.min(least, timeSec[v * kindCount + j]);
      const sec = timeSec[v * kindCount + k];
      if (sec === Infinity || least <= 0) continue;
      ratio += log2Ratio(sec, least);
      count++;
    }
    out[k] = count === 0 ? 0 : clip(ratio / count);
  }
  return out;
}

function memoryShare(bytes: number, capacityBytes: number): number {
  return capacityBytes === Infinity ? 0 : clip(bytes / Math.max(capacityBytes, 1));
}

/** log2(a / b) within +-8; 0 where either is nothing. */
function log2Ratio(a: number, b: number): number {
  return a > 0 && b > 0 ? clip(Math.log2(a / b)) : 0;
}

/** Square root: small differences show, large ones stay of order 1. */
function root(x: number): number {
  return clip(Math.sqrt(Math.max(0, x)));
}

function clip(x: number): number {
  return Math.max(-8, Math.min(8, x));
}
