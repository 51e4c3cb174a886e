/** Forward work of dense decoders against the count that papers use: 2 FLOP a weight and token, and attention. */
import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspectModel, writeZooModel, zooConfig, zooNames } from '../../src/api/index.js';

type Config = ReturnType<typeof zooConfig>;

/** Weights that enter a matrix product once per token; a tied table counts once, as the output projection. */
function matmulWeights(c: Config): number {
  const attention = 2 * c.hidden * c.heads * c.headDim + 2 * c.hidden * c.kvHeads * c.headDim;
  const feedForward = (c.gatedFfn ? 3 : 2) * c.hidden * c.ffn;
  return c.layers * (attention + feedForward) + c.vocab * c.hidden;
}

/** Scores and their product with the values, every query with every key: 2 products of 2 FLOP a multiply-add. */
function attentionFlop(c: Config, tokens: number): number {
  return c.layers * 4 * tokens * tokens * c.heads * c.headDim;
}

describe('forward work of the dense decoders of the zoo', function () {
  this.timeout(60_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'zoo-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const dense = zooNames()
    .map(zooConfig)
    .filter((c) => c.family === 'gpt' || c.family === 'llama');

  it('are more than twenty', () => expect(dense).to.have.length.above(20));

  for (const config of dense) {
    const tokens = Math.min(2048, config.maxPositions);
    it(`${config.name} at ${tokens} tokens is within 1 % of 2 x weights x tokens + attention`, () => {
      const path = join(folder, 'model.onnx');
      writeZooModel({ name: config.name, out: path });
      const seen = inspectModel(path, { seq: tokens });
      const products = 2 * matmulWeights(config) * tokens;
      const attention = attentionFlop(config, tokens);
      expect(seen.flopConvention).to.equal('causal');
      const causal = seen.forwardFlop! / (products + attention / 2) - 1;
      const full = seen.forwardFlopFull! / (products + attention) - 1;
      console.log(
        `      ${config.name}: ${(seen.forwardFlop! / 1e12).toPrecision(5)} TFLOP causal (${(100 * causal).toFixed(2)} %), ${(seen.forwardFlopFull! / 1e12).toPrecision(5)} in full (${(100 * full).toFixed(2)} %)`,
      );
      expect(Math.abs(causal)).to.be.below(0.01);
      expect(Math.abs(full)).to.be.below(0.01);
      expect(seen.layers).to.equal(config.layers);
    });
  }
});
