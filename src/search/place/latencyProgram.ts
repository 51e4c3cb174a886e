/**
 * Placement for latency as a mixed-integer program (after Tarnawski et al. 2020, figure 4, one call of each accelerator).
 * For groups g, devices d, operators v, nets e (a tensor with its readers), and H no less than the latency sought:
 *
 *     x_gd in {0, 1}          group g runs on d; sum_d x_gd = 1; sum_g size_g x_gd <= memory_d
 *     out_ed >= x_source,d - x_reader,d;  in_ed >= x_reader,d - x_source,d         for each reader: what d sends and receives
 *     finish_d = start_d + sum_g time_gd x_gd + sum_e transfer_e (in_ed + out_ed)   for each accelerator d
 *     start_d >= ready_u - H (1 - x_vd + x_ud)                                      for each edge u -> v
 *     ready_v >= finish_d - H (1 - x_vd)
 *     ready_v >= ready_u + sum over free kinds k of time_vk x_vk                    for each edge u -> v (and for sources)
 *     latency >= ready_v, latency >= bound
 *
 * Accelerators of one kind are alike: the i-th of them may hold groups i, i + 1, ... only. The devices of a kind that pays no
 * transfers run every operator as soon as they can, so that one of them stands for all where memory is no limit.
 */
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';
import { deviceKinds } from './problem.js';

/** A program in rows: lower <= row <= upper, `[rowFirst[i], rowFirst[i + 1])` of `column` and `value`. */
export interface LatencyProgram {
  readonly columns: number;
  readonly rows: number;
  readonly cost: Float64Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
  /** 1: whole numbers only. */
  readonly whole: Int32Array;
  readonly rowLower: Float64Array;
  readonly rowUpper: Float64Array;
  readonly rowFirst: Int32Array;
  readonly column: Int32Array;
  readonly value: Float64Array;
  /** Devices that take part. */
  readonly devices: Int32Array;
  /** Column of group g on the i-th of them: `g * devices.length + i`. */
  readonly groups: number;
}

/**
 * @param most no latency above this is of interest
 * @param bound no latency is below this
 * @returns null when it would have more than `mostEntries` numbers
 */
export function latencyProgram(
  problem: PlaceProblem,
  groups: Groups,
  most: number,
  bound: number,
  mostEntries: number,
): LatencyProgram | null {
  const n = problem.names.length;
  const kindOf = deviceKinds(problem);
  const devices = devicesInUse(problem, kindOf);
  const D = devices.length;
  const accelerators = devices.filter((d) => problem.kinds[kindOf[d]].paysTransfers).length;
  if ((problem.edgeSource.length + n) * 3 * accelerators + groups.nets * accelerators * 6 > mostEntries)
    return null;
  const b = new RowBuilder();
  for (let g = 0; g < groups.count; g++)
    for (let i = 0; i < D; i++) {
      const k = kindOf[devices[i]];
      const rank = devices[i] - kindOf.indexOf(k);
      const barred = groups.time[k * groups.count + g] === Infinity;
      const alike = problem.kinds[k].paysTransfers && g < rank;
      b.addColumn(0, 0, barred || alike ? 0 : 1, 1);
    }
  const x = (g: number, i: number): number => g * D + i;
  for (let g = 0; g < groups.count; g++) {
    for (let i = 0; i < D; i++) b.add(x(g, i), 1);
    b.endRow(1, 1);
  }
  devices.forEach((d, i) => {
    const { memoryBytes } = problem.kinds[kindOf[d]];
    if (!(memoryBytes < Infinity)) return;
    const scale = 1 / Math.max(memoryBytes, 1);
    for (let g = 0; g < groups.count; g++) b.add(x(g, i), groups.sizeBytes[g] * scale);
    b.endRow(-Infinity, memoryBytes * scale);
  });
  const latency = b.addColumn(1, bound, most, 0);
  const ready = Array.from({ length: n }, () => b.addColumn(0, 0, most, 0));
  const free = (v: number, sign: number): void => {
    for (let i = 0; i < D; i++) {
      const k = kindOf[devices[i]];
      const time = problem.time[k * n + v];
      if (!problem.kinds[k].paysTransfers && time < Infinity) b.add(x(groups.of[v], i), sign * time);
    }
  };
  for (let v = 0; v < n; v++) {
    b.add(latency, 1);
    b.add(ready[v], -1);
    b.endRow(0, Infinity);
    b.add(ready[v], 1);
    free(v, -1);
    b.endRow(0, Infinity);
  }
  for (let e = 0; e < problem.edgeSource.length; e++) {
    b.add(ready[problem.edgeTarget[e]], 1);
    b.add(ready[problem.edgeSource[e]], -1);
    free(problem.edgeTarget[e], -1);
    b.endRow(0, Infinity);
  }
  devices.forEach((d, i) => {
    const k = kindOf[d];
    if (!problem.kinds[k].paysTransfers) return;
    const start = b.addColumn(0, 0, most, 0);
    const finish = b.addColumn(0, 0, most, 0);
    // Transfers: first their columns, so that the row of the device is whole.
    const paid: [number, number][] = [];
    for (let e = 0; e < groups.nets; e++) {
      const source = x(groups.netSource[e], i);
      const out = b.addColumn(0, 0, 1, 0);
      const into = b.addColumn(0, 0, 1, 0);
      paid.push([out, groups.netTime[e]], [into, groups.netTime[e]]);
      for (let j = groups.readerFirst[e]; j < groups.readerFirst[e + 1]; j++) {
        const reader = x(groups.reader[j], i);
        b.addRow(0, Infinity, [out, 1], [source, -1], [reader, 1]);
        b.addRow(0, Infinity, [into, 1], [reader, -1], [source, 1]);
      }
    }
    b.add(finish, 1);
    b.add(start, -1);
    for (let g = 0; g < groups.count; g++) {
      const time = groups.time[k * groups.count + g];
      if (time > 0 && time < Infinity) b.add(x(g, i), -time);
    }
    for (const [column, time] of paid) b.add(column, -time);
    b.endRow(0, Infinity);
    for (let v = 0; v < n; v++)
      b.addRow(-most, Infinity, [ready[v], 1], [finish, -1], [x(groups.of[v], i), -most]);
    const seen = new Set<number>();
    for (let e = 0; e < problem.edgeSource.length; e++) {
      const [u, v] = [problem.edgeSource[e], problem.edgeTarget[e]];
      const [a, c] = [groups.of[u], groups.of[v]];
      if (a === c || seen.has(u * groups.count + c)) continue;
      seen.add(u * groups.count + c);
      b.addRow(-most, Infinity, [start, 1], [ready[u], -1], [x(c, i), -most], [x(a, i), most]);
    }
  });
  return b.build(devices, groups.count);
}

/** All accelerators; of a kind that pays nothing one is enough unless memory limits it. */
function devicesInUse(problem: PlaceProblem, kindOf: Int32Array): Int32Array {
  return Int32Array.from(
    Array.from(kindOf, (_, d) => d).filter((d) => {
      const kind = problem.kinds[kindOf[d]];
      return kind.paysTransfers || kind.memoryBytes < Infinity || kindOf.indexOf(kindOf[d]) === d;
    }),
  );
}

/** Collects columns and rows. */
class RowBuilder {
  private readonly cost: number[] = [];
  private readonly lower: number[] = [];
  private readonly upper: number[] = [];
  private readonly whole: number[] = [];
  private readonly rowLower: number[] = [];
  private readonly rowUpper: number[] = [];
  private readonly rowFirst: number[] = [0];
  private readonly column: number[] = [];
  private readonly value: number[] = [];

  addColumn(cost: number, lower: number, upper: number, whole: 0 | 1): number {
    this.cost.push(cost);
    this.lower.push(lower);
    this.upper.push(upper);
    this.whole.push(whole);
    return this.cost.length - 1;
  }

  add(column: number, value: number): void {
    if (value === 0) return;
    this.column.push(column);
    this.value.push(value);
  }

  endRow(lower: number, upper: number): void {
    this.rowLower.push(lower);
    this.rowUpper.push(upper);
    this.rowFirst.push(this.column.length);
  }

  addRow(lower: number, upper: number, ...entries: readonly (readonly [number, number])[]): void {
    for (const [column, value] of entries) this.add(column, value);
    this.endRow(lower, upper);
  }

  build(devices: Int32Array, groups: number): LatencyProgram {
    return {
      columns: this.cost.length,
      rows: this.rowLower.length,
      cost: Float64Array.from(this.cost),
      lower: Float64Array.from(this.lower),
      upper: Float64Array.from(this.upper),
      whole: Int32Array.from(this.whole),
      rowLower: Float64Array.from(this.rowLower),
      rowUpper: Float64Array.from(this.rowUpper),
      rowFirst: Int32Array.from(this.rowFirst),
      column: Int32Array.from(this.column),
      value: Float64Array.from(this.value),
      devices,
      groups,
    };
  }
}
