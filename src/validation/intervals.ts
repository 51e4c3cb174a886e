/** 80 % intervals of predictions, from the shipped table of what was left of the errors on measured runs. */
import { fileURLToPath } from 'node:url';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import { dataPath } from '../util/files.js';
import { intervalFrom, summarise } from './residuals.js';
import type { Interval, ResidualCell } from './residuals.js';

const FILE = 'measured/intervals.yaml';

let shipped: readonly ResidualCell[] | null = null;

/** Residuals of the shipped rows under the shipped figures. */
export function shippedResiduals(): readonly ResidualCell[] {
  shipped ??= read();
  return shipped;
}

/** Ratios to a predicted step time between which four of five measured ones are expected. */
export function predictionInterval(stackName: string, deviceName: string): Interval {
  return intervalFrom(shippedResiduals(), stackName, deviceName);
}

function read(): ResidualCell[] {
  const path = fileURLToPath(dataPath(FILE));
  const document = Fields.of(readYaml(path), path, '', []);
  document.string('source', '-');
  return document.children('cells').map((f) => {
    const cell = {
      group: f.string('group'),
      stack: f.string('stack'),
      device: f.string('device'),
      rows: f.number('rows', { min: 1, integer: true }),
      residuals: f.numbers('residuals', { min: -10, max: 10 }),
    };
    f.done();
    return cell;
  });
}

/** The table's text, as it ships. */
export function intervalsYaml(cells: readonly ResidualCell[]): string {
  const head = [
    '# What is left of prediction errors, log(measured / predicted step time), per source, stack profile and cluster preset,',
    '# each source corrected by what the others of its stack or device taught. Written by bench/intervals.ts; do not edit.',
    'source: "leave-one-source-out over the rows of measured.csv"',
    'cells:',
  ];
  const lines = cells.map((c) => {
    const values = summarise(c.residuals).map((r) => Number(r.toFixed(4)));
    return `  - { group: ${JSON.stringify(c.group)}, stack: ${JSON.stringify(c.stack)}, device: ${JSON.stringify(c.device)}, rows: ${c.rows}, residuals: [${values.join(', ')}] }`;
  });
  return [...head, ...lines, ''].join('\n');
}
