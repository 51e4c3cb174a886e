/**
 * Multi-device annotations (IR 11): configurations, and per node the sharding of its tensors and its pipeline stage.
 * They are hints that a backend may ignore, and the reference checker looks at none of them: every fault is a warning.
 * Rules from the ONNX multi-device proposal (onnx/docs/proposals, 0007).
 */
import { quote } from '../quote.js';
import type {
  DeviceConfigurationProto,
  Int64,
  ModelProto,
  NodeDeviceConfigurationProto,
  NodeProto,
  ShardingSpecProto,
} from '../types.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

const FIRST_IR_WITH_DEVICES = 11;
const KIND = 'faulty device annotations';

export function checkDevices(model: ModelProto, regions: readonly Region[], report: Report): void {
  const configurations = new Map<string, DeviceConfigurationProto>();
  for (const configuration of model.configuration) checkConfiguration(configuration, configurations, report);
  let isAnnotated = model.configuration.length > 0;
  for (const region of regions) {
    const ranks = declaredRanks(region);
    for (let i = 0; i < region.nodes.length; i++) {
      const node = region.nodes[i];
      if (node.deviceConfigurations.length === 0) continue;
      isAnnotated = true;
      const where = nodeLabel(region, i);
      for (const entry of node.deviceConfigurations)
        checkEntry(entry, node, where, configurations, ranks(), report);
    }
  }
  if (isAnnotated && Number(model.irVersion ?? 0) < FIRST_IR_WITH_DEVICES) {
    report.warn(
      KIND,
      'model',
      `device annotations need IR version ${FIRST_IR_WITH_DEVICES}, found ${model.irVersion ?? 0}`,
    );
  }
}

function checkConfiguration(
  configuration: DeviceConfigurationProto,
  configurations: Map<string, DeviceConfigurationProto>,
  report: Report,
): void {
  const { name = '', numDevices = 0, device } = configuration;
  const where = `configuration ${quote(name)}`;
  if (name === '') report.warn(KIND, where, 'a configuration has no name');
  if (configurations.has(name)) report.warn(KIND, where, 'the configuration is defined twice');
  configurations.set(name, configuration);
  if (numDevices < 1) report.warn(KIND, where, `has ${numDevices} devices`);
  if (device.length > 0 && device.length !== numDevices) {
    report.warn(KIND, where, `names ${device.length} devices of ${numDevices}`);
  }
}

/** Ranks of the tensors that the graph declares, made on first use. */
function declaredRanks(region: Region): () => ReadonlyMap<string, number> {
  let ranks: Map<string, number> | null = null;
  return () => {
    if (ranks !== null) return ranks;
    ranks = new Map();
    if (region.graph === null) return ranks;
    const { input, output, valueInfo, initializer } = region.graph;
    for (const value of [...valueInfo, ...output, ...input]) {
      const shape = value.type?.tensorType?.shape;
      if (shape !== undefined) ranks.set(value.name ?? '', shape.dim.length);
    }
    for (const tensor of initializer) ranks.set(tensor.name ?? '', tensor.dims.length);
    return ranks;
  };
}

function checkEntry(
  entry: NodeDeviceConfigurationProto,
  node: NodeProto,
  where: string,
  configurations: ReadonlyMap<string, DeviceConfigurationProto>,
  ranks: ReadonlyMap<string, number>,
  report: Report,
): void {
  const configuration = configurations.get(entry.configurationId ?? '');
  if (configuration === undefined) {
    report.warn(
      KIND,
      where,
      `refers to configuration ${quote(entry.configurationId)}, which the model does not define`,
    );
  }
  if ((entry.pipelineStage ?? 0) < 0) report.warn(KIND, where, `has pipeline stage ${entry.pipelineStage}`);
  const tensors = new Set([...node.input, ...node.output]);
  for (const spec of entry.shardingSpec) {
    const name = spec.tensorName ?? '';
    const at = `${where}, sharding of ${quote(name)}`;
    if (!tensors.has(name)) report.warn(KIND, at, 'the node has no such input or output');
    checkDeviceList(spec, configuration?.numDevices ?? Infinity, at, report);
    checkAxes(spec, ranks.get(name) ?? null, at, report);
  }
}

/** Entries of `device` are device numbers, or keys of groups of device numbers. */
function checkDeviceList(spec: ShardingSpecProto, numDevices: number, at: string, report: Report): void {
  const groups = new Set<Int64>();
  const isDevice = (d: Int64): boolean => d >= 0 && d < numDevices;
  for (const { key = 0, value } of spec.indexToDeviceGroupMap) {
    if (groups.has(key)) report.warn(KIND, at, `the device group ${key} is given twice`);
    groups.add(key);
    const wrong = value.find((d) => !isDevice(d));
    if (wrong !== undefined)
      report.warn(KIND, at, `the device group ${key} holds device ${wrong} of ${numDevices}`);
  }
  const wrong = spec.device.find((d) => !groups.has(d) && !isDevice(d));
  if (wrong !== undefined)
    report.warn(KIND, at, `device ${wrong} is neither below ${numDevices} nor a group`);
}

function checkAxes(spec: ShardingSpecProto, rank: number | null, at: string, report: Report): void {
  const axes = new Set<number>();
  let shards = 1;
  for (const { axis = 0, simpleSharding } of spec.shardedDim) {
    const n = Number(axis);
    if (rank !== null && (n < -rank || n >= rank)) {
      report.warn(KIND, at, `shards axis ${axis} of a tensor of rank ${rank}`);
      continue;
    }
    const normal = rank !== null && n < 0 ? n + rank : n;
    if (axes.has(normal)) report.warn(KIND, at, `shards axis ${axis} twice`);
    axes.add(normal);
    for (const { numShards = 0 } of simpleSharding) {
      if (numShards < 1) report.warn(KIND, at, `splits axis ${axis} into ${numShards} shards`);
      shards *= Math.max(1, Number(numShards));
    }
  }
  if (spec.device.length > 0 && spec.device.length !== shards) {
    report.warn(KIND, at, `has ${shards} shards and ${spec.device.length} devices or groups for them`);
  }
}
