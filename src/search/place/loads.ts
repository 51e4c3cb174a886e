/**
 * Loads of all devices under an assignment of groups, kept up to date as groups move. A net with source on device s is paid
 * by s when it is read anywhere else, and by every other device that reads it; kinds that read memory freely pay nothing.
 *
 * Moving group g from a to b changes the loads of a and b only: a net's cost to a third device depends on whether that device
 * holds the source or a reader, and g is neither there before nor after.
 */
import type { Groups } from './groups.js';
import type { PlaceProblem } from './problem.js';
import { deviceKinds } from './problem.js';

export class Loads {
  readonly devices: number;
  readonly kindOf: Int32Array;
  readonly device: Int32Array;
  readonly load: Float64Array;
  readonly size: Float64Array;
  readonly memory: Float64Array;
  /** Changes of the loads of the old and the new device, left by `weigh`. */
  deltaOld = 0;
  deltaNew = 0;
  /** `[net * devices + device]`: readers there. */
  private readonly read: Int32Array;
  private readonly pays: Uint8Array;

  constructor(
    problem: PlaceProblem,
    readonly groups: Groups,
  ) {
    this.kindOf = deviceKinds(problem);
    this.devices = this.kindOf.length;
    this.device = new Int32Array(groups.count);
    this.load = new Float64Array(this.devices);
    this.size = new Float64Array(this.devices);
    this.memory = Float64Array.from(this.kindOf, (k) => problem.kinds[k].memoryBytes);
    this.pays = Uint8Array.from(this.kindOf, (k) => (problem.kinds[k].paysTransfers ? 1 : 0));
    this.read = new Int32Array(groups.nets * this.devices);
  }

  /** Takes an assignment over, summing everything anew: this also clears rounding. */
  reset(device: ArrayLike<number>): void {
    const { groups, devices, load, size, read, pays } = this;
    this.device.set(device);
    load.fill(0);
    size.fill(0);
    read.fill(0);
    for (let g = 0; g < groups.count; g++) {
      const d = device[g];
      load[d] += groups.time[this.kindOf[d] * groups.count + g];
      size[d] += groups.sizeBytes[g];
    }
    for (let e = 0; e < groups.nets; e++) {
      const first = groups.readerFirst[e];
      const last = groups.readerFirst[e + 1];
      for (let i = first; i < last; i++) read[e * devices + device[groups.reader[i]]]++;
      const s = device[groups.netSource[e]];
      for (let d = 0; d < devices; d++) {
        if (pays[d] === 0) continue;
        const here = read[e * devices + d];
        if (d === s ? here < last - first : here > 0) load[d] += groups.netTime[e];
      }
    }
  }

  maxLoad(): number {
    let most = 0;
    for (let d = 0; d < this.devices; d++) if (this.load[d] > most) most = this.load[d];
    return most;
  }

  /** Bytes over the limits, as a share of the limits, summed. */
  overflow(): number {
    let over = 0;
    for (let d = 0; d < this.devices; d++) {
      const excess = this.size[d] - this.memory[d];
      if (excess > 0) over += excess / (this.memory[d] + 1);
    }
    return over;
  }

  /** What moving g to device b would add to the loads of its device and of b; infinite where g cannot run. */
  weigh(g: number, b: number): void {
    const { groups, devices, read } = this;
    const a = this.device[g];
    const n = groups.count;
    let old = 0;
    let fresh = 0;
    const { netTime, netSource, readerFirst } = groups;
    for (let i = groups.outFirst[g]; i < groups.outFirst[g + 1]; i++) {
      const e = groups.out[i];
      const at = e * devices;
      const total = readerFirst[e + 1] - readerFirst[e];
      const cost = netTime[e];
      const onA = read[at + a];
      const onB = read[at + b];
      if (onA < total) old -= cost;
      if (onA > 0) old += cost;
      if (onB > 0) fresh -= cost;
      if (onB < total) fresh += cost;
    }
    for (let i = groups.inFirst[g]; i < groups.inFirst[g + 1]; i++) {
      const e = groups.in[i];
      const at = e * devices;
      const s = this.device[netSource[e]];
      const cost = netTime[e];
      if (s === a) {
        // The source stays on a: it pays from now on when all readers were beside it.
        if (read[at + a] === readerFirst[e + 1] - readerFirst[e]) old += cost;
      } else if (read[at + a] === 1) old -= cost;
      if (s === b) {
        if (read[at + b] === readerFirst[e + 1] - readerFirst[e] - 1) fresh -= cost;
      } else if (read[at + b] === 0) fresh += cost;
    }
    this.deltaOld = (this.pays[a] === 0 ? 0 : old) - groups.time[this.kindOf[a] * n + g];
    this.deltaNew = (this.pays[b] === 0 ? 0 : fresh) + groups.time[this.kindOf[b] * n + g];
  }

  /** Moves g to b; `weigh(g, b)` must be the last thing asked. */
  move(g: number, b: number): void {
    const { groups, devices, read } = this;
    const a = this.device[g];
    this.load[a] += this.deltaOld;
    this.load[b] += this.deltaNew;
    this.size[a] -= groups.sizeBytes[g];
    this.size[b] += groups.sizeBytes[g];
    for (let i = groups.inFirst[g]; i < groups.inFirst[g + 1]; i++) {
      const at = groups.in[i] * devices;
      read[at + a]--;
      read[at + b]++;
    }
    this.device[g] = b;
  }
}
