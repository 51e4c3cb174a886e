/** `partition split` as a function: the sub-models of a plan's stages and ranks. */
import { join } from 'node:path';
import { MANIFEST_NAME, splitModel } from '../emit/split/index.js';
import type { ManifestStep, SplitManifest } from '../emit/split/index.js';
import { checkModel, readModel } from '../model/index.js';
import { decodePlan } from '../plan/index.js';
import type { Plan } from '../plan/types.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';

export const WEIGHT_PLACES = ['copy', 'reference'] as const;

export interface SplitRequest {
  readonly modelPath: string;
  /** Not needed where stages or tp are given. */
  readonly planPath?: string | undefined;
  /** Default: the plan's, else 1. Given, the stages are of about equal work instead of the plan's. */
  readonly stages?: number | undefined;
  /** Tensor-parallel ranks of a stage; default: the plan's, else 1. */
  readonly tp?: number | undefined;
  /** Folder; default: `<model>.split`. */
  readonly out?: string | undefined;
  /** `copy` (the default): every sub-model has its weights; `reference`: external ones stay in their file, linked. */
  readonly weights?: (typeof WEIGHT_PLACES)[number] | undefined;
}

export interface SplitHooks {
  /** Told how much is done, 0 to 1. */
  readonly onProgress?: (done: number) => void;
  /** Asked now and then; true ends the work, and nothing is left. */
  readonly isStopped?: () => boolean;
}

/** What `partition split --json` prints. */
export interface SplitSummary {
  readonly folder: string;
  readonly manifest: string;
  readonly stages: number;
  readonly tp: number;
  readonly files: readonly {
    readonly path: string;
    readonly stage: number;
    readonly rank: number;
    readonly segment: number;
    readonly nodes: number;
    readonly initializerBytes: number;
  }[];
  readonly collectives: number;
  readonly sentTensors: number;
  readonly shardedTensors: number;
}

class Stopped extends Error {}

/**
 * Writes the sub-models and their manifest. The folder changes when all is written; what an earlier split left in it is
 * removed then.
 *
 * @returns null when it was stopped
 * @throws PartitionError usage, input, or infeasible when the model cannot be cut so
 */
export function splitFile(request: SplitRequest, hooks: SplitHooks = {}): SplitSummary | null {
  const folder = request.out ?? `${request.modelPath.replace(/\.onnx$/, '')}.split`;
  const manifest = splitInto(request, folder, hooks);
  return manifest === null ? null : summaryOf(manifest, folder);
}

/** As `splitFile`, with the manifest as the answer. */
export function splitInto(
  request: SplitRequest,
  folder: string,
  hooks: SplitHooks = {},
): SplitManifest | null {
  const plan = request.planPath === undefined ? null : readPlan(request.planPath);
  if (plan === null && request.stages === undefined && request.tp === undefined)
    throw new PartitionError(
      'usage',
      'expected a plan.json, --stages or --tp',
      null,
      'for example --stages 2 --tp 4',
    );
  const model = readModel(request.modelPath);
  checkModel(model, request.modelPath);
  try {
    return splitModel({
      model,
      modelPath: request.modelPath,
      plan,
      stages: request.stages ?? null,
      tp: request.tp ?? null,
      out: folder,
      weights: request.weights ?? 'copy',
      proceed: (done) => {
        if (hooks.isStopped?.() === true) throw new Stopped();
        hooks.onProgress?.(done);
      },
    });
  } catch (e) {
    if (e instanceof Stopped) return null;
    throw e;
  }
}

function readPlan(path: string): Plan {
  return decodePlan(readTextFile(path, 'a plan'), path);
}

function summaryOf(manifest: SplitManifest, folder: string): SplitSummary {
  const isCollective = ({ kind }: ManifestStep): boolean => kind === 'allReduce' || kind === 'allGather';
  return {
    folder,
    manifest: join(folder, MANIFEST_NAME),
    stages: manifest.stages,
    tp: manifest.tp,
    files: manifest.pieces.map(({ file, stage, rank, segment, nodes, initializerBytes }) => ({
      path: join(folder, file),
      stage,
      rank,
      segment,
      nodes,
      initializerBytes,
    })),
    collectives: manifest.steps.filter(isCollective).length,
    sentTensors: manifest.steps.reduce(
      (sum, step) => sum + (step.kind === 'send' ? step.tensors.length : 0),
      0,
    ),
    shardedTensors: manifest.shardings.length,
  };
}
