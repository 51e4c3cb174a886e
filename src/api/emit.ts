/** From a plan to the files that start it: `partition emit` as a function. */
import { existsSync, readFileSync, renameSync, rmSync, statSync, chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Cluster } from '../cluster/index.js';
import { emitTarget } from '../emit/index.js';
import type { EmitInput, EmitModel, EmittedFile, NotExpressed } from '../emit/index.js';
import { readModel } from '../model/index.js';
import { candidateOf } from '../plan/candidateOf.js';
import { decodePlan } from '../plan/index.js';
import type { Plan } from '../plan/types.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { makeFolder, readTextFile, unwritable, writeFileAtomic } from '../util/files.js';
import { plannedCluster } from './plannedCluster.js';
import { analyzeModel, problemOf } from './problem.js';
import { modelNear, readRun } from './runFile.js';
import type { RunFile } from './runFile.js';
import { chakraOf } from './simulate.js';

export interface EmitRequest {
  readonly planPath: string;
  /** Name of a target. */
  readonly target: string;
  /** Folder; default: one of the target's name beside the plan. */
  readonly out?: string | undefined;
  /** Default: the model that the plan was made from, if it is found. */
  readonly modelPath?: string | undefined;
  /** Default: as run.json beside the plan says, else the preset of the plan's cluster name. */
  readonly cluster?: string | undefined;
  readonly seq?: number | undefined;
  readonly bind?: Readonly<Record<string, number>> | undefined;
  readonly strict?: boolean | undefined;
}

export interface EmitHooks {
  /** Told the file that is being written. */
  readonly onFile?: (name: string) => void;
  /** Asked between files; true ends the work, and nothing is left. */
  readonly isStopped?: () => boolean;
}

/** What `partition emit --json` prints. */
export interface EmitResult {
  readonly target: string;
  readonly toolVersion: string;
  readonly plan: string;
  /** The model that sizes were read from; null where none was found. */
  readonly model: string | null;
  /** The cluster whose hosts were used; null where it is not known. */
  readonly cluster: string | null;
  readonly folder: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly notExpressed: readonly NotExpressed[];
  readonly warnings: readonly string[];
}

/**
 * Writes the files of a target. They appear together at the end; files that an earlier run of the target left in the
 * folder and this one does not write are removed.
 *
 * @returns null when it was stopped
 * @throws PartitionError usage for an unknown target or one that lacks the model; input for files that cannot be read
 */
export async function emitPlan(request: EmitRequest, hooks: EmitHooks = {}): Promise<EmitResult | null> {
  const target = emitTarget(request.target);
  const { input, modelPath, warnings } = readInput(request);
  for (const need of target.needs)
    if (input[need] === null)
      throw new PartitionError(
        'usage',
        need === 'model'
          ? `expected the model ${oneLine(input.plan.model.name, 80)} where the plan was made or beside it, found nothing`
          : `expected a cluster, ${oneLine(input.plan.cluster.name, 80)} is not known`,
        request.planPath,
        need === 'model' ? 'pass it with --model' : 'pass its file with --cluster',
      );
  const { files, notExpressed } = target.emit(input);
  const folder = request.out ?? join(dirname(request.planPath), target.name);
  const record = { target: target.name, toolVersion: target.toolVersion, notExpressed };
  const written = await writeTogether(files, folder, record, hooks);
  if (written === null) return null;
  return {
    target: target.name,
    toolVersion: target.toolVersion,
    plan: request.planPath,
    model: modelPath,
    cluster: input.cluster?.name ?? null,
    folder,
    files: written,
    notExpressed,
    warnings,
  };
}

/** Everything that targets are given. */
function readInput(request: EmitRequest): {
  input: EmitInput;
  modelPath: string | null;
  warnings: string[];
} {
  const { planPath } = request;
  const plan = decodePlan(readTextFile(planPath, 'a plan in JSON'), planPath);
  const run = readRun(planPath);
  const warnings: string[] = [];
  const modelPath = request.modelPath ?? modelNear(planPath, plan, run);
  const model = modelPath === null ? null : openPlanned(request, plan, run, modelPath, warnings);
  if (modelPath === null)
    warnings.push(`the model ${plan.model.name} was not found: what only it says is asked for; pass --model`);
  const cluster = findCluster(request, plan, run, warnings);
  return {
    input: {
      plan,
      model,
      cluster,
      traces: model === null || cluster === null ? null : tracesOf(request, plan, run, model, cluster),
    },
    modelPath: model === null ? null : modelPath,
    warnings,
  };
}

function openPlanned(
  request: EmitRequest,
  plan: Plan,
  run: RunFile,
  path: string,
  warnings: string[],
): EmitModel | null {
  const proto = readModel(path);
  const { graph, segmentation } = analyzeModel(proto, path, {
    seq: request.seq ?? (plan.sequenceLength > 1 ? plan.sequenceLength : undefined),
    bind: request.bind ?? run.bind,
    strict: request.strict,
    phase: plan.phase,
  });
  if (graph.digest === plan.model.digest) return { proto, graph, segmentation };
  const message = `the plan is for ${plan.model.name} with digest ${plan.model.digest.slice(0, 12)}, ${path} has ${graph.digest.slice(0, 12)}`;
  if (request.modelPath !== undefined)
    throw new PartitionError(
      'input',
      message,
      request.planPath,
      'give the model, --seq and --bind that the plan was made with',
    );
  warnings.push(`${message}: it is left aside`);
  return null;
}

function findCluster(request: EmitRequest, plan: Plan, run: RunFile, warnings: string[]): Cluster | null {
  const name = request.cluster ?? run.cluster ?? plan.cluster.name;
  try {
    return plannedCluster(plan, { cluster: name, calibration: run.calibration });
  } catch (e) {
    if (!(e instanceof PartitionError) || request.cluster !== undefined) throw e;
    warnings.push(`the cluster ${name} is not known: its hosts are asked for; pass --cluster`);
    return null;
  }
}

function tracesOf(
  { planPath }: EmitRequest,
  plan: Plan,
  run: RunFile,
  { graph, segmentation }: EmitModel,
  cluster: Cluster,
): EmitInput['traces'] {
  return () => {
    const problem = problemOf({ where: plan.model.name, graph, segmentation, warnings: [] }, cluster, {
      devices: plan.cluster.devices,
      batch: plan.globalBatch,
      precision: plan.precision,
      stack: plan.stack,
      calibration: run.calibration,
      objective: plan.objective,
      sequenceParallel: plan.sequenceParallel,
    });
    return chakraOf(problem, candidateOf(plan, graph, segmentation, planPath));
  };
}

/** Stands in the folder: what was written last, so that the next run of the target can take it away. */
const recordName = (target: string): string => `emit-${target}.json`;

/**
 * Writes files under a folder of their own beside the target's, then gives them their names.
 *
 * @returns null when stopped; nothing is left then
 */
async function writeTogether(
  files: Iterable<EmittedFile>,
  folder: string,
  record: { target: string; toolVersion: string; notExpressed: readonly NotExpressed[] },
  hooks: EmitHooks,
): Promise<{ path: string; bytes: number }[] | null> {
  const aside = join(folder, `.emit.${process.pid}.tmp`);
  const made = !existsSync(folder);
  let isDone = false;
  try {
    makeFolder(aside);
    const names: string[] = [];
    for (const file of files) {
      hooks.onFile?.(file.name);
      writeOne(file, join(aside, file.name));
      names.push(file.name);
      // Signals are heard between files.
      await new Promise((resolve) => setImmediate(resolve));
      if (hooks.isStopped?.() === true) return null;
    }
    removeEarlier(folder, record.target, names);
    const written = names.map((name) => {
      const path = join(folder, name);
      renameSync(join(aside, name), path);
      return { path, bytes: statSync(path).size };
    });
    writeFileAtomic(
      join(folder, recordName(record.target)),
      `${JSON.stringify({ ...record, files: names }, null, 2)}\n`,
    );
    isDone = true;
    return written;
  } catch (e) {
    throw e instanceof PartitionError || !(e instanceof Error && 'code' in e) ? e : unwritable(folder, e);
  } finally {
    removeFolder(isDone || !made ? aside : folder);
  }
}

function removeFolder(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // What could not be made need not be removed.
  }
}

function writeOne({ content, executable }: EmittedFile, path: string): void {
  if (typeof content === 'function') content(path);
  else writeFileAtomic(path, content);
  if (executable === true) chmodSync(path, 0o755);
}

/** Files that an earlier run of the target wrote and this one does not. */
function removeEarlier(folder: string, target: string, names: readonly string[]): void {
  const path = join(folder, recordName(target));
  if (!existsSync(path)) return;
  let earlier: unknown;
  try {
    earlier = (JSON.parse(readFileSync(path, 'utf8')) as { files?: unknown }).files;
  } catch {
    // Someone else's file of that name says nothing of ours.
    return;
  }
  if (!Array.isArray(earlier)) return;
  for (const name of earlier)
    if (typeof name === 'string' && !/[\\/]/.test(name) && name !== '..' && !names.includes(name))
      rmSync(join(folder, name), { force: true });
}
