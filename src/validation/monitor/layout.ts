/** The job that is watched: its hosts, ranks and link levels, and what the plan foretells of it. */
import { createHash } from 'node:crypto';
import type { Cluster } from '../../cluster/index.js';
import { encodePlan } from '../../plan/index.js';
import type { Plan } from '../../plan/index.js';
import { PartitionError, oneLine } from '../../util/errors.js';

export interface JobLayout {
  readonly planDigest: string;
  readonly devices: number;
  readonly hosts: number;
  /** Host of every rank. */
  readonly hostOfRank: Int32Array;
  /** First pipeline rank of every host: hosts of equal ones do equal work. */
  readonly stageOfHost: Int32Array;
  readonly levels: readonly string[];
  readonly prediction: {
    readonly stepTimeSec: number;
    readonly tokensPerStep: number;
    readonly tokensPerSec: number;
    readonly energyJoulesPerStep: number;
    readonly peakMemoryBytes: number;
    readonly memoryCapacityBytes: number;
    readonly mfu: number;
  };
}

/** SHA-256 of the plan's canonical text: what a log's header says to belong to a plan. */
export function planDigest(plan: Plan): string {
  return createHash('sha256').update(encodePlan(plan)).digest('hex');
}

/** @param cluster where the plan runs; null: not known, one host of all devices for every eight of them is taken */
export function jobLayout(plan: Plan, cluster: Cluster | null): JobLayout {
  const devices = plan.cluster.devices;
  const hostOfDevice = hostsOfDevices(devices, cluster);
  const hostOfRank = Int32Array.from(
    { length: devices },
    (_, rank) => hostOfDevice[plan.mesh.rankToDevice?.[rank] ?? rank],
  );
  const hosts = hostOfDevice.reduce((most, host) => Math.max(most, host), 0) + 1;
  const pipeline = plan.mesh.axes.find((axis) => axis.name === 'pp')!;
  const stageOfHost = new Int32Array(hosts).fill(pipeline.size);
  for (let rank = 0; rank < devices; rank++) {
    const stage = Math.floor(rank / pipeline.stride) % pipeline.size;
    stageOfHost[hostOfRank[rank]] = Math.min(stageOfHost[hostOfRank[rank]], stage);
  }
  const { prediction } = plan;
  return {
    planDigest: planDigest(plan),
    devices,
    hosts,
    hostOfRank,
    stageOfHost,
    levels: cluster === null ? [] : cluster.levels.map((level) => level.name),
    prediction: {
      stepTimeSec: prediction.stepTimeSec,
      tokensPerStep: plan.globalBatch * plan.sequenceLength,
      tokensPerSec: prediction.tokensPerSec,
      energyJoulesPerStep: prediction.energyJoulesPerStep,
      peakMemoryBytes: prediction.peakMemoryBytes,
      memoryCapacityBytes: prediction.memoryCapacityBytes,
      mfu: prediction.mfu,
    },
  };
}

/** Devices of a host where nobody says. */
const USUAL_DEVICES_PER_HOST = 8;

function hostsOfDevices(devices: number, cluster: Cluster | null): Int32Array {
  const hostOf = new Int32Array(devices);
  if (cluster === null) return hostOf.map((_, device) => Math.floor(device / USUAL_DEVICES_PER_HOST));
  let at = 0;
  let host = 0;
  for (const group of cluster.groups)
    for (let first = 0; first < group.deviceCount && at < devices; first += group.devicesPerHost) {
      const used = Math.min(group.devicesPerHost, group.deviceCount - first, devices - at);
      hostOf.fill(host++, at, at + used);
      at += used;
    }
  if (at < devices)
    throw new PartitionError(
      'input',
      `expected ${devices} devices as the plan has, found ${at}`,
      cluster.name,
    );
  return hostOf;
}

/** More names than hosts are turned away; so many of them are remembered to be told. */
const REMEMBERED_STRANGERS = 64;

/**
 * Names of hosts as a log has them. A header lists them in the plan's order; without one, `host7` and `7` are host 7, and
 * other names take the free places in the order in which they come.
 */
export class HostNames {
  private readonly numbers = new Map<string, number>();
  private readonly names: (string | null)[];
  readonly strangers = new Set<string>();
  private listed = false;

  constructor(private readonly hosts: number) {
    this.names = new Array<string | null>(hosts).fill(null);
  }

  /** @throws PartitionError input when there are more or fewer names than hosts, or one stands twice */
  list(names: readonly string[], where: string): void {
    if (names.length !== this.hosts || new Set(names).size !== names.length)
      throw new PartitionError(
        'input',
        `header: expected ${this.hosts} different hosts as the plan has, found ${new Set(names).size}`,
        where,
        'the log is of another job',
      );
    this.numbers.clear();
    names.forEach((name, host) => {
      this.numbers.set(name, host);
      this.names[host] = name;
    });
    this.listed = true;
  }

  /** Number of a host; -1 for one that is none of the job's. */
  numberOf(name: string): number {
    const known = this.numbers.get(name);
    if (known !== undefined) return known;
    const number = this.listed ? -1 : this.newNumber(name);
    if (number >= 0) {
      this.numbers.set(name, number);
      this.names[number] ??= name;
    } else if (this.strangers.size < REMEMBERED_STRANGERS) this.strangers.add(oneLine(name, 64));
    return number;
  }

  nameOf(host: number): string {
    return this.names[host] ?? `host${host}`;
  }

  snapshot(): { numbers: [string, number][]; listed: boolean } {
    return { numbers: [...this.numbers], listed: this.listed };
  }

  restore({ numbers, listed }: { numbers: readonly (readonly [string, number])[]; listed: boolean }): void {
    for (const [name, host] of numbers) {
      this.numbers.set(name, host);
      this.names[host] = name;
    }
    this.listed = listed;
  }

  private newNumber(name: string): number {
    const digits = /^(?:host-?)?(\d{1,6})$/i.exec(name);
    if (digits !== null) return Number(digits[1]) < this.hosts ? Number(digits[1]) : -1;
    return this.names.indexOf(null);
  }
}
