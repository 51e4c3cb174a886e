/**
 * Piper's problem (Tarnawski, Narayanan, Phanishayee, "Piper: Multidimensional Planner for DNN Parallelization", NeurIPS
 * 2021, section 3): stages in a pipeline, each with a data-parallel and a tensor-parallel degree, and for each layer one of its
 * configurations for that tensor degree (such as with or without recomputation). The time per sample is that of the slowest
 * stage.
 *
 * A stage on d replicas of t devices, with s the sum of the data-parallel degrees of it and all later stages:
 *
 *     time   = sum_v (p_v + 2 (edges out of the stage, bytes + syncs) / bandwidth) / d + 4 (d - 1) / d * w_v / N / bandwidth
 *     memory = sum_v a_v * ceil(s / d) + b_v <= memory of a device
 */
import { PartitionError } from '../../util/errors.js';
import type { Json } from './fields.js';
import { amountOf, countOf, idOf, isObject, listOf, objectOf, refuse } from './fields.js';
import { refuseCycle } from './read.js';

/** One way to run a layer on `tensorDegree` devices. */
export interface LayerChoice {
  readonly name: string;
  readonly timePerSample: number;
  readonly parameterBytes: number;
  /** Bytes per sample in flight, and bytes once. */
  readonly memoryPerSample: number;
  readonly memoryFixed: number;
  /** Bytes added to each edge that enters or leaves the stage here, by edge id. */
  readonly syncBytes: ReadonlyMap<number, number>;
}

export interface PiperProblem {
  readonly names: readonly string[];
  readonly ids: readonly (string | number)[];
  readonly devices: number;
  readonly memoryBytes: number;
  /** Bytes per unit of time, out of and into each replica. */
  readonly bandwidth: number;
  readonly samplesPerBatch: number;
  readonly edgeSource: Int32Array;
  readonly edgeTarget: Int32Array;
  readonly edgeBytes: Float64Array;
  /** Tensor degrees that occur, ascending. */
  readonly tensorDegrees: readonly number[];
  /** `choices[layer].get(tensorDegree)`. */
  readonly choices: readonly ReadonlyMap<number, readonly LayerChoice[]>[];
}

/** @throws PartitionError input, naming the layer */
export function readPiperProblem(document: unknown, where: string): PiperProblem {
  const file = objectOf(document, where, 'file');
  const devices = countOf(file, 'maxDevices', where, 1);
  const samplesPerBatch = countOf(file, 'mbsInBatch', where, 1);
  const bandwidth = amountOf(file, 'bandwidth', where);
  if (bandwidth === 0) throw refuse(where, 'bandwidth', 'a number above 0', 0);
  const nodes = listOf(file, 'nodes', where);
  if (nodes.length === 0) throw refuse(where, 'nodes', 'at least one', []);
  const index = new Map<string, number>();
  const ids: (string | number)[] = [];
  const names: string[] = [];
  nodes.forEach((value, v) => {
    const node = objectOf(value, `${where}, nodes[${v}]`, 'node');
    const id = idOf(node, 'id', `${where}, nodes[${v}]`);
    names.push(typeof node['name'] === 'string' ? node['name'] : String(id));
    // Keys of syncTimes are text, so ids are compared as text.
    if (index.has(String(id))) throw refuse(`${where}, node ${names[v]}`, 'id', 'one that is new', id);
    index.set(String(id), v);
    ids.push(id);
  });
  const edges = listOf(file, 'edges', where);
  const edgeSource = new Int32Array(edges.length);
  const edgeTarget = new Int32Array(edges.length);
  const edgeBytes = new Float64Array(edges.length);
  const edgeOf = new Map<string, number>();
  edges.forEach((value, e) => {
    const at = `${where}, edges[${e}]`;
    const edge = objectOf(value, at, 'edge');
    const end = (field: string): number => {
      const id = idOf(edge, field, at);
      const v = index.get(String(id));
      if (v === undefined) throw refuse(at, field, 'a node of the file', id);
      return v;
    };
    edgeSource[e] = end('sourceId');
    edgeTarget[e] = end('destId');
    edgeBytes[e] = amountOf(edge, 'communicationCost', at);
    edgeOf.set(`${edgeSource[e]} ${edgeTarget[e]}`, e);
  });
  refuseCycle(where, names, edgeSource, edgeTarget);
  const degrees = new Set<number>();
  const choices = nodes.map((value, v) => {
    const at = `${where}, node ${names[v]}`;
    const table = objectOf((value as Json)['TMPCs'], at, 'TMPCs');
    const byDegree = new Map<number, LayerChoice[]>();
    for (const [key, list] of Object.entries(table)) {
      const degree = Number(key);
      if (!Number.isSafeInteger(degree) || degree < 1)
        throw refuse(at, 'TMPCs', 'tensor-parallel degrees of at least 1', key);
      if (!Array.isArray(list)) throw refuse(at, `TMPCs.${key}`, 'a list', list);
      if (list.length === 0) continue;
      degrees.add(degree);
      byDegree.set(
        degree,
        list.map((item: unknown, i) => {
          const choice = objectOf(item, at, `TMPCs.${key}[${i}]`);
          const syncBytes = new Map<number, number>();
          readSyncs(choice, 'syncTimeFw', at, (other) => edgeOf.get(`${index.get(other)} ${v}`), syncBytes);
          readSyncs(choice, 'syncTimeBw', at, (other) => edgeOf.get(`${v} ${index.get(other)}`), syncBytes);
          return {
            name: typeof choice['id'] === 'string' ? choice['id'] : `choice ${i}`,
            timePerSample: amountOf(choice, 'timePerSample', at),
            parameterBytes: amountOf(choice, 'parameterSize', at),
            memoryPerSample: amountOf(choice, 'memoryUsageA', at),
            memoryFixed: amountOf(choice, 'memoryUsageB', at),
            syncBytes,
          };
        }),
      );
    }
    if (byDegree.size === 0)
      throw new PartitionError('input', 'TMPCs: no configuration for any number of devices', at);
    return byDegree;
  });
  return {
    names,
    ids,
    devices,
    memoryBytes: amountOf(file, 'maxMemoryPerDevice', where),
    bandwidth,
    samplesPerBatch,
    edgeSource,
    edgeTarget,
    edgeBytes,
    tensorDegrees: [...degrees].sort((a, b) => a - b),
    choices,
  };
}

function readSyncs(
  choice: Json,
  field: string,
  at: string,
  edgeTo: (other: string) => number | undefined,
  into: Map<number, number>,
): void {
  const table = choice[field];
  if (table === undefined) return;
  if (!isObject(table)) throw refuse(at, field, 'an object', table);
  for (const other of Object.keys(table)) {
    const edge = edgeTo(other);
    if (edge === undefined) throw refuse(at, field, 'nodes that share an edge with it', other);
    into.set(edge, amountOf(table, other, `${at}, ${field}`));
  }
}

/** One stage of an answer. */
export interface PiperStage {
  readonly layers: readonly number[];
  readonly dataDegree: number;
  readonly tensorDegree: number;
  /** Choice of each layer, in the order of `layers`. */
  readonly choice: readonly number[];
}

export interface PiperVerdict {
  readonly timePerSample: number;
  readonly stages: readonly { readonly time: number; readonly memoryBytes: number }[];
  readonly faults: readonly string[];
}

/** The plain judge: prices stages from the formulas at the head of this file, and says what is wrong with them. */
export function judgePiper(problem: PiperProblem, stages: readonly PiperStage[]): PiperVerdict {
  const faults: string[] = [];
  const stageOf = new Array<number>(problem.names.length).fill(-1);
  let devices = 0;
  let inFlight = 0;
  stages.forEach((stage, i) => {
    for (const v of stage.layers) {
      if (stageOf[v] >= 0) faults.push(`${problem.names[v]} is in two stages`);
      stageOf[v] = i;
    }
    devices += stage.dataDegree * stage.tensorDegree;
    inFlight += stage.dataDegree;
    if (problem.samplesPerBatch % stage.dataDegree !== 0)
      faults.push(`stage ${i}: ${stage.dataDegree} replicas do not divide the batch`);
  });
  if (stageOf.includes(-1)) faults.push(`${problem.names[stageOf.indexOf(-1)]} is in no stage`);
  if (devices > problem.devices) faults.push(`${devices} of ${problem.devices} devices`);
  if (inFlight > problem.samplesPerBatch) faults.push('more replicas than samples');
  for (let e = 0; e < problem.edgeSource.length; e++)
    if (stageOf[problem.edgeSource[e]] > stageOf[problem.edgeTarget[e]])
      faults.push(`${problem.names[problem.edgeTarget[e]]} runs before what it reads`);
  const priced = stages.map((stage, i) => {
    const samples = Math.ceil(inFlight / stage.dataDegree);
    inFlight -= stage.dataDegree;
    let time = 0;
    let memoryBytes = 0;
    stage.layers.forEach((v, j) => {
      const choice = problem.choices[v].get(stage.tensorDegree)?.[stage.choice[j]];
      if (choice === undefined) {
        faults.push(`${problem.names[v]} cannot run on ${stage.tensorDegree} devices`);
        return;
      }
      let bytes = 0;
      for (let e = 0; e < problem.edgeSource.length; e++) {
        const [from, to] = [problem.edgeSource[e], problem.edgeTarget[e]];
        if ((from === v || to === v) && stageOf[from] !== stageOf[to])
          bytes += 2 * (problem.edgeBytes[e] + (choice.syncBytes.get(e) ?? 0));
      }
      const d = stage.dataDegree;
      const resync = (4 * (d - 1) * choice.parameterBytes) / d / problem.samplesPerBatch;
      time += choice.timePerSample / d + (bytes / d + resync) / problem.bandwidth;
      memoryBytes += choice.memoryPerSample * samples + choice.memoryFixed;
    });
    if (memoryBytes > problem.memoryBytes * (1 + 1e-12))
      faults.push(`stage ${i} takes ${memoryBytes} of ${problem.memoryBytes} bytes`);
    return { time, memoryBytes };
  });
  return { timePerSample: Math.max(...priced.map((s) => s.time)), stages: priced, faults };
}
