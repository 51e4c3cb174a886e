/** Lower bounds against the fastest of all plans on 10,000 random small cases: `node --import tsx bench/bounds.ts [cases] [seed]`. */
import { checkRandomBounds } from '../test/support/boundCases.js';

const count = Number(process.argv[2] ?? 10000);
const { cases, above, medianGap, tight } = checkRandomBounds(count, Number(process.argv[3] ?? 1));
console.log(
  `${cases} cases, of which memory rules the fastest plan out in ${tight}; ${above.length} with a bound above the fastest plan; median gap ${(100 * medianGap).toFixed(1)} %`,
);
for (const options of above.slice(0, 10)) console.log(JSON.stringify(options));
process.exitCode = above.length === 0 ? 0 : 1;
