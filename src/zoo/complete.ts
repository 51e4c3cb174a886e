/** Fills in the sizes that follow by rule, such as a feed-forward of four times the width. */
import { checkConfig, fault, requireSizes } from './check.js';
import {
  FAMILIES,
  type Activation,
  type ArchConfig,
  type ArchSketch,
  type DerivedSize,
  type Family,
  type MoeConfig,
  type Origin,
} from './config.js';

const USAGE: Origin = { code: 'usage', where: 'zoo' };

interface FamilyRule {
  readonly activation: Activation;
  readonly gatedFfn: boolean;
  readonly tied: boolean;
  readonly bias: boolean;
  readonly normEpsilon: number;
}

const FAMILY_RULE: Readonly<Record<Family, FamilyRule>> = {
  gpt: { activation: 'gelu-tanh', gatedFfn: false, tied: true, bias: true, normEpsilon: 1e-5 },
  llama: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-5 },
  moe: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-5 },
  deepseek: { activation: 'silu', gatedFfn: true, tied: false, bias: false, normEpsilon: 1e-6 },
  bert: { activation: 'gelu', gatedFfn: false, tied: true, bias: true, normEpsilon: 1e-12 },
  t5: { activation: 'relu', gatedFfn: false, tied: true, bias: false, normEpsilon: 1e-6 },
  vit: { activation: 'gelu', gatedFfn: false, tied: false, bias: true, normEpsilon: 1e-12 },
};

/** Fills in what follows by rule and checks the result; throws a PartitionError that names the field. */
export function completeConfig(sketch: ArchSketch, origin: Origin = USAGE): ArchConfig {
  const { family, layers, hidden, heads } = sketch;
  if (!FAMILIES.includes(family)) {
    throw fault(origin, 'family', `expected one of ${FAMILIES.join(', ')}, found ${JSON.stringify(family)}`);
  }
  const rule = FAMILY_RULE[family];
  requireSizes(origin, { layers, hidden, heads });
  const mla = family === 'deepseek' ? (sketch.mla ?? null) : null;
  // Latent attention has head widths of its own, and a key per query head.
  const givenHeadDim = mla === null ? sketch.headDim : mla.nopeHeadDim + mla.ropeHeadDim;
  if (givenHeadDim === undefined && hidden % heads !== 0) {
    throw fault(origin, 'heads', `expected a divisor of hidden ${hidden}, found ${heads}`);
  }
  const ffn = sketch.ffn ?? 4 * hidden;
  const config: ArchConfig = {
    name: sketch.name,
    family,
    source: sketch.source ?? 'given on the command line',
    published: sketch.published ?? null,
    layers,
    hidden,
    heads,
    kvHeads: mla === null ? (sketch.kvHeads ?? heads) : heads,
    headDim: givenHeadDim ?? hidden / heads,
    ffn,
    vocab: sketch.vocab ?? 32000,
    maxPositions: sketch.maxPositions ?? 2048,
    normEpsilon: sketch.normEpsilon ?? rule.normEpsilon,
    activation: sketch.activation ?? rule.activation,
    gatedFfn: sketch.gatedFfn ?? rule.gatedFfn,
    tiedEmbeddings: sketch.tiedEmbeddings ?? rule.tied,
    attentionBias: sketch.attentionBias ?? rule.bias,
    ffnBias: sketch.ffnBias ?? rule.bias,
    qkNorm: sketch.qkNorm ?? false,
    ropeTheta: sketch.ropeTheta ?? 10000,
    slidingWindow: sketch.slidingWindow ?? 0,
    moe: family === 'moe' || family === 'deepseek' ? completeMoe(sketch, ffn, origin) : null,
    mla,
    seqToSeq:
      family === 't5'
        ? { decoderLayers: layers, relativeBuckets: 32, relativeMaxDistance: 128, ...sketch.seqToSeq }
        : null,
    bert: family === 'bert' ? { typeVocab: 2, head: 'pooler', ...sketch.bert } : null,
    vision:
      family === 'vit'
        ? { imageSize: 224, patchSize: 16, channels: 3, classes: 1000, ...sketch.vision }
        : null,
    derived: derivedSizes(sketch),
  };
  checkConfig(config, origin);
  return config;
}

function derivedSizes(sketch: ArchSketch): DerivedSize[] {
  const derived: DerivedSize[] = [];
  if (sketch.headDim === undefined) derived.push('headDim');
  if (sketch.kvHeads === undefined) derived.push('kvHeads');
  if (sketch.ffn === undefined) derived.push('ffn');
  if (sketch.moe !== undefined && sketch.moe.expertFfn === undefined) derived.push('expertFfn');
  return derived;
}

function completeMoe(sketch: ArchSketch, ffn: number, origin: Origin): MoeConfig {
  if (sketch.moe === undefined) throw fault(origin, 'experts', 'a mixture of experts needs experts and topk');
  return {
    expertFfn: ffn,
    sharedExperts: 0,
    denseLayers: 0,
    router: 'softmax',
    normaliseTopk: true,
    routedScale: 1,
    groups: 1,
    topkGroups: 1,
    ...sketch.moe,
  };
}
