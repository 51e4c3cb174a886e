import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { expect } from 'chai';
import {
  candidateOf,
  decodePlan,
  diffPlans,
  encodePlan,
  equalCandidates,
  planJsonSchema,
} from '../../src/plan/index.js';
import type { Plan } from '../../src/plan/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { dataPath } from '../../src/util/files.js';
import { tinyPlan } from '../support/tinyPlan.js';

/** The plan with one field changed; `path` as in messages. */
function changed(plan: Plan, path: string, value: unknown): string {
  const copy = JSON.parse(encodePlan(plan)) as Record<string, unknown>;
  const keys = path.split(/[.[\]]+/).filter((key) => key !== '');
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  const last = keys[keys.length - 1];
  if (value === undefined) delete at[last];
  else at[last] = value;
  return JSON.stringify(copy);
}

describe('plan.json', () => {
  const { plan, graph, problem, candidate } = tinyPlan();

  it('reads back as it was written, byte for byte', () => {
    const text = encodePlan(plan);
    expect(decodePlan(text, 'plan.json')).to.deep.equal(plan);
    expect(encodePlan(decodePlan(text, 'plan.json'))).to.equal(text);
    expect(text.endsWith('}\n')).to.equal(true);
    const shuffled = Object.fromEntries(Object.entries(plan).reverse()) as unknown as Plan;
    expect(encodePlan(shuffled)).to.equal(text);
  });

  it('names the file, the field, what was expected and what was found', () => {
    const cases: [string, unknown, string][] = [
      ['degrees.tp', 0, 'field degrees.tp: expected an integer of at least 1, found 0'],
      ['degrees.tp', '8', 'field degrees.tp: expected an integer of at least 1, found "8"'],
      ['stages[1].ops', 'x', 'field stages[1].ops: expected a list, found "x"'],
      [
        'schedule',
        'dualpipe',
        'field schedule: expected "gpipe" or "1f1b" or "interleaved" or "zb-h1", found "dualpipe"',
      ],
      ['prediction.mfu', 1.5, 'field prediction.mfu: expected a number from 0 to 1, found 1.5'],
      ['prediction', null, 'field prediction: expected an object, found null'],
      ['globalBatch', undefined, 'field globalBatch: expected an integer of at least 1, found nothing'],
      ['colour', 'red', 'field colour: expected no such field, found "red"'],
      ['schemaVersion', 2, 'field schemaVersion: expected 1, found 2'],
      ['shardings[0].dims[0]', ['pp'], 'field shardings[0].dims[0][0]: expected "dp"'],
    ];
    for (const [path, value, message] of cases) {
      const read = (): Plan => decodePlan(changed(plan, path, value), 'some/plan.json');
      expect(read).to.throw(PartitionError).with.property('where', 'some/plan.json');
      expect(read).to.throw(PartitionError, message);
    }
    for (const text of ['', '{', '[]', 'null', '3', '"plan"', '{"__proto__": {}}'])
      expect(() => decodePlan(text, 'p'))
        .to.throw(PartitionError)
        .with.property('code', 'input');
  });

  it('has a published schema that is up to date and accepts it', () => {
    const published = JSON.parse(readFileSync(dataPath('schemas/plan.schema.json'), 'utf8')) as object;
    expect(published, 'run npx tsx test/support/writePlanSchema.ts').to.deep.equal(planJsonSchema());
    const accepts = new Ajv({ strict: true }).compile(published);
    expect(accepts(JSON.parse(encodePlan(plan))), JSON.stringify(accepts.errors)).to.equal(true);
    for (const [path, value] of [
      ['degrees.tp', 0],
      ['stages', 3],
      ['colour', 1],
      ['microbatch', undefined],
    ] as const)
      expect(accepts(JSON.parse(changed(plan, path, value)))).to.equal(false);
  });

  it('gives its candidate back', () => {
    expect(equalCandidates(candidateOf(plan, graph, problem.segmentation, 'p'), candidate)).to.equal(true);
    const other = tinyPlan({ tp: 2, pp: 2, axisOrder: 'tp-cp-pp-dp', recompute: Uint8Array.of(2) });
    const restored = candidateOf(other.plan, graph, problem.segmentation, 'p');
    expect(equalCandidates(restored, other.candidate)).to.equal(true);
    const late = tinyPlan({ tp: 2, pp: 2, schedule: 'zb-h1' });
    expect(
      equalCandidates(candidateOf(late.plan, graph, problem.segmentation, 'p'), late.candidate),
    ).to.equal(true);
    const broken = { ...plan, stages: plan.stages.slice(0, 1) };
    expect(() => candidateOf(broken, graph, problem.segmentation, 'p')).to.throw(
      PartitionError,
      'stageStart',
    );
  });

  it('differs from another plan exactly where it differs', () => {
    const other = structuredClone(plan);
    other.degrees.vpp = 3;
    other.stages[0].ops.push('extra');
    other.shardings[0].dims[0] = ['ep'];
    expect(diffPlans(plan, plan)).to.deep.equal([]);
    expect(diffPlans(plan, other).map((d) => d.field)).to.deep.equal([
      'degrees.vpp',
      'stages[0].ops',
      'shardings.w0',
    ]);
  });
});
