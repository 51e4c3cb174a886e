import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { inferModel } from '../../src/graph/infer.js';
import { readModel } from '../../src/model/read.js';
import { PartitionError } from '../../src/util/errors.js';
import {
  addTally,
  compareOracle,
  equalShare,
  hasShared,
  newTally,
  npzShapes,
  oracleFiles,
  parseRuntime,
  readOracle,
  SHARED,
  type Oracle,
  type Tally,
} from '../support/oracle.js';

/** Corpus files that are wrong by the operators' specifications; reference tools skip the node and go on. */
const INVALID = new Map([
  ['bad_graph_with_multi_level_errors', 'a matrix product whose inner dimensions differ'],
  ['gemm_ex_test', 'Gemm of rank-4 matrices'],
  ['unknown_aten_test', 'an output that no node produces'],
  ['fuse-matmul-bn-directly-dont-fuse', 'a normalisation with more scales than channels'],
  ['fuse-matmul-bn-only-transpose', 'a normalisation with more scales than channels'],
  ['mixed_rank_broadcasting', 'shapes that cannot be broadcast together'],
  ['squeeze_shape_noop', 'Squeeze of an axis of 2'],
]);

function report(group: string, t: Tally): void {
  const { equal, oracleUnknown, weUnknown, contradiction, absent } = t;
  const share = (100 * equalShare(t)).toFixed(2);
  console.log(
    `      ${group}: ${String(equal)} equal, ${String(oracleUnknown)} unknown to the oracle, ` +
      `${String(weUnknown)} unknown here, ${String(contradiction)} contradictions, ${String(absent)} absent: ${share} %`,
  );
  for (const note of t.notes.slice(0, 20)) console.log(`        ${note}`);
}

/** Where the oracles' own names say which file they are about. */
function modelPath(oracle: Oracle): string {
  return SHARED + oracle.model.replace('exports/stripped/', 'models/').replace(/^exports\//, '');
}

describe('shape inference against the reference shapes', function () {
  this.timeout(120_000);

  before(function () {
    if (hasShared()) return;
    console.log('      skipped: the shared reference shapes are not here');
    this.skip();
  });

  it('agrees with what was executed', () => {
    const sum = newTally();
    for (const file of oracleFiles('runtime__')) {
      const folder = `${SHARED}full/${file.slice('runtime__'.length, -'.json.gz'.length)}`;
      const model = readModel(`${folder}/model.onnx`);
      const fed = npzShapes(`${folder}/inputs.npz`);
      const bind: Record<string, number> = {};
      for (const input of model.graph?.input ?? []) {
        const shape = fed.get(input.name ?? '');
        const dims = input.type?.tensorType?.shape?.dim ?? [];
        dims.forEach((d, k) => {
          if (d.dimParam !== undefined && shape !== undefined) bind[d.dimParam] = shape[k];
        });
      }
      addTally(sum, compareOracle(inferModel(model, { bind }), parseRuntime(readOracle(file))));
    }
    report('runtime', sum);
    expect(sum.contradiction).to.equal(0);
    expect(equalShare(sum)).to.be.at.least(0.995);
  });

  it('agrees with the reference tools where every symbol is bound', () => {
    const sum = newTally();
    for (const file of oracleFiles('bound__')) {
      const oracle = JSON.parse(readOracle(file)) as Oracle;
      const inferred = inferModel(readModel(modelPath(oracle)), { bind: oracle.bound ?? {} });
      addTally(sum, compareOracle(inferred, oracle.tensors));
    }
    report('bound', sum);
    expect(sum.contradiction).to.equal(0);
    expect(equalShare(sum)).to.be.at.least(0.995);
  });

  it('agrees with the reference tools where symbols are kept', () => {
    const sum = newTally();
    for (const file of oracleFiles('exports__')) {
      const oracle = JSON.parse(readOracle(file)) as Oracle;
      const path = modelPath(oracle).replace(/__/g, '/');
      expect(existsSync(path), path).to.equal(true);
      addTally(sum, compareOracle(inferModel(readModel(path)), oracle.tensors));
    }
    report('exports', sum);
    expect(sum.contradiction).to.equal(0);
    expect(equalShare(sum)).to.be.at.least(0.995);
  });

  it('agrees with the reference tools over the corpus, and rejects only what is invalid', () => {
    const sum = newTally();
    for (const line of readOracle('corpus.shapes.jsonl.gz').trim().split('\n')) {
      const oracle = JSON.parse(line) as Oracle;
      const name = oracle.model.replace(/^.*\/|\.onnx$/g, '');
      try {
        addTally(sum, compareOracle(inferModel(readModel(SHARED + oracle.model)), oracle.tensors));
      } catch (e) {
        if (!(e instanceof PartitionError) || e.code !== 'input' || !INVALID.has(name)) throw e;
      }
    }
    report('corpus', sum);
    expect(sum.contradiction).to.equal(0);
    expect(equalShare(sum)).to.be.at.least(0.995);
  });
});
