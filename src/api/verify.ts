/** `partition verify` as a function: a model and its split through ONNX Runtime, compared. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  defaultTolerance,
  difference,
  givenInputs,
  loadRuntime,
  runSplit,
  runtimeType,
  runWhole,
  seededInputs,
  splitFacts,
} from '../emit/split/index.js';
import type { OutputDifference, RuntimeTensor, SplitFacts } from '../emit/split/index.js';
import { readModel } from '../model/index.js';
import { PartitionError } from '../util/errors.js';
import { splitInto } from './split.js';
import type { SplitRequest } from './split.js';

export interface VerifyRequest extends Pick<SplitRequest, 'modelPath' | 'planPath' | 'stages' | 'tp'> {
  /** .npz or JSON; default: made up from the seed. */
  readonly inputsPath?: string | undefined;
  readonly seed?: number | undefined;
  /** Sizes of symbolic dimensions of made-up inputs. */
  readonly bind?: Readonly<Record<string, number>> | undefined;
  /** Of the largest difference over the largest element; default by the model's arithmetic. */
  readonly tolerance?: number | undefined;
}

export interface VerifyHooks {
  readonly onProgress?: (status: string) => void;
  readonly isStopped?: () => boolean;
}

/** What `partition verify --json` prints. */
export interface Verification {
  readonly outputs: readonly OutputDifference[];
  readonly pass: boolean;
}

/** What the table says besides. */
export interface VerifyReply {
  readonly verification: Verification;
  readonly tolerance: number;
  readonly runtime: string;
  readonly stages: number;
  readonly tp: number;
}

/**
 * Splits the model in a temporary folder, runs whole and split on the same inputs, and compares.
 *
 * @returns null when it was stopped
 * @throws PartitionError usage without ONNX Runtime; input when it refuses a model; and as `splitFile`
 */
export async function verifySplit(
  request: VerifyRequest,
  hooks: VerifyHooks = {},
): Promise<VerifyReply | null> {
  const { modelPath } = request;
  const runtime = await loadRuntime();
  const facts = splitFacts(readModel(modelPath), modelPath);
  const feeds = feedsOf(facts, request);
  const folder = mkdtempSync(join(tmpdir(), 'partition-verify-'));
  const tell = (status: string): void => hooks.onProgress?.(status);
  try {
    tell('splitting');
    const manifest = splitInto(
      request,
      folder,
      hooks.isStopped === undefined ? {} : { isStopped: hooks.isStopped },
    );
    if (manifest === null) return null;
    tell('running the whole model');
    const whole = await runWhole(runtime, modelPath, feeds);
    const split = await runSplit(runtime, folder, manifest, feeds, (done, of) => {
      tell(`running sub-model ${String(done)} of ${String(of)}`);
      return hooks.isStopped?.() !== true;
    });
    if (split === null) return null;
    const tolerance = request.tolerance ?? defaultTolerance(facts, manifest.tp);
    const outputs = facts.outputs.map((name) => difference(name, whole[name], split[name], tolerance));
    return {
      verification: { outputs, pass: outputs.every((output) => output.pass) },
      tolerance,
      runtime: runtime.name,
      stages: manifest.stages,
      tp: manifest.tp,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function feedsOf(facts: SplitFacts, request: VerifyRequest): Record<string, RuntimeTensor> {
  const { modelPath, inputsPath } = request;
  if (inputsPath === undefined) return seededInputs(facts, request.seed ?? 0, request.bind ?? {}, modelPath);
  const given = givenInputs(inputsPath);
  const feeds: Record<string, RuntimeTensor> = {};
  for (const name of facts.inputs) {
    const tensor = given[name];
    if (tensor === undefined)
      throw new PartitionError(
        'input',
        `no value for input "${name}"`,
        inputsPath,
        `the model reads ${facts.inputs.join(', ')}`,
      );
    const type = facts.type(name);
    const wanted = type?.kind === 'tensor' ? runtimeType(type.dtype) : null;
    if (wanted !== null && wanted.name !== tensor.type)
      throw new PartitionError(
        'input',
        `input "${name}": expected ${wanted.name}, found ${tensor.type}`,
        inputsPath,
      );
    feeds[name] = tensor;
  }
  return feeds;
}
