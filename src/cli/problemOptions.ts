/** Options of the commands that plan a model from scratch: what is trained, on what, priced how. */
import type { Argv } from 'yargs';
import type { ProblemOptions } from '../api/index.js';
import { DEFAULT_STACK, PRECISIONS, STACKS, costModelByName, parseObjective } from '../api/index.js';
import type { ModelArgs } from './options.js';
import {
  CALIBRATION_TEXT,
  COST_MODEL_TEXT,
  integerBetween,
  oneOf,
  parseBindings,
  positiveInteger,
  text,
  withModel,
} from './options.js';

export interface ProblemArgs extends ModelArgs {
  cluster: string;
  batch?: string;
  precision: string;
  stack: string;
  calibration?: string;
  costModel?: string;
  objective: string;
}

/** More devices than any cluster has; tables per device stay small. */
export const MOST_DEVICES = 2 ** 20;

/** @param more said of `--objective` beyond what every command takes */
export function withProblem<T>(argv: Argv<T>, more = ''): Argv<T & ProblemArgs> {
  return withModel(argv)
    .option('cluster', text('preset (partition clusters lists them) or YAML file', 'h100-sxm'))
    .option('batch', text('global batch in sequences; default about 4M tokens'))
    .option('precision', text(`compute precision: ${PRECISIONS.join(', ')}`, 'bf16'))
    .option('stack', text(`stack profile: ${STACKS.join(', ')}, or a YAML file`, DEFAULT_STACK))
    .option('calibration', text(CALIBRATION_TEXT))
    .option('cost-model', text(COST_MODEL_TEXT))
    .option(
      'objective',
      text(`time, energy, cost, utilisation, or weights: time=0.7,energy=0.3${more}`, 'time'),
    ) as never;
}

/**
 * Checks the flags of `withProblem`.
 *
 * @throws PartitionError usage
 */
export function problemOptions(args: ProblemArgs, devices: string): ProblemOptions {
  parseObjective(args.objective);
  if (args.costModel !== undefined) costModelByName(args.costModel);
  return {
    devices: integerBetween(devices, '--devices', 1, MOST_DEVICES),
    cluster: args.cluster,
    batch: positiveInteger(args.batch, '--batch'),
    seq: positiveInteger(args.seq, '--seq'),
    bind: parseBindings(args.bind),
    stack: args.stack,
    calibration: args.calibration,
    costModel: args.costModel,
    precision: oneOf(args.precision, PRECISIONS, '--precision'),
    objective: args.objective,
    strict: args.strict,
  };
}
