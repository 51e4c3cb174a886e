import { expect } from 'chai';
import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equalCandidates } from '../../src/plan/candidate.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import {
  PRICE_COLUMNS,
  Recorder,
  RecordingSimulator,
  planText,
  priceRow,
} from '../../src/simulate/record.js';
import type { RecordHeader } from '../../src/simulate/record.js';
import { candidateFrom, recordedPrices, verifyRecord } from '../../src/simulate/replay.js';
import type { Estimate } from '../../src/simulate/types.js';
import { Random } from '../../src/util/random.js';
import { randomCandidate, syntheticProblem } from '../support/synthetic.js';

const problem = syntheticProblem({ spread: 0.2, tied: true, globalBatch: 64 });

const HEADER: Omit<RecordHeader, 'format' | 'schemaVersion' | 'columns'> = {
  programVersion: '1.2.3',
  model: { name: 'made-up.onnx', digest: 'abc' },
  cluster: { name: 'c', devices: 64, digest: 'def', definition: problem.cluster },
  stack: { name: 's', definition: problem.stack },
  calibration: null,
  phase: 'train',
  precision: 'bf16',
  globalBatch: 64,
  sequenceLength: 4096,
  settings: {},
  search: { method: 'random', seed: 0 },
};

/** A record of random plans, as text. */
function recorded(plans: number, seed = 1): string {
  const chunks: Uint8Array[] = [];
  const recorder = new Recorder(HEADER, (bytes) => chunks.push(bytes));
  const simulator = new RecordingSimulator(createSimulator(problem), recorder);
  const random = new Random(seed);
  for (let i = 0; i < plans; i++) simulator.estimate(randomCandidate(problem, random), createEstimate());
  recorder.close();
  expect(simulator.evaluations).to.equal(plans);
  return Buffer.concat(chunks).toString('utf8');
}

describe('record of a search', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'record-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const written = (text: string): string => {
    const path = join(folder, 'trace.jsonl');
    writeFileSync(path, text);
    return path;
  };
  const faultOf = (text: string): string => {
    const path = written(text);
    try {
      verifyRecord(path);
    } catch (e) {
      expect(e).to.have.property('code', 'input');
      return (e as Error).message;
    }
    throw new Error('expected a fault');
  };

  it('gives every plan and price back bit by bit', () => {
    const path = written(recorded(200));
    const { header, evaluations } = verifyRecord(path);
    expect(evaluations).to.equal(200);
    expect(header.cluster.definition).to.deep.equal(problem.cluster);
    expect(header.stack.definition).to.deep.equal(problem.stack);
    const random = new Random(1);
    const simulator = createSimulator(problem);
    const row = new Float64Array(PRICE_COLUMNS.length);
    let line = 2;
    for (const entry of recordedPrices(path, header)) {
      const candidate = randomCandidate(problem, random);
      expect(entry.line).to.equal(line++);
      expect(equalCandidates(entry.candidate, candidate)).to.equal(true);
      priceRow(simulator.estimate(candidate, createEstimate()), row);
      row.forEach((value, i) => expect(Object.is(value, entry.price[i]), PRICE_COLUMNS[i]).to.equal(true));
    }
    expect(line).to.equal(202);
  });

  it('is the same text for the same search', () => {
    expect(recorded(50, 7)).to.equal(recorded(50, 7));
    expect(recorded(50, 7)).to.not.equal(recorded(50, 8));
  });

  it('keeps any double, infinities, NaN and minus zero included', () => {
    const double = fc.oneof(fc.double(), fc.constantFrom(-0, Infinity, -Infinity, NaN, 5e-324, 2 ** 53 + 2));
    const candidate = randomCandidate(problem, new Random(3));
    fc.assert(
      fc.property(fc.array(double, { minLength: 8, maxLength: 8 }), (values) => {
        const estimate = createEstimate() as unknown as Record<string, number>;
        const names = PRICE_COLUMNS.slice(1, 9);
        names.forEach((name, i) => (estimate[name] = values[i]));
        const chunks: Uint8Array[] = [];
        const recorder = new Recorder(HEADER, (bytes) => chunks.push(bytes));
        recorder.add(candidate, estimate as unknown as Estimate);
        recorder.close();
        const path = written(Buffer.concat(chunks).toString('utf8'));
        const [entry] = [...recordedPrices(path, verifyRecord(path).header)];
        values.forEach((value, i) => expect(Object.is(entry.price[i + 1], value)).to.equal(true));
      }),
      { numRuns: 50 },
    );
  });

  it('reads decisions back from their text', () => {
    const random = new Random(5);
    for (let i = 0; i < 200; i++) {
      const candidate = randomCandidate(problem, random);
      const back = candidateFrom(JSON.parse(planText(candidate)) as unknown[]);
      expect(equalCandidates(candidate, back!)).to.equal(true);
    }
    expect(candidateFrom([1, 2, 3])).to.equal(null);
  });

  it('is refused in one line when it is cut off anywhere', () => {
    const text = recorded(20);
    for (let at = 1; at < text.length; at += 997) {
      const cut = faultOf(text.slice(0, at));
      expect(cut).to.match(/truncated|expected a recorded search/);
      expect(cut).to.not.include('\n');
    }
    expect(faultOf(text.slice(0, -1))).to.match(/truncated/);
    expect(faultOf('')).to.match(/found an empty file/);
  });

  it('is refused when a byte of it was changed, a line removed or added', () => {
    const text = recorded(20);
    const lines = text.split('\n');
    const random = new Random(9);
    for (let i = 0; i < 60; i++) {
      const at = random.int(text.length);
      const other = text[at] === '1' ? '2' : '1';
      expect(faultOf(text.slice(0, at) + other + text.slice(at + 1))).to.be.a('string');
    }
    const price = lines[5].lastIndexOf('1');
    expect(
      faultOf(text.replace(lines[5], `${lines[5].slice(0, price)}2${lines[5].slice(price + 1)}`)),
    ).to.match(/altered.*checksum/);
    expect(faultOf(text.replace(`${lines[5]}\n`, ''))).to.match(/altered.*holds 20 plans and holds 19/);
    expect(faultOf(text.replace(lines[5], `${lines[5]}\n${lines[5]}`))).to.match(/altered.*holds 21/);
  });

  it('of another kind or release is told so', () => {
    expect(faultOf('{"schemaVersion":1}\n{}\n')).to.match(/another kind of file/);
    expect(faultOf('PK\u0003\u0004')).to.match(/no header in its first line/);
    const text = recorded(2);
    expect(faultOf(text.replace('"schemaVersion":1', '"schemaVersion":2'))).to.match(/expected 1, found 2/);
    expect(faultOf(text.replace('"zeroStage"', '"zeroPhase"'))).to.match(/decisions .*zeroPhase/);
    expect(readFileSync(join(folder, 'trace.jsonl'), 'utf8')).to.include('zeroPhase');
  });
});
