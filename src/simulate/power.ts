/**
 * Energy and money of one step. Devices of a pipeline rank are busy with matrix products, then with memory, then with
 * exposed communication, and idle for the rest of the step; hosts and switches draw a constant share.
 */
import { deviceEnergyJoule } from '../cost/energy.js';
import { devicesPerStage } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { StageLoad } from './load.js';
import type { Estimate, PlanProblem } from './types.js';

export class EnergyMeter {
  /** Hosts and switches of the devices in use, watt. */
  readonly fixedWatt: number;
  private readonly costPerSecUsd: number;
  private readonly activity = { matrixSec: 0, memorySec: 0, networkSec: 0, idleSec: 0 };

  constructor(private readonly problem: PlanProblem) {
    let left = problem.devices;
    let watt = 0;
    let costPerHourUsd = 0;
    for (const group of problem.cluster.groups) {
      const used = Math.min(left, group.deviceCount);
      watt += Math.ceil(used / group.devicesPerHost) * group.hostWatt + used * group.networkWattPerDevice;
      costPerHourUsd += used * group.pricePerDeviceHourUsd;
      left -= used;
    }
    this.fixedWatt = watt;
    this.costPerSecUsd = costPerHourUsd / 3600;
  }

  /** Fills the energy and cost of a step whose time is known. */
  fill(load: StageLoad, c: Candidate, out: Estimate): void {
    const perRank = devicesPerStage(c);
    let joule = 0;
    for (let r = 0; r < load.pp; r++) joule += perRank * this.rankJoule(load, c, r, out.stepTimeSec);
    out.energyJoulesPerStep = (joule + this.fixedWatt * out.stepTimeSec) * this.problem.cluster.pue;
    out.costPerStep = this.costPerSecUsd * out.stepTimeSec;
  }

  /** Joules of one device of a pipeline rank. */
  rankJoule(load: StageLoad, c: Candidate, r: number, stepTimeSec: number): number {
    const { pp, virtualStages, microbatches } = load;
    const table = load.tableOf[r];
    const device = this.problem.cluster.groups[load.layout.deviceGroup[r]].device;
    let busy = 0;
    let all = 0;
    let flop = 0;
    for (let v = r; v < virtualStages; v += pp) {
      const from = c.stageStart[v];
      const to = c.stageStart[v + 1];
      const compute = table.computeSec[to] - table.computeSec[from];
      const repeated = load.recomputeSec[v];
      busy += compute + repeated;
      all += load.forwardSec[v] + load.backwardSec[v];
      // Repeated work has the mix of the first time.
      const once = table.flop[to] - table.flop[from];
      flop += compute > 0 ? once * (1 + repeated / compute) : once;
    }
    const tail =
      load.reduceExposedSec[r] + load.gatherExposedSec[r] + (load.rankIsTied(r) ? load.tiedSec : 0);
    const a = this.activity;
    a.matrixSec = microbatches * Math.min(busy, flop / device.achievableFlopPerSec[this.problem.precision]);
    a.memorySec = microbatches * busy - a.matrixSec + load.optimizerSec[r];
    a.networkSec = microbatches * Math.max(0, all - busy) + tail;
    a.idleSec = Math.max(0, stepTimeSec - a.matrixSec - a.memorySec - a.networkSec);
    return deviceEnergyJoule(device, a);
  }
}
