/** How far a split model is from the whole, as people read it. */
import { oneLine } from '../util/errors.js';
import { formatTable } from '../util/format.js';

/** The fields of a verification that the table shows. */
export interface VerifyFacts {
  readonly verification: {
    readonly outputs: readonly {
      readonly name: string;
      readonly maxAbs: number | null;
      readonly maxRel: number | null;
      readonly pass: boolean;
    }[];
    readonly pass: boolean;
  };
  readonly tolerance: number;
  readonly runtime: string;
  readonly stages: number;
  readonly tp: number;
}

export function verifyTable({ verification, tolerance, runtime, stages, tp }: VerifyFacts): string {
  const number = (value: number | null): string =>
    value === null ? '-' : value === 0 ? '0' : value.toExponential(1);
  const rows = verification.outputs.map(({ name, maxAbs, maxRel, pass }) => [
    oneLine(name, 60),
    number(maxAbs),
    number(maxRel),
    pass ? 'yes' : 'NO',
  ]);
  const verdict = verification.pass ? 'whole and split agree' : 'whole and split differ';
  return [
    formatTable([
      ['output', 'largest difference', 'of the largest element', `within ${String(tolerance)}`],
      ...rows,
    ]),
    '',
    `${verdict}: stages ${String(stages)}, tp ${String(tp)}, ${runtime}`,
  ].join('\n');
}
