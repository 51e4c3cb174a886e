/**
 * Hardware as data: devices, the levels of the network between them, and clusters of device groups. Everything here
 * is immutable once loaded; every number came from a YAML file that names its source.
 */

/** Number formats of matrix units. */
export type Precision = 'fp32' | 'tf32' | 'bf16' | 'fp16' | 'fp8' | 'fp4' | 'int8';

export const PRECISIONS: readonly Precision[] = ['fp32', 'tf32', 'bf16', 'fp16', 'fp8', 'fp4', 'int8'];

/** One output tile of the matrix kernels: `rows x columns` per core and the share of the peak it sustains. */
export interface MatrixTile {
  readonly rows: number;
  readonly columns: number;
  readonly efficiency: number;
}

/** Fused attention: share of the matrix peak at very long sequences, and the number of keys that a query visits at which half of it is reached. */
export interface AttentionCurve {
  readonly forwardFraction: number;
  readonly forwardHalfLength: number;
  readonly backwardFraction: number;
  readonly backwardHalfLength: number;
}

/** One accelerator as a job sees it (a GPU, a GCD of an MI250X, a TPU chip). */
export interface Device {
  /** Preset name, such as `h100-sxm`. */
  readonly name: string;
  readonly vendor: string;
  /** Precision that really runs when one is asked for (V100 runs bf16 as fp16, A100 runs fp8 as bf16). */
  readonly runsAs: Readonly<Record<Precision, Precision>>;
  /** Dense datasheet peak of the matrix units, FLOP/s, fallbacks resolved: never 0. The denominator of MFU. */
  readonly peakFlopPerSec: Readonly<Record<Precision, number>>;
  /** Best rate that a large, well-shaped matmul reaches, FLOP/s: measured where known. */
  readonly achievableFlopPerSec: Readonly<Record<Precision, number>>;
  /** fp32 rate outside the matrix units, FLOP/s. */
  readonly vectorFlopPerSec: number;
  readonly memoryBytes: number;
  /** Taken by the runtime before the model: context, communicators, library workspaces. */
  readonly reservedBytes: number;
  /** Datasheet bandwidth of the device memory, bytes/s. */
  readonly memoryBytesPerSec: number;
  /** Share of that bandwidth which a long streaming kernel reaches. */
  readonly memoryEfficiency: number;
  /** Gap between dependent kernels in one stream, seconds: launch, drain and fill. */
  readonly launchOverheadSec: number;
  /** Units that each compute one output tile at a time (streaming multiprocessors, compute units, systolic arrays). */
  readonly cores: number;
  readonly matrixTiles: readonly MatrixTile[];
  /** Contraction length at which a matmul reaches half of its rate: prologue and epilogue in units of k. */
  readonly contractionHalfLength: number;
  readonly attention: AttentionCurve;
  /** Board power limit, watt. */
  readonly tdpWatt: number;
  readonly idleWatt: number;
  /** Draw while the matrix units, the memory or only the network are busy, watt. */
  readonly matrixWatt: number;
  readonly memoryWatt: number;
  readonly networkWatt: number;
  /** Power above idle grows with the clock to this exponent (voltage falls with the clock). */
  readonly clockExponent: number;
}

/** `switch` any pair at full rate; `mesh` direct links to each peer; `torus` links to neighbours; `nic`, `spine` between hosts. */
export type LevelKind = 'switch' | 'mesh' | 'torus' | 'nic' | 'spine';

/**
 * One level of the network. Traffic between two devices crosses the lowest level whose domain holds both.
 *
 *     level 1  |----------------- nic, size 16 -----------------|
 *     level 0  [0 1 2 3 4 5 6 7]  [8 9 10 11 12 13 14 15]   size 8
 */
export interface Level {
  readonly name: string;
  readonly kind: LevelKind;
  /** Devices in one domain of this level that take part in the job; domains are aligned at multiples of it. */
  readonly size: number;
  /** One direction, per device: a device's own links (all of them on a torus), or its share of the host's NICs or uplinks. */
  readonly bytesPerSecPerDevice: number;
  /** Of one step of a ring (Simple protocol on GPUs), seconds. */
  readonly latencySec: number;
  /** Cost of starting one collective whose widest level this is, seconds. */
  readonly overheadSec: number;
  /** Share of the bandwidth that ring collectives and point-to-point transfers reach. */
  readonly efficiency: number;
  /** Share of the bandwidth that all-to-all reaches. */
  readonly allToAllEfficiency: number;
  /** Demand over capacity of the uplinks: 2 halves `bytesPerSecPerDevice`. */
  readonly oversubscription: number;
  /** Measured share of the bandwidth of a ring among this many ranks (ranks ascending), where it depends on their number. */
  readonly efficiencyByRanks: {
    readonly ranks: readonly number[];
    readonly efficiency: readonly number[];
  } | null;
  /** Reduction inside the switch (NVLink SHARP): share of the bandwidth as bytes per second through a device, from this many ranks. */
  readonly inSwitchReduction: { readonly efficiency: number; readonly minRanks: number } | null;
  /** Peers to which a device of a mesh has direct links, which share its bandwidth equally; null elsewhere. */
  readonly meshPeers: number | null;
  /** Extents of the torus, innermost first, and which of them close into rings; null elsewhere. */
  readonly torus: { readonly shape: readonly number[]; readonly wraps: readonly boolean[] } | null;
}

/** What the collective model reads: levels innermost first (sizes ascending, each a multiple of the one before). */
export interface Topology {
  readonly levels: readonly Level[];
  readonly deviceCount: number;
}

/** Equal devices on equal hosts, contiguous in rank order. */
export interface DeviceGroup {
  readonly name: string;
  /** As it runs here: the rates of a slow group are already scaled by `speed`. */
  readonly device: Device;
  readonly hosts: number;
  /** Devices in use on each host. */
  readonly devicesPerHost: number;
  /** Ranks of the group: `firstRank` to `firstRank + deviceCount - 1`. The last host may be partly used. */
  readonly deviceCount: number;
  readonly firstRank: number;
  /** Rate of its slowest device over the nominal one; 1 when healthy. */
  readonly speed: number;
  /** Numbers of its hosts in the order of the cluster file. */
  readonly hostIds: readonly number[];
  /** Network as seen from inside the group. */
  readonly levels: readonly Level[];
  /** Power of one host besides its accelerators (processors, memory, switches inside, NICs), watt. */
  readonly hostWatt: number;
  /** Watts of fans per watt of all else in the host: 0 where `hostWatt` counts them, or where liquid cools. */
  readonly coolingShare: number;
  /** Power behind the host's power supplies over power at the mains; 1 where `hostWatt` counts the loss. */
  readonly powerSupplyEfficiency: number;
  /** Switches between hosts: a device's share of their ports, watt. */
  readonly networkWattPerDevice: number;
  /** The first switches of a fabric, there as soon as a job spans two hosts, watt. */
  readonly networkBaseWatt: number;
  readonly pricePerDeviceHourUsd: number;
}

/** Where a number came from. */
export interface SourcedFigure {
  /** Path in the file, such as `device h100-sxm: memoryGiB`. */
  readonly field: string;
  readonly value: number;
  readonly source: string;
}

export interface Cluster {
  readonly name: string;
  readonly description: string;
  /** Normalised: hosts that differ in device, usable devices or speed stand in different groups, fastest first. */
  readonly groups: readonly DeviceGroup[];
  readonly deviceCount: number;
  /** Network as seen by groups of ranks that span the cluster: the weakest of the groups' at every level. */
  readonly levels: readonly Level[];
  /** True when the preset grows with the number of devices asked for. */
  readonly scalable: boolean;
  /** Devices that run below nominal speed, by rank. */
  readonly slow: readonly { readonly rank: number; readonly factor: number }[];
  /** Devices left out because the file lists them as missing. */
  readonly missingCount: number;
  /** Power usage effectiveness of the site: facility power over equipment power. */
  readonly pue: number;
  readonly carbonKgPerKwh: number;
  /** What the loader decided on the user's behalf, one sentence each. */
  readonly notes: readonly string[];
  readonly sources: readonly SourcedFigure[];
}
