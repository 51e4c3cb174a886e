/** Recording a search: what its prices depend on, its file, and the simulator that writes to it. */
import { basename } from 'node:path';
import { clusterDigest } from '../plan/build.js';
import type { SearchResult } from '../search/types.js';
import { Recorder, RecordingSimulator } from '../simulate/record.js';
import type { RecordHeader } from '../simulate/record.js';
import type { Simulator } from '../simulate/types.js';
import { AtomicWriter } from '../util/files.js';
import { version } from '../util/version.js';
import type { Problem, ProblemOptions } from './problem.js';

/** What a record's header is made of beside the problem. */
export interface RecordedRequest extends ProblemOptions {
  readonly modelPath: string;
  readonly method?: string;
  readonly seed?: number;
}

/**
 * Runs a search and keeps every plan that it prices in a file, which appears when the search has ended.
 *
 * @param solve searches with the simulator that it is given a wrapper for
 * @throws PartitionError usage when the file cannot be written; what `solve` throws, and then no file is left
 */
export async function recordSearch(
  path: string,
  problem: Problem,
  request: RecordedRequest,
  solve: (recording: (simulator: Simulator) => Simulator) => SearchResult | Promise<SearchResult>,
): Promise<SearchResult> {
  const file = new AtomicWriter(path);
  try {
    const recorder = new Recorder(recordHeader(problem, request), (bytes) => file.append(bytes));
    const result = await solve((simulator) => new RecordingSimulator(simulator, recorder));
    recorder.close();
    file.commit();
    return result;
  } catch (e) {
    file.abandon();
    throw e;
  }
}

function recordHeader(
  { model, cluster, problem, calibration }: Problem,
  request: RecordedRequest,
): Omit<RecordHeader, 'format' | 'schemaVersion' | 'columns'> {
  // Where each number came from is the presets' to tell, at length.
  const definition = { ...cluster, sources: [] };
  return {
    programVersion: version(),
    model: { name: basename(request.modelPath), digest: model.graph.digest },
    cluster: { name: cluster.name, devices: cluster.deviceCount, digest: clusterDigest(cluster), definition },
    stack: {
      name: basename(problem.stack.name),
      definition: { ...problem.stack, name: basename(problem.stack.name) },
    },
    calibration: calibration === undefined ? null : { name: calibration.name, digest: calibration.digest },
    phase: problem.phase,
    precision: problem.precision,
    globalBatch: problem.globalBatch,
    sequenceLength: problem.sequenceLength,
    settings: settingsOf(request),
    search: { method: request.method ?? 'auto', seed: request.seed ?? 0 },
  };
}

/** Options of the problem but those that the header spells out. */
function settingsOf(request: RecordedRequest): Record<string, unknown> {
  const { seq, bind, phase, sequenceParallel, precision, objective, strict } = request;
  return { seq, bind, phase, sequenceParallel, precision, objective, strict };
}
