import { expect } from 'chai';
import { loadBackend } from '../../src/agent/backend.js';
import type { Checkpoint } from '../../src/agent/checkpoint.js';
import { decodeCheckpoint, encodeCheckpoint, scorerFrom, weightsOf } from '../../src/agent/checkpoint.js';
import type { EnvironmentSpec } from '../../src/agent/environment.js';
import { PLAN_SPEC } from '../../src/agent/planEpisode.js';
import { policyFrom, SHIPPED, SHIPPED_PATH } from '../../src/agent/pretrained.js';
import { Scorer } from '../../src/agent/scorer.js';
import { Random } from '../../src/util/random.js';
import { readFileSync } from 'node:fs';

const SPEC: EnvironmentSpec = { name: 'tiny', optionFeatures: 3, contextFeatures: 2, maxSteps: 1 };

async function tinyCheckpoint(): Promise<Checkpoint> {
  const { tf, name } = await loadBackend();
  const scorer = new Scorer(tf, SPEC, 8, new Random(1));
  const weights = weightsOf(scorer);
  scorer.dispose();
  return {
    algorithm: 'ppo',
    environment: { name: 'tiny', optionFeatures: 3, contextFeatures: 2, hidden: 8 },
    trainedBy: { seed: 1, updates: 2, episodes: 3, backend: name },
    weights,
    optimizer: {
      steps: 7,
      first: weights.map((w) => Float64Array.from(w, (x) => x / 3)),
      second: weights.map((w) => Float64Array.from(w, (x) => x * x)),
    },
    config: '{"seed":1}',
  };
}

describe('agent/checkpoint', () => {
  it('gives back what was written, to the last bit', async () => {
    const checkpoint = await tinyCheckpoint();
    const text = encodeCheckpoint(checkpoint);
    expect(decodeCheckpoint(text, 'file')).to.deep.equal(checkpoint);
    expect(encodeCheckpoint(decodeCheckpoint(text, 'file'))).to.equal(text);
  });

  it('refuses another version, damaged weights and other files, by name, in one line', async () => {
    const text = encodeCheckpoint(await tinyCheckpoint());
    const at = text.indexOf('"weights": "') + 40;
    const flipped = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
    for (const [content, pattern] of [
      [
        text.replace('"version": 1', '"version": 2'),
        /^checkpoint of version 2, this program reads version 1$/,
      ],
      [flipped, /^damaged checkpoint: its SHA-256 does not match$/],
      [text.slice(0, -200), /^expected a checkpoint of partition train$/],
      ['{}', /^expected a checkpoint of partition train$/],
      ['null', /^expected a checkpoint of partition train$/],
    ] as const)
      expect(() => decodeCheckpoint(content, 'my.json'))
        .to.throw(pattern)
        .with.property('where', 'my.json');
  });

  it('refuses weights for another environment or of another algorithm', async () => {
    const { tf } = await loadBackend();
    const checkpoint = await tinyCheckpoint();
    const other: EnvironmentSpec = { ...SPEC, optionFeatures: 4 };
    expect(() => scorerFrom(tf, checkpoint, other, ['ppo'], 'my.json')).to.throw(
      /3 option .* expected .* 4 option/,
    );
    expect(() => scorerFrom(tf, checkpoint, SPEC, ['dqn'], 'my.json')).to.throw(
      /checkpoint of ppo, expected dqn/,
    );
    const scorer = scorerFrom(tf, checkpoint, SPEC, ['ppo'], 'my.json');
    expect(weightsOf(scorer)).to.deep.equal(checkpoint.weights);
    scorer.dispose();
  });

  it('ships a policy for the plan episode of this version, small enough for the repository', async () => {
    const { tf } = await loadBackend();
    const policy = policyFrom(tf, SHIPPED);
    expect(policy.spec).to.equal(PLAN_SPEC);
    policy.dispose();
    expect(readFileSync(SHIPPED_PATH).length).to.be.at.most(500_000);
  });
});
