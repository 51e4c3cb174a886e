/** 80 % intervals of predictions, from the shipped table of what was left of the errors on measured runs. */
import { fileURLToPath } from 'node:url';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import type { Phase } from '../cost/types.js';
import { dataPath } from '../util/files.js';
import type { LeftOut } from './leaveOneOut.js';
import { intervalFrom, summarise } from './residuals.js';
import type { Interval, ResidualCell } from './residuals.js';

const FILE = 'measured/intervals.yaml';

interface Shipped {
  readonly cells: readonly ResidualCell[];
  readonly errors: ReadonlyMap<string, number>;
}

let shipped: Shipped | null = null;

/** Residuals of the shipped rows, each source under profiles fitted without it. */
export function shippedResiduals(): readonly ResidualCell[] {
  return (shipped ??= read()).cells;
}

/** Mean absolute percentage error of each source under profiles fitted without it, as a share; sources that share nothing are absent. */
export function leftOutErrors(): ReadonlyMap<string, number> {
  return (shipped ??= read()).errors;
}

/** Ratios to a predicted step time between which four of five measured ones are expected. */
export function predictionInterval(stackName: string, deviceName: string): Interval {
  return intervalFrom(shippedResiduals(), stackName, deviceName);
}

/** The 80 % interval of a predicted step time, seconds; null where nothing is known, as for inference. */
export function stepTimeInterval(
  stepTimeSec: number,
  run: { readonly stack: string; readonly cluster: string; readonly phase: Phase },
): { readonly lowSec: number; readonly highSec: number } | null {
  if (run.phase !== 'train') return null;
  const { low, high } = predictionInterval(run.stack, run.cluster);
  return Number.isFinite(high) ? { lowSec: stepTimeSec * low, highSec: stepTimeSec * high } : null;
}

function read(): Shipped {
  const path = fileURLToPath(dataPath(FILE));
  const document = Fields.of(readYaml(path), path, '', []);
  document.string('source', '-');
  const errors = new Map<string, number>();
  for (const f of document.children('sources')) {
    const group = f.string('group');
    if (f.has('mape')) errors.set(group, f.number('mape'));
    f.done();
  }
  const cells = document.children('cells').map((f) => {
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
  document.done();
  return { cells, errors };
}

/** The table's text, as it ships. */
export function leftOutYaml({ sources, cells }: LeftOut): string {
  const head = [
    '# Each source predicted with profiles that were fitted without it: its mean absolute percentage error, and what is left,',
    '# log(measured / predicted step time), per stack profile and cluster preset. Written by `make calibrate`; do not edit.',
    'source: "leave-one-source-out over the rows of measured.csv"',
    'sources:',
    ...sources.map(({ group, mape }) =>
      mape === null
        ? `  - { group: ${JSON.stringify(group)} }`
        : `  - { group: ${JSON.stringify(group)}, mape: ${mape.toFixed(4)} }`,
    ),
    'cells:',
  ];
  const lines = cells.map((c) => {
    const values = summarise(c.residuals).map((r) => Number(r.toFixed(4)));
    return `  - { group: ${JSON.stringify(c.group)}, stack: ${JSON.stringify(c.stack)}, device: ${JSON.stringify(c.device)}, rows: ${c.rows}, residuals: [${values.join(', ')}] }`;
  });
  return [...head, ...lines, ''].join('\n');
}
