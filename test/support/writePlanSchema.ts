/** Writes src/data/schemas/plan.schema.json from the shape of plans: `npx tsx test/support/writePlanSchema.ts`. */
import { writeFileSync } from 'node:fs';
import { planJsonSchema } from '../../src/plan/schema.js';
import { dataPath } from '../../src/util/files.js';

writeFileSync(dataPath('schemas/plan.schema.json'), `${JSON.stringify(planJsonSchema(), null, 2)}\n`);
