import { expect } from 'chai';
import { parameterCount, zooConfig, zooNames, type ArchConfig } from '../../src/zoo/index.js';

/** Parameter counts by formula, from the hyper-parameters alone: independent of the graph builder. */
const FORMULA: Readonly<Record<ArchConfig['family'], (c: ArchConfig) => number>> = {
  // 12 L h^2 (1 + 13 / (12 h) + (V + s) / (12 L h)), arXiv:2104.04473 section 5, and the final norm.
  gpt: ({ layers: l, hidden: h, vocab, maxPositions }) =>
    l * (12 * h * h + 13 * h) + (vocab + maxPositions) * h + 2 * h,
  llama: (c) =>
    embeddings(c) + c.hidden + c.layers * (groupedAttention(c) + 2 * c.hidden + 3 * c.hidden * c.ffn),
  moe: (c) => embeddings(c) + c.hidden + c.layers * (groupedAttention(c) + 2 * c.hidden + experts(c)),
  deepseek: (c) => {
    const { hidden: h, heads, layers, ffn } = c;
    const { qLoraRank: rq, kvLoraRank: rkv, nopeHeadDim: dn, ropeHeadDim: dr, valueHeadDim: dv } = c.mla!;
    const { denseLayers, experts: e } = c.moe!;
    const attention =
      h * rq + rq + rq * heads * (dn + dr) + h * (rkv + dr) + rkv + rkv * heads * (dn + dv) + heads * dv * h;
    // The balancing bias of the router is a parameter of the checkpoint: one per expert.
    const sparse = experts(c) + e;
    const layersTotal =
      layers * (attention + 2 * h) + denseLayers * 3 * h * ffn + (layers - denseLayers) * sparse;
    return embeddings(c) + h + layersTotal;
  },
  bert: ({ layers: l, hidden: h, ffn, vocab: v, maxPositions, bert }) => {
    const encoder =
      (v + maxPositions + bert!.typeVocab + 2) * h + l * (4 * (h * h + h) + 2 * h * ffn + ffn + h + 4 * h);
    const pooler = h * h + h;
    const words = h * h + h + 2 * h + v;
    const sentence = 2 * h + 2;
    return {
      none: encoder,
      pooler: encoder + pooler,
      mlm: encoder + words,
      pretraining: encoder + pooler + words + sentence,
    }[bert!.head];
  },
  t5: ({ layers, hidden: h, heads, headDim, ffn, vocab, seqToSeq }) => {
    const attention = 4 * h * heads * headDim + h;
    const feedForward = 2 * h * ffn + h;
    const stacks =
      layers * (attention + feedForward) + seqToSeq!.decoderLayers * (2 * attention + feedForward);
    return vocab * h + stacks + 2 * h + 2 * seqToSeq!.relativeBuckets * heads;
  },
  vit: ({ layers: l, hidden: h, ffn, vision }) => {
    const { imageSize, patchSize, channels, classes } = vision!;
    const tokens = (imageSize / patchSize) ** 2 + 1;
    const patches = channels * patchSize * patchSize * h + h;
    const layer = 4 * (h * h + h) + 2 * h * ffn + ffn + h + 4 * h;
    return patches + h + tokens * h + l * layer + 2 * h + classes * (h + 1);
  },
};

function embeddings({ vocab, hidden, tiedEmbeddings }: ArchConfig): number {
  return vocab * hidden * (tiedEmbeddings ? 1 : 2);
}

function groupedAttention({ hidden, heads, kvHeads, headDim, qkNorm }: ArchConfig): number {
  return 2 * hidden * heads * headDim + 2 * hidden * kvHeads * headDim + (qkNorm ? 2 * headDim : 0);
}

function experts({ hidden, moe }: ArchConfig): number {
  const { experts: routed, sharedExperts, expertFfn } = moe!;
  return (routed + sharedExperts) * 3 * hidden * expertFfn + routed * hidden;
}

describe('zoo parameter counts', () => {
  for (const name of zooNames()) {
    it(`of ${name} agree with the formula and with what is published`, () => {
      const config = zooConfig(name);
      const { total } = parameterCount(config);
      expect(total).to.equal(FORMULA[config.family](config));
      if (config.published === null) return;
      if (config.published.exact) expect(total).to.equal(config.published.parameters);
      // Printed figures are rounded to two or three digits.
      else expect(total / config.published.parameters).to.be.within(0.99, 1.01);
    });
  }

  it('match the exact counts of published checkpoints, digit by digit', () => {
    const counts = Object.fromEntries(
      CHECKPOINTS.map(([name]) => [name, parameterCount(zooConfig(name)).total]),
    );
    expect(counts).to.deep.equal(Object.fromEntries(CHECKPOINTS));
  });

  it('follow the image size of a vision transformer', () => {
    // torchvision's vit_h_14 is published at 518 pixels with 633,470,440 parameters.
    const config = zooConfig('vit-h14');
    const large = { ...config, vision: { ...config.vision!, imageSize: 518 } };
    expect(parameterCount(large).total).to.equal(633470440);
  });

  it('count of the routed experts only the chosen ones as active', () => {
    expect(parameterCount(zooConfig('llama2-7b')).active).to.equal(6738415616);
    // 12.9B (arXiv:2401.04088), 39B, 3.3B, 22B and 37B are the printed figures.
    expect(parameterCount(zooConfig('mixtral-8x7b')).active / 1e9).to.be.closeTo(12.9, 0.05);
    expect(parameterCount(zooConfig('mixtral-8x22b')).active / 1e9).to.be.closeTo(39, 0.5);
    expect(parameterCount(zooConfig('qwen3-30b-a3b')).active / 1e9).to.be.closeTo(3.3, 0.1);
    expect(parameterCount(zooConfig('qwen3-235b-a22b')).active / 1e9).to.be.closeTo(22, 0.5);
    // DeepSeek's 36.7B leaves the input table out.
    const deepseek = zooConfig('deepseek-v3');
    const withoutTable = parameterCount(deepseek).active - deepseek.vocab * deepseek.hidden;
    expect(withoutTable / 1e9).to.be.closeTo(36.7, 0.1);
  });
});

const CHECKPOINTS: readonly (readonly [string, number])[] = [
  ['gpt2-small', 124439808],
  ['gpt2-medium', 354823168],
  ['gpt2-large', 774030080],
  ['gpt2-xl', 1557611200],
  ['llama2-7b', 6738415616],
  ['llama2-13b', 13015864320],
  ['llama2-70b', 68976648192],
  ['llama3-8b', 8030261248],
  ['llama3-70b', 70553706496],
  ['llama3-405b', 405853388800],
  ['llama3.2-1b', 1235814400],
  ['llama3.2-3b', 3212749824],
  ['mistral-7b', 7241732096],
  ['mixtral-8x7b', 46702792704],
  ['mixtral-8x22b', 140620634112],
  ['deepseek-v3', 671026419200],
  ['qwen3-0.6b', 596049920],
  ['qwen3-8b', 8190735360],
  ['qwen3-32b', 32762123264],
  ['qwen3-30b-a3b', 30532122624],
  ['qwen3-235b-a22b', 235093634560],
  ['bert-large', 335141888],
  ['t5-11b', 11307321344],
  ['vit-b16', 86567656],
];
