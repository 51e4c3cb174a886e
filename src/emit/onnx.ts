/**
 * The model itself with the plan in it: ONNX multi-device annotations (IR 11), that is a device configuration, and per node
 * its pipeline stage and the shardings of what it makes and of the weights and inputs it reads. What a node reads from
 * another is as that one made it.
 */
import { devicesPerStage } from '../parallel/degrees.js';
import { isExternal, writeModel } from '../model/index.js';
import type {
  ModelProto,
  NodeDeviceConfigurationProto,
  NodeProto,
  ShardingSpecProto,
  ValueInfoProto,
} from '../model/types.js';
import type { TensorSharding } from '../plan/types.js';
import { Notes } from './notes.js';
import { SpecWriter } from './onnxSpecs.js';
import { noteFrequency } from './sizes.js';
import { nodeStages } from './tensorStages.js';
import type { EmitInput, EmitModel, EmitTarget, Emitted } from './types.js';

const CONFIGURATION = 'partition';
const FIRST_IR_WITH_DEVICES = 11;

/** Device numbers that are written at most; a shard of a tensor names all that hold it. */
const MOST_DEVICE_NUMBERS = 4_000_000;

export const onnx: EmitTarget = {
  name: 'onnx',
  toolVersion: 'ONNX 1.18 or later (IR 11 multi-device configuration)',
  about: 'the model with its device configuration, shardings and pipeline stages',
  needs: ['model'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const model = annotate(input, input.model!, notes);
    const name = input.plan.model.name.replace(/(\.onnx)?$/i, '.annotated.onnx');
    return {
      files: [{ name, content: (path) => writeModel(model, path) }],
      notExpressed: notes.all,
    };
  },
};

function annotate(input: EmitInput, model: EmitModel, notes: Notes): ModelProto {
  const { plan } = input;
  noteFrequency(plan, notes);
  noteRest(input, notes);
  const { proto } = model;
  const graph = proto.graph!;
  if (graph.initializer.some(isExternal))
    notes.differs('weights in external files', 'named as before: copy them beside the annotated model');
  const stages = protoStages(input, model);
  const shardings = new Map(plan.shardings.map((s) => [s.tensor, s]));
  const declared = declaredDims(graph.input, graph.output, graph.valueInfo);
  const scope = scopeOf(input, shardings, declared, graph.node.length, notes);
  const specs = new SpecWriter(plan, scope.devices, declared, scope.splitsBatch);
  const made = new Set(graph.node.flatMap((node) => node.output));
  const node = graph.node.map((n, i): NodeProto => {
    const stage = stages[i];
    if (stage < 0) return n;
    const shardingSpec: ShardingSpecProto[] = [];
    const seen = new Set<string>();
    const add = (name: string): void => {
      const sharding = scope.hasSpecs ? shardings.get(name) : undefined;
      if (sharding === undefined || seen.has(name)) return;
      seen.add(name);
      shardingSpec.push(specs.of(sharding, stage));
    };
    n.input.filter((name) => !made.has(name)).forEach(add);
    n.output.forEach(add);
    const entry: NodeDeviceConfigurationProto = {
      configurationId: CONFIGURATION,
      shardingSpec,
      pipelineStage: stage,
    };
    return { ...n, deviceConfigurations: [...n.deviceConfigurations, entry] };
  });
  for (const [size, shards] of specs.uneven)
    notes.differs(
      `a dimension of ${size} over ${shards} shards, padded to ${Math.ceil(size / shards) * shards}`,
      'the annotation names the uneven split; the backend chooses how to cut it',
    );
  const ir = Math.max(FIRST_IR_WITH_DEVICES, Number(proto.irVersion ?? 0));
  return {
    ...proto,
    irVersion: ir,
    configuration: [
      ...proto.configuration,
      { name: CONFIGURATION, numDevices: specs.deviceCount, device: [] },
    ],
    graph: { ...graph, node },
  };
}

function noteRest({ plan }: EmitInput, notes: Notes): void {
  const { pp, vpp } = plan.degrees;
  if (pp > 1)
    notes.differs(
      `schedule ${plan.schedule}${vpp > 1 ? ` with ${vpp} chunks a rank` : ''}`,
      `nodes name their virtual stage; stage v runs on pipeline rank v % ${pp}`,
    );
  if (plan.classes.some((c) => c.recompute !== 'none'))
    notes.differs('recomputation', 'the annotation does not say');
  if (plan.zeroStage > 0 && plan.degrees.dp > 1)
    notes.differs(`ZeRO stage ${plan.zeroStage}`, 'shardings are those of compute; states are the trainer’s');
  notes.differs(`microbatches of ${plan.microbatch} sequences`, 'the annotation does not say');
}

interface Scope {
  /** The devices of all replicas, or of the first. */
  readonly devices: 'all' | 'replica';
  readonly hasSpecs: boolean;
  readonly splitsBatch: boolean;
}

function scopeOf(
  { plan }: EmitInput,
  shardings: ReadonlyMap<string, TensorSharding>,
  declared: ReadonlyMap<string, readonly (string | number | null)[]>,
  nodes: number,
  notes: Notes,
): Scope {
  const { dp, ep, etp } = plan.degrees;
  const splitsBatch = [...shardings.values()].every(
    ({ role, tensor, dims }) =>
      role !== 'input' ||
      dims.every((axes, d) => !axes.includes('dp') || typeof declared.get(tensor)?.[d] !== 'number'),
  );
  const fits = (nodes + shardings.size) * devicesPerStage(plan.degrees) <= MOST_DEVICE_NUMBERS;
  if (dp === 1 || (splitsBatch && fits)) return { devices: 'all', hasSpecs: true, splitsBatch };
  if (ep * etp === 1) {
    notes.differs(
      `${dp} data-parallel replicas`,
      splitsBatch
        ? 'the configuration is that of the first replica: all would name millions of devices'
        : 'the model’s batch is fixed; the configuration is that of the first replica',
    );
    return { devices: 'replica', hasSpecs: true, splitsBatch: false };
  }
  if (fits) {
    notes.differs(
      `${dp} data-parallel replicas`,
      'the model’s batch is fixed: every replica holds all of it',
    );
    return { devices: 'all', hasSpecs: true, splitsBatch: false };
  }
  notes.differs(
    'shardings',
    'with experts over data-parallel ranks they would name millions of devices; nodes have stages only',
  );
  return { devices: 'all', hasSpecs: false, splitsBatch };
}

/** Virtual stage of every node as written: its own, or that of the first that reads what it makes; -1 for none. */
function protoStages({ plan }: EmitInput, model: EmitModel): Int32Array {
  const { graph, proto } = model;
  const ofNode = nodeStages(plan, model);
  const ofTensor = new Map<string, number>();
  for (let t = 0; t < graph.tensorCount; t++)
    if (graph.producer[t] >= 0 && ofNode[graph.producer[t]] >= 0)
      ofTensor.set(graph.tensorName[t], ofNode[graph.producer[t]]);
  const nodes = proto.graph!.node;
  const stages = new Int32Array(nodes.length).fill(-1);
  const readBy = new Map<string, number>();
  for (let i = nodes.length - 1; i >= 0; i--) {
    const { input, output } = nodes[i];
    for (const name of output) {
      const stage = ofTensor.get(name) ?? readBy.get(name);
      if (stage !== undefined && (stages[i] < 0 || stage < stages[i])) stages[i] = stage;
    }
    if (stages[i] < 0) continue;
    for (const name of input) readBy.set(name, Math.min(stages[i], readBy.get(name) ?? Infinity));
  }
  return stages;
}

/** Per dimension a number, the name of a symbol, or null. */
function declaredDims(
  ...lists: readonly (readonly ValueInfoProto[])[]
): Map<string, readonly (string | number | null)[]> {
  const found = new Map<string, readonly (string | number | null)[]>();
  for (const { name, type } of lists.flat()) {
    const dims = type?.tensorType?.shape?.dim;
    if (dims === undefined || name === undefined) continue;
    found.set(
      name,
      dims.map(({ dimValue, dimParam }) => (dimValue !== undefined ? Number(dimValue) : (dimParam ?? null))),
    );
  }
  return found;
}
