/**
 * Splits a model into the sub-models of a plan's stages and tensor-parallel ranks, and writes them with a manifest. The
 * folder changes only when all is written: what an earlier split left there is then taken away.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dtypeName } from '../../model/index.js';
import type { ModelProto } from '../../model/index.js';
import type { ValueType } from '../../ops/types.js';
import type { Plan } from '../../plan/types.js';
import { PartitionError } from '../../util/errors.js';
import { makeFolder, readTextFile, removeQuietly, unwritable, writeFileAtomic } from '../../util/files.js';
import { splitFacts } from './facts.js';
import type { SplitFacts } from './facts.js';
import type { ManifestPiece, ManifestTensor, SplitManifest } from './manifest.js';
import { parallelProgram } from './parallel.js';
import { pieceModel } from './piece.js';
import type { Program } from './program.js';
import type { Schedule } from './schedule.js';
import { schedule } from './schedule.js';
import { balancedStages, stagesOfPlan } from './stages.js';
import { segmentOf, stepsOf } from './steps.js';
import { wholeProgram } from './whole.js';
import { placeReferences, writePieces } from './writePiece.js';

export interface SplitRequest {
  readonly model: ModelProto;
  readonly modelPath: string;
  /** Stages and tensor-parallel degree are the plan's where they are not given. */
  readonly plan: Plan | null;
  readonly stages: number | null;
  readonly tp: number | null;
  readonly out: string;
  /** `copy`: each sub-model has its weights; `reference`: external tensors stay in their file, which is linked. */
  readonly weights: 'copy' | 'reference';
  /** Called now and then with how much is done, 0 to 1; throws to give up. */
  readonly proceed: (done: number) => void;
}

export const MANIFEST_NAME = 'manifest.json';

/** @throws PartitionError usage, input, or infeasible when the model cannot be cut so */
export function splitModel(request: SplitRequest): SplitManifest {
  const { model, modelPath, plan } = request;
  const facts = splitFacts(model, modelPath);
  const tp = request.tp ?? plan?.degrees.tp ?? 1;
  const ownStages = request.stages === null && plan !== null;
  const stageOf = ownStages
    ? stagesOfPlan(facts, plan, modelPath)
    : balancedStages(facts, request.stages ?? 1, modelPath);
  const stages = ownStages ? plan.stages.length : (request.stages ?? 1);
  const program =
    tp === 1 ? wholeProgram(facts, stageOf, stages) : parallelProgram(facts, stageOf, stages, tp);
  const plannedPieces = schedule(program, modelPath);
  return write(request, facts, program, plannedPieces);
}

function write(request: SplitRequest, facts: SplitFacts, program: Program, planned: Schedule): SplitManifest {
  const { modelPath, out, proceed } = request;
  const { tp } = program;
  const temporary = join(out, `.split.${String(process.pid)}.tmp`);
  const tensor = (name: string): ManifestTensor => manifestTensor(name, program.type(name));
  const pieces: ManifestPiece[] = [];
  const total = planned.pieces.length;
  try {
    makeFolder(out);
    mkdirSync(temporary, { recursive: true });
  } catch (e) {
    throw unwritable(out, e);
  }
  try {
    planned.pieces.forEach((piece, i) => {
      const segment = segmentOf(planned.pieces, i);
      const segments = planned.pieces.filter((other) => other.stage === piece.stage).length;
      proceed(i / total);
      const ranks = Array.from({ length: tp }, (_, rank) =>
        pieceModel(facts, program, piece, rank, modelPath, request.weights === 'reference'),
      );
      const files = ranks.map((_, rank) =>
        fileName(piece.stage, tp > 1 ? rank : null, segments > 1 ? segment : null),
      );
      const references = placeReferences(ranks[0].model, modelPath, temporary);
      const dataFiles = writePieces(ranks, temporary, files, () => proceed(i / total));
      ranks.forEach((built, rank) =>
        pieces.push({
          stage: piece.stage,
          segment,
          rank,
          file: files[rank],
          dataFiles: [...dataFiles[rank], ...references],
          nodes: piece.nodes.length,
          initializerBytes: built.initializerBytes,
          inputs: piece.inputs.map(tensor),
          outputs: piece.outputs.map(tensor),
        }),
      );
    });
    const manifest: SplitManifest = {
      schemaVersion: 1,
      model: basename(modelPath),
      stages: program.stages,
      tp,
      inputs: program.inputs.map(tensor),
      outputs: program.outputs.map(tensor),
      pieces,
      steps: stepsOf(planned),
      shardings: shardingsOf(program),
    };
    proceed(1);
    publish(manifest, temporary, out);
    return manifest;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function fileName(stage: number, rank: number | null, segment: number | null): string {
  const ofRank = rank === null ? '' : `.rank${String(rank)}`;
  const ofSegment = segment === null ? '' : `.segment${String(segment)}`;
  return `stage${String(stage)}${ofRank}${ofSegment}.onnx`;
}

/** Takes the earlier split away and moves the new one in; the manifest is gone first and appears last. */
function publish(manifest: SplitManifest, temporary: string, out: string): void {
  const manifestPath = join(out, MANIFEST_NAME);
  const earlier = filesOf(earlierManifest(manifestPath));
  removeQuietly(manifestPath);
  for (const file of earlier) removeQuietly(join(out, file));
  for (const file of filesOf(manifest)) {
    // A file that a model refers to and that does not exist was not placed, nor one that was there already.
    if (!existsSync(join(temporary, file))) continue;
    try {
      renameSync(join(temporary, file), join(out, file));
    } catch (e) {
      throw unwritable(join(out, file), e);
    }
  }
  writeFileAtomic(manifestPath, `${JSON.stringify(manifest, null, 1)}\n`);
}

function filesOf(manifest: Pick<SplitManifest, 'pieces'> | null): Set<string> {
  const files = new Set<string>();
  for (const piece of manifest?.pieces ?? [])
    for (const file of [piece.file, ...piece.dataFiles]) files.add(file);
  return files;
}

/** The manifest of an earlier split; only plain names in it are believed. */
function earlierManifest(path: string): Pick<SplitManifest, 'pieces'> | null {
  if (!existsSync(path)) return null;
  const plain = (name: unknown): name is string =>
    typeof name === 'string' && /^stage\d+(\.rank\d+)?(\.segment\d+)?\.onnx(\.data)?$/.test(name);
  try {
    const { pieces } = JSON.parse(readTextFile(path, 'a manifest')) as SplitManifest;
    return {
      pieces: pieces.map((p) => ({
        ...p,
        file: plain(p.file) ? p.file : '',
        dataFiles: p.dataFiles.filter(plain),
      })),
    };
  } catch {
    throw new PartitionError(
      'usage',
      'expected the manifest of an earlier split, found something else',
      path,
      'choose another place with --out',
    );
  }
}

export function manifestTensor(name: string, type: ValueType | null): ManifestTensor {
  if (type?.kind !== 'tensor') return { name, dtype: type?.kind ?? 'unknown', shape: null };
  const shape = type.shape?.map((d) => (typeof d === 'number' ? d : d.text)) ?? null;
  return { name, dtype: dtypeName(type.dtype), shape };
}

function shardingsOf(program: Program): SplitManifest['shardings'] {
  const shardings: SplitManifest['shardings'] = [];
  for (const [as, source] of program.weights)
    if (source.kind === 'tensor' && source.sharding !== null)
      shardings.push({ tensor: source.tensor.name ?? '', as, ...source.sharding });
  return shardings.sort((a, b) => (a.as < b.as ? -1 : 1));
}
