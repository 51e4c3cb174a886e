/**
 * Energy and money of one step. Devices of a pipeline rank are busy with matrix products, then with memory, then with
 * exposed communication, and idle for the rest of the step.
 */
import { deviceEnergyJoule, hostMainsWatt } from '../cost/energy.js';
import { devicesPerStage } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { StageLoad } from './load.js';
import type { Estimate, PlanProblem } from './types.js';

/** `ActivitySeconds` to write into. */
export interface Activity {
  matrixSec: number;
  memorySec: number;
  networkSec: number;
  idleSec: number;
}

export class EnergyMeter {
  /** Drawn whatever the devices do, watt: hosts at the mains, and switches. */
  readonly hostWatt: number;
  readonly switchWatt: number;
  private readonly costPerSecUsd: number;
  /** Mains joules per joule of a device, by device group: fans and power supplies. */
  private readonly mainsShare: Float64Array;
  private readonly activity: Activity = { matrixSec: 0, memorySec: 0, networkSec: 0, idleSec: 0 };

  constructor(private readonly problem: PlanProblem) {
    let left = problem.devices;
    let hosts = 0;
    let hostWatt = 0;
    let ports = 0;
    let firstSwitches = 0;
    let costPerHourUsd = 0;
    const { groups } = problem.cluster;
    for (const group of groups) {
      const used = Math.min(left, group.deviceCount);
      const usedHosts = Math.ceil(used / group.devicesPerHost);
      hosts += usedHosts;
      hostWatt += usedHosts * hostMainsWatt(group, 0);
      ports += used * group.networkWattPerDevice;
      firstSwitches = Math.max(firstSwitches, group.networkBaseWatt);
      costPerHourUsd += used * group.pricePerDeviceHourUsd;
      left -= used;
    }
    this.hostWatt = hostWatt;
    this.switchWatt = ports + (hosts > 1 ? firstSwitches : 0);
    this.mainsShare = Float64Array.from(groups, (g) => (1 + g.coolingShare) / g.powerSupplyEfficiency);
    this.costPerSecUsd = costPerHourUsd / 3600;
  }

  /** Hosts and switches of the devices in use, watt. */
  get fixedWatt(): number {
    return this.hostWatt + this.switchWatt;
  }

  /** Fills the energy and cost of a step whose time is known. */
  fill(load: StageLoad, c: Candidate, out: Estimate): void {
    const perRank = devicesPerStage(c);
    let joule = 0;
    for (let r = 0; r < load.pp; r++) {
      const share = this.mainsShare[load.layout.deviceGroup[r]];
      joule += perRank * share * this.rankJoule(load, c, r, out.stepTimeSec);
    }
    out.energyJoulesPerStep = (joule + this.fixedWatt * out.stepTimeSec) * this.problem.cluster.pue;
    out.costPerStep = this.costPerSecUsd * out.stepTimeSec;
  }

  /** Joules of one device of a pipeline rank, without fans and power supplies. */
  rankJoule(load: StageLoad, c: Candidate, r: number, stepTimeSec: number): number {
    const device = this.problem.cluster.groups[load.layout.deviceGroup[r]].device;
    rankActivity(this.problem, load, c, r, stepTimeSec, this.activity);
    return deviceEnergyJoule(device, this.activity);
  }
}

/** What one device of a pipeline rank does in a step; the parts add up to it. */
export function rankActivity(
  problem: PlanProblem,
  load: StageLoad,
  c: Candidate,
  r: number,
  stepTimeSec: number,
  out: Activity,
): void {
  const { pp, virtualStages, microbatches } = load;
  const table = load.tableOf[r];
  let kernels = 0;
  let matrix = 0;
  let all = 0;
  let waits = 0;
  for (let v = r; v < virtualStages; v += pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    const compute = table.computeSec[to] - table.computeSec[from];
    const launch = table.launchSec[to] - table.launchSec[from];
    const repeated = load.recomputeSec[v];
    // Repeated work has the mix of the first time.
    const again = compute > 0 ? 1 + repeated / compute : 1;
    kernels += (compute - launch) * again;
    waits += launch * again;
    matrix += (table.matrixSec[to] - table.matrixSec[from]) * again;
    all += load.forwardSec[v] + load.backwardSec[v];
  }
  const tail = load.reduceExposedSec[r] + load.gatherExposedSec[r] + (load.rankIsTied(r) ? load.tiedSec : 0);
  const hostSec = load.vpp * problem.stack.microbatchOverheadSec;
  out.matrixSec = microbatches * Math.min(matrix, kernels);
  out.memorySec = microbatches * (kernels - Math.min(matrix, kernels)) + load.optimizerSec[r];
  out.networkSec = microbatches * Math.max(0, all - kernels - waits - hostSec) + tail;
  const idle = stepTimeSec - out.matrixSec - out.memorySec - out.networkSec;
  if (idle < 0) out.networkSec += idle;
  out.idleSec = Math.max(0, idle);
}
