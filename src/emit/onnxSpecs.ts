/**
 * Sharding specs of ONNX. The shards of a tensor are counted with the last sharded dimension fastest; shard k lies on
 * `device[k]`, which is a device, or a negative number that stands for a group of devices that all hold it:
 *
 *     [8, 16] split over tp 2 along columns, dp 2 replicas      device [-1, -2]   -1: {0, 2}   -2: {1, 3}
 */
import { devicesPerStage } from '../parallel/degrees.js';
import type {
  IntIntListEntryProto,
  ShardedDimProto,
  ShardingSpecProto,
  SimpleShardedDimProto,
} from '../model/types.js';
import type { MeshAxisName, Plan, TensorSharding } from '../plan/types.js';
import { deviceOf } from './hosts.js';

type DeviceLists = Pick<ShardingSpecProto, 'device' | 'indexToDeviceGroupMap'>;

export class SpecWriter {
  /** Devices of the configuration. */
  readonly deviceCount: number;
  /** Sizes that their shards do not divide, with the number of shards; how they are cut is the backend's choice. */
  readonly uneven = new Map<number, number>();
  /** Lists are shared by all tensors that are split alike on a stage. */
  private readonly lists = new Map<string, DeviceLists>();
  /** Places of a stage that take part. */
  private readonly places: number;

  constructor(
    private readonly plan: Plan,
    private readonly devices: 'all' | 'replica',
    private readonly declared: ReadonlyMap<string, readonly (string | number | null)[]>,
    private readonly splitsBatch: boolean,
  ) {
    const { tp, cp, pp } = plan.degrees;
    this.places = devices === 'all' ? devicesPerStage(plan.degrees) : tp * cp;
    this.deviceCount = this.places * pp;
  }

  /** The spec of a tensor on a virtual stage. */
  of(sharding: TensorSharding, stage: number): ShardingSpecProto {
    const { tensor, shape } = sharding;
    const split = shape.flatMap((_, d) => {
      const axes = sharding.dims[d].filter((a) => this.isUsed(a));
      const copies = sharding.copies?.[d] ?? 1;
      const shards = this.shards(axes) / copies;
      return shards > 1 ? [{ d, axes, copies, shards }] : [];
    });
    const key = `${stage % this.plan.degrees.pp}|${split.map((s) => `${s.axes.join('.')}/${s.copies}`).join('|')}`;
    let lists = this.lists.get(key);
    if (lists === undefined) {
      lists = this.deviceLists(split, stage % this.plan.degrees.pp);
      this.lists.set(key, lists);
    }
    const shardedDim: ShardedDimProto[] = split.map(({ d, shards }) => ({
      axis: d,
      simpleSharding: this.simple(sharding, d, shards),
    }));
    for (const { dimValue, numShards } of shardedDim.flatMap((dim) => dim.simpleSharding))
      if (dimValue !== undefined && Number(dimValue) % Number(numShards) !== 0)
        this.uneven.set(Number(dimValue), Number(numShards));
    return { tensorName: tensor, ...lists, shardedDim };
  }

  private isUsed(axis: MeshAxisName): boolean {
    if (axis === 'dp') return this.devices === 'all' && this.splitsBatch;
    return this.plan.degrees[axis] > 1;
  }

  private shards(axes: readonly MeshAxisName[]): number {
    return axes.reduce((product, axis) => product * this.plan.degrees[axis], 1);
  }

  /** A fused dimension is `blocks` times the part that is split. */
  private simple(
    { tensor, role, shape, blocks }: TensorSharding,
    d: number,
    shards: number,
  ): SimpleShardedDimProto[] {
    const count = blocks?.[d] ?? 1;
    if (role === 'parameter')
      return count > 1
        ? [
            { dimValue: count, numShards: 1 },
            { dimValue: shape[d] / count, numShards: shards },
          ]
        : [{ dimValue: shape[d], numShards: shards }];
    const dim = this.declared.get(tensor)?.[d] ?? null;
    const size = typeof dim === 'number' ? { dimValue: dim } : dim === null ? {} : { dimParam: dim };
    return [{ ...size, numShards: shards }];
  }

  private deviceLists(
    split: readonly { axes: readonly MeshAxisName[]; copies: number; shards: number }[],
    pipelineRank: number,
  ): DeviceLists {
    const shards = split.reduce((product, s) => product * s.shards, 1);
    const groups = Array.from({ length: shards }, (): number[] => []);
    for (let place = 0; place < this.places; place++) {
      let shard = 0;
      for (const { axes, copies, shards: count } of split) {
        const index = axes.reduce(
          (at, axis) => at * this.plan.degrees[axis] + this.coordinate(axis, place),
          0,
        );
        shard = shard * count + Math.floor(index / copies);
      }
      groups[shard].push(this.device(place, pipelineRank));
    }
    if (groups.every((g) => g.length === 1))
      return { device: groups.map((g) => g[0]), indexToDeviceGroupMap: [] };
    const map: IntIntListEntryProto[] = groups.map((value, k) => ({ key: -1 - k, value }));
    return { device: groups.map((_, k) => -1 - k), indexToDeviceGroupMap: map };
  }

  private coordinate(axis: MeshAxisName, place: number): number {
    const { tp, cp, ep, etp } = this.plan.degrees;
    if (axis === 'tp') return place % tp;
    if (axis === 'cp') return Math.floor(place / tp) % cp;
    if (axis === 'etp') return place % etp;
    if (axis === 'ep') return Math.floor(place / etp) % ep;
    return Math.floor(place / (tp * cp));
  }

  /** Of all devices by rank; of one replica, stage by stage. */
  private device(place: number, pipelineRank: number): number {
    if (this.devices === 'replica') return pipelineRank * this.places + place;
    const { tp, cp } = this.plan.degrees;
    const axis = (name: string): number => this.plan.mesh.axes.find((a) => a.name === name)!.stride;
    const { dpShard } = this.plan.degrees;
    const dp = Math.floor(place / (tp * cp));
    const rank =
      (place % (tp * cp)) +
      (dp % dpShard) * axis('dpShard') +
      Math.floor(dp / dpShard) * axis('dpReplicate') +
      pipelineRank * axis('pp');
    return deviceOf(this.plan, rank);
  }
}
