/**
 * Cost models of the user's own: corrections of the cost tables, for kernels or links that behave otherwise than the
 * built-in physics has it. A model sees a table and gives back the columns that it changes.
 */
import type { Cluster } from '../cluster/index.js';
import type { StackProfile } from '../cost/stack.js';
import type { ClassCosts, CostProvider } from '../cost/types.js';
import { PartitionError } from '../util/errors.js';
import { checkFunction, checkName } from './registry.js';

/** What a table was made for; devices may be under a power cap. */
export interface CostSetting {
  readonly cluster: Cluster;
  readonly stack: StackProfile;
}

/**
 * Columns to put in place of a table's, each as long as before and of numbers of at least 0; what is not given stays. Must
 * give the same for the same table. No device may be taken for faster than its peak: lower bounds are reckoned from that.
 */
export type CostModel = (costs: ClassCosts, setting: CostSetting) => Partial<ClassCosts>;

const models = new Map<string, CostModel>();

/** @throws PartitionError usage when the name is taken or no name */
export function registerCostModel(name: string, model: CostModel): void {
  checkName(name, 'cost model', [...models.keys()]);
  checkFunction(name, 'cost model', model);
  models.set(name, model);
}

/** @throws PartitionError usage, listing those that there are, when nobody registered it */
export function costModelByName(name: string): CostModel {
  const model = models.get(name);
  if (model !== undefined) return model;
  const known = [...models.keys()];
  throw new PartitionError(
    'usage',
    `expected ${known.length === 0 ? 'a cost model of a plugin' : `one of ${known.join(', ')}`}, found ${name}`,
    '--cost-model',
    known.length === 0 ? 'load a file that registers one with --plugin' : null,
  );
}

/** The provider's tables as a registered model has them; also at other clocks. */
export function withCostModel(name: string, inner: CostProvider, setting: CostSetting): CostProvider {
  const model = costModelByName(name);
  const changed = new WeakMap<ClassCosts, ClassCosts>();
  return {
    ...(inner.leannesses === undefined ? {} : { leannesses: (degrees) => inner.leannesses!(degrees) }),
    costs(key) {
      const table = inner.costs(key);
      let own = changed.get(table);
      if (own === undefined) changed.set(table, (own = overlay(name, table, model(table, setting))));
      return own;
    },
    ...(inner.repriced === undefined
      ? {}
      : {
          repriced: (cluster: Cluster, stack: StackProfile) =>
            withCostModel(name, inner.repriced!(cluster, stack), { cluster, stack }),
        }),
  };
}

function overlay(name: string, table: ClassCosts, own: Partial<ClassCosts>): ClassCosts {
  const columns = Object.entries(own ?? {}) as [keyof ClassCosts, unknown][];
  for (const [field, column] of columns) {
    const fault = faultOf(table[field], column);
    if (fault !== null)
      throw new PartitionError(
        'input',
        `cost model ${name}: ${fault}`,
        field,
        'see ClassCosts in the library',
      );
  }
  return { ...table, ...own };
}

/** What is wrong with a column, or null. */
function faultOf(before: unknown, column: unknown): string | null {
  if (before instanceof Float64Array) {
    if (!(column instanceof Float64Array) || column.length !== before.length)
      return `expected a Float64Array of ${before.length}`;
    const bad = column.find((x) => !(x >= 0 && x < Infinity));
    return bad === undefined ? null : `expected numbers of at least 0, found ${bad}`;
  }
  if (!Array.isArray(before)) return 'no column of costs';
  if (!Array.isArray(column) || column.length !== before.length) return `expected ${before.length} columns`;
  for (let i = 0; i < before.length; i++) {
    const fault = faultOf(before[i], column[i]);
    if (fault !== null) return fault;
  }
  return null;
}
