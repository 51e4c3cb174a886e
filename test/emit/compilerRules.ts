/** Rules of what compilers and schedulers read: Shardy text, JAX specs, annotated ONNX, rank maps. */
import type { NotExpressed } from '../../src/emit/types.js';
import { checkModel, encodeModel } from '../../src/model/index.js';
import type { ModelProto } from '../../src/model/types.js';
import type { Plan } from '../../src/plan/types.js';

/** A small grammar of what a module of declarations may hold; axes once per tensor, rank as many entries as dimensions. */
export function shardyFaults(text: string, plan: Plan): string[] {
  const faults: string[] = [];
  const code = text
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '');
  if (code[0] !== 'module @plan {' || code.at(-1) !== '}') faults.push('module');
  const mesh = /^sdy\.mesh @mesh = <\[(.*)\]>$/.exec(code[1]);
  const axes = new Map([...(mesh?.[1] ?? '').matchAll(/"(\w+)"=(\d+)/g)].map((m) => [m[1], Number(m[2])]));
  const size = [...axes.values()].reduce((a, b) => a * b, 1);
  if (mesh === null || size * plan.degrees.pp !== plan.cluster.devices)
    faults.push(`mesh of ${size} devices`);
  const body = code.slice(2, -1).join('\n');
  const functions = [
    ...body.matchAll(
      /func\.func private @stage_(\d+)\(\n?([^@]*(?:@mesh[^@]*)*?)\n?\) -> \(\n?([^@]*(?:@mesh[^@]*)*?)\n?\)(?=\n|$)/g,
    ),
  ];
  if (functions.length !== plan.stages.length)
    faults.push(`${functions.length} functions for ${plan.stages.length} stages`);
  const value =
    /^tensor<((?:\d+x)*)(f64|f32|f16|bf16|u?i\d+|f8E4M3FN|f8E5M2)>(?: \{sdy\.sharding = #sdy\.sharding<@mesh, \[(.*)\]>\})?(,?)$/;
  for (const [, stage, args, results] of functions)
    for (const list of [args, results]) {
      const lines = list.split('\n').filter((l) => l !== '');
      lines.forEach((line, i) => {
        const m = value.exec(line);
        if (m === null || (m[4] === ',') !== i < lines.length - 1)
          return faults.push(`stage ${stage}: ${line}`);
        if (m[3] === undefined) return;
        const dims = m[3] === '' ? [] : m[3].split(/, (?=\{)/);
        const rank = m[1].split('x').length - 1;
        if (dims.length !== rank) faults.push(`stage ${stage}: ${line}: rank`);
        const used = dims.flatMap((d) => [...d.matchAll(/"(\w+)"/g)].map((a) => a[1]));
        if (dims.some((d) => !/^\{(?:"\w+"(?:, "\w+")*)?\}$/.test(d))) faults.push(`stage ${stage}: ${line}`);
        if (new Set(used).size !== used.length || used.some((a) => !axes.has(a)))
          faults.push(`stage ${stage}: ${line}: axes`);
      });
    }
  return faults;
}

interface JaxDocument {
  mesh: { axis_names: string[]; shape: number[] };
  tensors: Record<
    string,
    {
      role: string;
      shape: number[];
      padded_shape?: number[];
      spec: (null | string | string[])[];
      state_spec?: (null | string | string[])[];
      stages?: number[];
    }
  >;
}

export function jaxFaults(text: string, plan: Plan): string[] {
  const faults: string[] = [];
  const { mesh, tensors } = JSON.parse(text) as JaxDocument;
  const size = new Map(mesh.axis_names.map((name, i) => [name, mesh.shape[i]]));
  if (mesh.shape.reduce((a, b) => a * b, 1) !== plan.cluster.devices)
    faults.push(`mesh ${mesh.shape.join('x')}`);
  for (const [name, { role, shape, padded_shape: padded, spec, state_spec: state }] of Object.entries(
    tensors,
  ))
    for (const entries of [spec, ...(state === undefined ? [] : [state])]) {
      const axes = entries.flat().filter((a): a is string => a !== null);
      if (entries.length !== shape.length) faults.push(`${name}: rank`);
      if (new Set(axes).size !== axes.length || axes.some((a) => !size.has(a)))
        faults.push(`${name}: axes ${axes.join()}`);
      if (role !== 'parameter') continue;
      entries.forEach((entry, d) => {
        const parts = [entry].flat().reduce((p, a) => p * (a === null ? 1 : size.get(a)!), 1);
        if ((padded ?? shape)[d] % parts !== 0) faults.push(`${name}: ${(padded ?? shape)[d]} over ${parts}`);
      });
    }
  return faults;
}

/** The annotations of a model against each other, the plan, and the model without them; what is uneven must be said. */
export function onnxFaults(
  annotated: ModelProto,
  original: ModelProto,
  plan: Plan,
  notes: readonly NotExpressed[],
): string[] {
  const faults = checkModel(annotated, 'annotated')
    .filter((d) => d.message.includes('device') || d.message.includes('shard'))
    .map((d) => d.message);
  const nodes = annotated.graph!.node;
  const [configuration] = annotated.configuration;
  const replica = plan.cluster.devices / plan.degrees.dp;
  if (![plan.cluster.devices, replica].includes(configuration.numDevices!)) faults.push('number of devices');
  const stages = new Set<number>();
  for (const node of nodes)
    for (const { pipelineStage, shardingSpec } of node.deviceConfigurations) {
      stages.add(pipelineStage!);
      for (const { device, indexToDeviceGroupMap, shardedDim, tensorName } of shardingSpec) {
        const groups = new Map(indexToDeviceGroupMap.map(({ key, value }) => [key, value]));
        const all = device.flatMap((d) => groups.get(d) ?? [d]);
        if (new Set(all).size !== all.length) faults.push(`${tensorName}: a device twice`);
        if (all.length * plan.degrees.pp !== configuration.numDevices)
          faults.push(`${tensorName}: ${all.length} devices of a stage`);
        const shards = shardedDim
          .flatMap((d) => d.simpleSharding)
          .reduce((p, s) => p * Number(s.numShards), 1);
        for (const { dimValue, numShards } of shardedDim.flatMap((d) => d.simpleSharding))
          if (
            dimValue !== undefined &&
            Number(dimValue) % Number(numShards) !== 0 &&
            !notes.some(({ asked }) =>
              asked.startsWith(`a dimension of ${dimValue} over ${numShards} shards`),
            )
          )
            faults.push(`${tensorName}: ${dimValue} over ${numShards}`);
        if (shards !== device.length) faults.push(`${tensorName}: ${shards} shards on ${device.length}`);
      }
    }
  for (const { virtualStage, ops } of plan.stages)
    if (ops.length > 0 && !stages.has(virtualStage)) faults.push(`no node of stage ${virtualStage}`);
  // Without the annotation it is the model, byte for byte.
  const bare = (model: ModelProto): Uint8Array =>
    encodeModel({
      ...model,
      irVersion: 11,
      configuration: [],
      graph: { ...model.graph!, node: model.graph!.node.map((n) => ({ ...n, deviceConfigurations: [] })) },
    });
  if (Buffer.compare(bare(annotated), bare(original)) !== 0) faults.push('something else changed');
  return faults;
}

/** Host of every rank as the scheduler deals them, from a file of the target. */
export function rankfileHosts(text: string): number[] {
  const hosts: number[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const m = /^rank (\d+)=\+n(\d+) slot=\d+$/.exec(line);
    if (m === null || Number(m[1]) !== hosts.length) throw new Error(`no rankfile line: ${line}`);
    hosts.push(Number(m[2]));
  }
  return hosts;
}

/** As srun would: tasks in blocks, by a list of hosts of nodes, or by one of ranks. */
export function slurmHosts(
  script: string,
  lists: { nodes?: string; ranks?: string },
  devices: number,
): number[] {
  const numbers = (text: string): number[] => text.trim().split('\n').map(Number);
  if (lists.ranks !== undefined) return numbers(lists.ranks);
  const perNode = Number(/--nproc-per-node (\d+)/.exec(script)![1]);
  const nodes = Number(/--nnodes (\d+)/.exec(script)![1]);
  if (nodes * perNode !== devices) throw new Error(`${nodes} x ${perNode} processes for ${devices} devices`);
  const hosts = lists.nodes === undefined ? null : numbers(lists.nodes);
  return Array.from({ length: devices }, (_, rank) => {
    const node = Math.floor(rank / perNode);
    return hosts === null ? node : hosts[node];
  });
}
