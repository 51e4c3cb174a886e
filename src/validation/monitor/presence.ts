/** Who still reports: hosts and ranks that fall silent, and that come back. */
import type { JobLayout } from './layout.js';
import { SILENT_STEPS } from './stepWindow.js';

/** Steps closed when each unit last reported; -1: never. */
interface Units {
  readonly lastClose: Int32Array;
  readonly silent: Uint8Array;
}

export interface PresenceEvents {
  /** @param closed steps closed when it last reported */
  host(kind: 'silent' | 'back', host: number, closed: number): void;
  rank(kind: 'silent' | 'back', rank: number, closed: number): void;
  /** Whether the unit reports often enough to be missed. */
  isHostKnown(host: number): boolean;
  isRankKnown(rank: number): boolean;
}

export class Presence {
  private readonly hosts: Units;
  private readonly ranks: Units;

  constructor(
    private readonly layout: JobLayout,
    private readonly events: PresenceEvents,
  ) {
    const unitsOf = (n: number): Units => ({
      lastClose: new Int32Array(n).fill(-1),
      silent: new Uint8Array(n),
    });
    this.hosts = unitsOf(layout.hosts);
    this.ranks = unitsOf(layout.devices);
  }

  isSilent(host: number): boolean {
    return this.hosts.silent[host] === 1;
  }

  /** Hosts that ever reported. */
  hostsSeen(): number {
    return this.hosts.lastClose.reduce((n, at) => n + (at >= 0 ? 1 : 0), 0);
  }

  /** Notes the ranks that said something of a step, before their hosts are noted. @param own NaN: nothing */
  seeRanks(own: Float64Array, closed: number): void {
    const { devices, hostOfRank } = this.layout;
    for (let rank = 0; rank < devices; rank++) {
      if (Number.isNaN(own[rank])) continue;
      // A host that is back says it for its ranks.
      if (this.ranks.silent[rank] === 1 && !this.isSilent(hostOfRank[rank]))
        this.events.rank('back', rank, closed);
      this.ranks.silent[rank] = 0;
      this.ranks.lastClose[rank] = closed;
    }
  }

  seeHost(host: number, closed: number): void {
    if (this.isSilent(host)) this.events.host('back', host, closed);
    this.hosts.silent[host] = 0;
    this.hosts.lastClose[host] = closed;
  }

  /** Tells who has been silent for too long. */
  check(closed: number): void {
    const { hosts, devices, hostOfRank } = this.layout;
    for (let h = 0; h < hosts; h++)
      if (isLate(this.hosts, h, closed) && this.events.isHostKnown(h)) {
        this.hosts.silent[h] = 1;
        this.events.host('silent', h, this.hosts.lastClose[h]);
      }
    for (let r = 0; r < devices; r++)
      if (isLate(this.ranks, r, closed) && this.events.isRankKnown(r)) {
        this.ranks.silent[r] = 1;
        if (!this.isSilent(hostOfRank[r])) this.events.rank('silent', r, this.ranks.lastClose[r]);
      }
  }

  snapshot(): number[][] {
    return [this.hosts, this.ranks].flatMap(({ lastClose, silent }) => [
      Array.from(lastClose),
      Array.from(silent),
    ]);
  }

  restore([hosts, silentHosts, ranks, silentRanks]: readonly (readonly number[])[]): void {
    this.hosts.lastClose.set(hosts);
    this.hosts.silent.set(silentHosts);
    this.ranks.lastClose.set(ranks);
    this.ranks.silent.set(silentRanks);
  }
}

function isLate({ lastClose, silent }: Units, unit: number, closed: number): boolean {
  return lastClose[unit] >= 0 && silent[unit] === 0 && closed - lastClose[unit] > SILENT_STEPS;
}
