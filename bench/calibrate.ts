/**
 * `make calibrate`: fits the stack profiles that ship to the measured rows that ship, writes their numbers into
 * src/data/stacks, and what is left of the error when each source is left out of the fit into
 * src/data/measured/intervals.yaml. About five minutes.
 *
 *     node --import tsx bench/calibrate.ts [--dry-run]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { readCsv } from '../src/validation/csv.js';
import { leftOutYaml } from '../src/validation/intervals.js';
import { leaveOneOut } from '../src/validation/leaveOneOut.js';
import { Predictor } from '../src/validation/predict.js';
import { readRows } from '../src/validation/row.js';
import { fitStacks, overlaysOf } from '../src/validation/stackFits.js';
import type { Overlay } from '../src/cluster/overlay.js';

const data = (path: string): string => fileURLToPath(new URL(`../src/data/${path}`, import.meta.url));
function main(): void {
  const dryRun = process.argv.includes('--dry-run');
  const progress = (text: string): void => void process.stderr.write(`\r\u001b[K${text}`);

  const file = data('measured/measured.csv');
  const { rows } = readRows(readCsv(readFileSync(file, 'utf8'), file), file);
  const predictor = new Predictor();
  const { prepared } = predictor.prepareAll(rows);
  const fitted = fitStacks(predictor, prepared, null, [], progress);
  progress('');
  for (const f of fitted)
    console.log(
      `${f.fit.stacks.join(', ')} (${f.fit.rows}): ${f.rows} rows, error ${(100 * f.error).toFixed(1)} %`,
    );
  if (!dryRun) for (const [name, overlay] of overlaysOf(fitted)) writeStack(name, overlay);
  const left = leaveOneOut(predictor, prepared, fitted, progress);
  progress('');
  for (const s of left.sources)
    console.log(`without ${s.group}: ${s.mape === null ? '-' : `${(100 * s.mape).toFixed(1)} %`}`);
  if (!dryRun) writeFileSync(data('measured/intervals.yaml'), leftOutYaml(left));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

/** Numbers of a profile are replaced, its words stay. */
function writeStack(name: string, overlay: Overlay): void {
  const path = data(`stacks/${name}.yaml`);
  const document = { ...(parse(readFileSync(path, 'utf8')) as Record<string, unknown>) };
  const { onDevice: devices, ...numbers } = overlay as Record<string, unknown>;
  Object.assign(document, numbers);
  const onDevice = { ...(document.onDevice as Record<string, object> | undefined) };
  for (const [device, own] of Object.entries((devices ?? {}) as Record<string, object>))
    onDevice[device] = { ...onDevice[device], ...own };
  delete document.onDevice;
  const lines: string[] = [];
  for (const [field, value] of Object.entries(document)) lines.push(`${field}: ${flow(value)}`);
  if (Object.keys(onDevice).length > 0) {
    lines.push('onDevice:');
    for (const [device, own] of Object.entries(onDevice)) {
      lines.push(`  ${device}:`);
      for (const [field, value] of Object.entries(own)) lines.push(`    ${field}: ${flow(value)}`);
    }
  }
  writeFileSync(path, `${lines.join('\n')}\n`);
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((v) => `'${String(v)}'`).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{ ${Object.entries(value)
      .map(([k, v]) => `${k}: ${typeof v === 'string' ? JSON.stringify(v) : String(v)}`)
      .join(', ')} }`;
  return typeof value === 'string' && !/^[a-z][\w-]*$/.test(value) ? JSON.stringify(value) : String(value);
}
