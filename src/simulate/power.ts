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
  private readonly hostsUsed: Int32Array;
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
    this.hostsUsed = new Int32Array(groups.length);
    groups.forEach((group, g) => {
      const used = Math.min(left, group.deviceCount);
      const usedHosts = Math.ceil(used / group.devicesPerHost);
      hosts += usedHosts;
      hostWatt += usedHosts * hostMainsWatt(group, 0);
      ports += used * group.networkWattPerDevice;
      firstSwitches = Math.max(firstSwitches, group.networkBaseWatt);
      costPerHourUsd += used * group.pricePerDeviceHourUsd;
      left -= used;
      this.hostsUsed[g] = usedHosts;
    });
    this.hostWatt = hostWatt;
    this.switchWatt = ports + (hosts > 1 ? firstSwitches : 0);
    this.mainsShare = Float64Array.from(groups, (g) => (1 + g.coolingShare) / g.powerSupplyEfficiency);
    this.costPerSecUsd = costPerHourUsd / 3600;
  }

  /** Hosts and switches of the devices in use, watt. */
  get fixedWatt(): number {
    return this.hostWatt + this.switchWatt;
  }

  /**
   * Joules drawn around the devices in a step.
   *
   * @param deviceJoule of all devices, by device group
   */
  surroundings(
    deviceJoule: ArrayLike<number>,
    stepTimeSec: number,
  ): { hostJoule: number; coolingJoule: number; supplyJoule: number; switchJoule: number } {
    const sum = { hostJoule: 0, coolingJoule: 0, supplyJoule: 0, switchJoule: this.switchWatt * stepTimeSec };
    this.problem.cluster.groups.forEach((group, g) => {
      const host = this.hostsUsed[g] * group.hostWatt * stepTimeSec;
      const inside = deviceJoule[g] + host;
      const direct = inside * (1 + group.coolingShare);
      sum.hostJoule += host;
      sum.coolingJoule += direct - inside;
      sum.supplyJoule += direct / group.powerSupplyEfficiency - direct;
    });
    return sum;
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

/** Seconds of one microbatch on one rank, all its virtual stages together. */
interface RankWork {
  matrixSec: number;
  /** All kernels, those of the matrix units included. */
  kernelSec: number;
  /** The compute stream stands: for the host, between kernels and between microbatches. */
  hostSec: number;
  /** Kernels, waits for the host, exposed collectives. */
  totalSec: number;
}

const work: RankWork = { matrixSec: 0, kernelSec: 0, hostSec: 0, totalSec: 0 };

/** Fills `work`. */
function rankWork(problem: PlanProblem, load: StageLoad, c: Candidate, r: number): void {
  const { pp, virtualStages } = load;
  const table = load.tableOf[r];
  work.matrixSec = 0;
  work.kernelSec = 0;
  work.totalSec = 0;
  work.hostSec = load.vpp * problem.stack.microbatchOverheadSec;
  for (let v = r; v < virtualStages; v += pp) {
    const from = c.stageStart[v];
    const to = c.stageStart[v + 1];
    const compute = table.computeSec[to] - table.computeSec[from];
    const launch = table.launchSec[to] - table.launchSec[from];
    // Repeated work has the mix of the first time.
    const times = compute > 0 ? 1 + load.recomputeSec[v] / compute : 1;
    work.kernelSec += (compute - launch) * times;
    work.hostSec += launch * times;
    work.matrixSec += (table.matrixSec[to] - table.matrixSec[from]) * times;
    work.totalSec += load.forwardSec[v] + load.backwardSec[v];
  }
  work.matrixSec = Math.min(work.matrixSec, work.kernelSec);
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
  rankWork(problem, load, c, r);
  const { microbatches } = load;
  const tail = load.reduceExposedSec[r] + load.gatherExposedSec[r] + (load.rankIsTied(r) ? load.tiedSec : 0);
  out.matrixSec = microbatches * work.matrixSec;
  out.memorySec = microbatches * (work.kernelSec - work.matrixSec) + load.optimizerSec[r];
  out.networkSec = microbatches * Math.max(0, work.totalSec - work.kernelSec - work.hostSec) + tail;
  const idle = stepTimeSec - out.matrixSec - out.memorySec - out.networkSec;
  if (idle < 0) out.networkSec += idle;
  out.idleSec = Math.max(0, idle);
}
