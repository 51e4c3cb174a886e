/** `make bench`: every benchmark in turn; one aligned line a figure. */
import { readdirSync } from 'node:fs';
import { formatSi, formatTable } from '../src/util/format.js';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const here = new URL('./', import.meta.url);
const only = process.argv[2];
const rows: string[][] = [['benchmark', 'value', 'unit']];
for (const file of readdirSync(here).sort()) {
  if (!file.endsWith('.ts') || file === 'run.ts' || (only !== undefined && file !== `${only}.ts`)) continue;
  const module = (await import(new URL(file, here).href)) as { run?: () => Figure[] | Promise<Figure[]> };
  if (module.run === undefined) continue;
  console.error(`running ${file}`);
  for (const f of await module.run()) rows.push([f.name, formatSi(f.value).trim(), f.unit]);
}
console.log(formatTable(rows));
