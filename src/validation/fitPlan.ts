/** Which numbers of the shipped profiles are fitted to which rows: `src/data/measured/fits.yaml`. */
import { fileURLToPath } from 'node:url';
import { presetFolder, readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import { STACK_NUMBERS, stackNumber } from '../cost/stack.js';
import { dataPath } from '../util/files.js';

/** Rows that a fit takes, of those that ran on its stacks. */
export type RowKind = 'all' | 'dense' | 'experts';

/** One number to fit, in the unit of its file. */
export interface PlannedNumber {
  readonly stack: string;
  /** As profiles write it. */
  readonly key: string;
  /** Devices on which alone it holds; empty: everywhere. */
  readonly devices: readonly string[];
  readonly prior: number;
  readonly lower: number;
  readonly upper: number;
}

export interface PlannedFit {
  readonly stacks: readonly string[];
  readonly rows: RowKind;
  /** Profile whose numbers stand in where no row is left to fit to; null: the priors do. */
  readonly standIn: string | null;
  readonly numbers: readonly PlannedNumber[];
}

/** The fits in order: later ones start from what earlier ones found. */
export function plannedFits(): readonly PlannedFit[] {
  const path = fileURLToPath(dataPath('measured/fits.yaml'));
  const document = Fields.of(readYaml(path), path, '', []);
  const fits = document.children('fits').map((f): PlannedFit => {
    const stacks = f.list('stacks').map((_, i) => known(f, 'stacks', i));
    const own = f.string('of', stacks[0]);
    const fit = {
      stacks,
      rows: f.oneOf('rows', ['all', 'dense', 'experts'], 'all'),
      standIn: f.has('standIn') ? f.string('standIn') : null,
      numbers: f.children('numbers').map((n) => readNumber(n, own)),
    };
    f.done();
    return fit;
  });
  document.done();
  return fits;
}

function readNumber(n: Fields, own: string): PlannedNumber {
  const key = n.string('number');
  const name = STACK_NUMBERS.find((candidate) => stackNumber(candidate).key === key);
  if (name === undefined) throw n.fault('number', 'a number of stack profiles');
  const { min, max, unit } = stackNumber(name);
  const bounds = { min: min / unit, max: max / unit };
  const number = {
    stack: n.string('of', own),
    key,
    devices: n.list('devices', []).map(String),
    prior: n.number('prior', bounds),
    lower: n.number('lower', bounds),
    upper: n.number('upper', bounds),
  };
  n.done();
  return number;
}

function known(f: Fields, field: string, i: number): string {
  const name = String(f.list(field)[i]);
  if (!presetFolder('stacks').names.includes(name)) throw f.fault(field, 'names of stack profiles');
  return name;
}
