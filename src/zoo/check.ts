/** Whether the sizes of an architecture fit together: checked at the border, trusted by every builder. */
import { PartitionError } from '../util/errors.js';
import type { ArchConfig, MlaConfig, MoeConfig, Origin, SeqToSeqConfig, VisionConfig } from './config.js';

/** Throws when a size is not a positive integer, or when sizes that must divide one another do not. */
export function checkConfig(config: ArchConfig, origin: Origin): void {
  const { family, layers, hidden, heads, kvHeads, headDim, ffn, vocab, maxPositions, moe } = config;
  requireSizes(origin, { layers, hidden, heads, kvHeads, headDim, ffn });
  if (family !== 'vit') requireSizes(origin, { vocab, maxPositions });
  requireDepth(origin, 'layers', layers);
  if (heads % kvHeads !== 0) {
    throw fault(origin, 'kvHeads', `expected a divisor of heads ${heads}, found ${kvHeads}`);
  }
  requireWhole(origin, { slidingWindow: config.slidingWindow });
  requirePositive(origin, { normEpsilon: config.normEpsilon, ropeTheta: config.ropeTheta });
  if (family === 'llama' || family === 'moe') requireEven(origin, 'headDim', headDim);
  if (family === 'deepseek') checkMla(config.mla, origin);
  if (moe !== null) checkMoe(moe, layers, origin);
  if (config.seqToSeq !== null) checkSeqToSeq(config.seqToSeq, origin);
  if (config.bert !== null) requireSizes(origin, { typeVocab: config.bert.typeVocab });
  if (config.vision !== null) checkVision(config.vision, origin);
}

function checkMla(mla: MlaConfig | null, origin: Origin): void {
  if (mla === null) throw fault(origin, 'mla', 'the deepseek family needs the widths of latent attention');
  const { kvLoraRank, nopeHeadDim, ropeHeadDim, valueHeadDim } = mla;
  requireSizes(origin, { kvLoraRank, nopeHeadDim, ropeHeadDim, valueHeadDim });
  requireWhole(origin, { qLoraRank: mla.qLoraRank });
  requireEven(origin, 'ropeHeadDim', ropeHeadDim);
}

function checkSeqToSeq(config: SeqToSeqConfig, origin: Origin): void {
  const { decoderLayers, relativeBuckets, relativeMaxDistance } = config;
  requireSizes(origin, { decoderLayers, relativeBuckets, relativeMaxDistance });
  requireDepth(origin, 'decoderLayers', decoderLayers);
  if (relativeBuckets % 4 !== 0) {
    throw fault(origin, 'relativeBuckets', `expected a multiple of 4, found ${relativeBuckets}`);
  }
  if (relativeMaxDistance <= relativeBuckets / 2) {
    const least = relativeBuckets / 2 + 1;
    throw fault(origin, 'relativeMaxDistance', `expected at least ${least}, found ${relativeMaxDistance}`);
  }
}

function checkVision(vision: VisionConfig, origin: Origin): void {
  const { imageSize, patchSize, channels, classes } = vision;
  requireSizes(origin, { imageSize, patchSize, channels, classes });
  if (imageSize % patchSize !== 0) {
    throw fault(origin, 'imageSize', `expected a multiple of patchSize ${patchSize}, found ${imageSize}`);
  }
}

function checkMoe(moe: MoeConfig, layers: number, origin: Origin): void {
  const { experts, topk, expertFfn, groups, topkGroups } = moe;
  requireSizes(origin, { experts, topk, expertFfn, groups, topkGroups });
  requireWhole(origin, { sharedExperts: moe.sharedExperts, denseLayers: moe.denseLayers });
  if (topk > experts) {
    throw fault(origin, 'topk', `expected at most the number of experts ${experts}, found ${topk}`);
  }
  if (moe.denseLayers > layers) {
    throw fault(origin, 'denseLayers', `expected at most layers ${layers}, found ${moe.denseLayers}`);
  }
  if (experts % groups !== 0) {
    throw fault(origin, 'groups', `expected a divisor of experts ${experts}, found ${groups}`);
  }
  if (topkGroups > groups) {
    throw fault(origin, 'topkGroups', `expected at most groups ${groups}, found ${topkGroups}`);
  }
  const eligible = (experts / groups) * topkGroups;
  if (topk > eligible) {
    throw fault(
      origin,
      'topk',
      `expected at most the ${eligible} experts of the eligible groups, found ${topk}`,
    );
  }
}

/** Far above any model, far below what would exhaust memory with nodes. */
const MAX_LAYERS = 4096;

function requireDepth(origin: Origin, field: string, layers: number): void {
  if (layers > MAX_LAYERS) throw fault(origin, field, `expected at most ${MAX_LAYERS}, found ${layers}`);
}

/** Rotary positions turn channels in pairs. */
function requireEven(origin: Origin, field: string, size: number): void {
  if (size % 2 !== 0) throw fault(origin, field, `expected an even number, found ${size}`);
}

/** Throws unless every value is a positive integer. */
export function requireSizes(origin: Origin, sizes: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (!isSize(value))
      throw fault(origin, field, `expected a positive integer below 2^31, found ${shown(value)}`);
  }
}

function requireWhole(origin: Origin, sizes: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (value !== 0 && !isSize(value)) {
      throw fault(origin, field, `expected zero or a positive integer below 2^31, found ${shown(value)}`);
    }
  }
}

function requirePositive(origin: Origin, values: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(values)) {
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
      throw fault(origin, field, `expected a positive number, found ${shown(value)}`);
    }
  }
}

function isSize(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 2 ** 31;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
}

/** A fault in one field of a config, charged to where the config came from. */
export function fault(origin: Origin, field: string, message: string): PartitionError {
  return new PartitionError(origin.code, message, `${origin.where}: ${field}`);
}
