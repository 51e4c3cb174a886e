/**
 * Workload files: our own (workload.schema.json) and the dnn-partitioning collection's, told apart by their fields.
 * Everything is checked here, once; a fault names the operator.
 */
import { PartitionError } from '../../util/errors.js';
import type { Json } from './fields.js';
import { amountOf, countOf, idOf, isObject, listOf, objectOf, refuse } from './fields.js';
import type { DeviceKind, PlaceProblem } from './problem.js';
import { topologicalOrder } from './problem.js';

/** Which of the three formats a parsed file is in. */
export function workloadFormat(document: unknown, where: string): 'own' | 'dnn-partitioning' | 'piper' {
  if (isObject(document)) {
    if ('devices' in document && 'ops' in document) return 'own';
    if ('maxFPGAs' in document) return 'dnn-partitioning';
    if ('maxDevices' in document && 'mbsInBatch' in document) return 'piper';
    if ('ops' in document) throw refuse(where, 'devices', 'a list of device kinds', document['devices']);
  }
  throw new PartitionError(
    'input',
    'not a workload: expected ops, edges and devices, or the fields of dnn-partitioning (maxFPGAs) or Piper (mbsInBatch)',
    where,
    'workload.schema.json beside the program describes the format',
  );
}

/** @throws PartitionError input, naming the operator */
export function readPlaceProblem(document: unknown, where: string): PlaceProblem {
  return workloadFormat(document, where) === 'own'
    ? readOwn(document as Json, where)
    : readDnnPartitioning(document as Json, where);
}

/** Rows of any format, before ids become integers. */
interface Row {
  readonly id: string | number;
  readonly name: string;
  readonly times: readonly number[];
  readonly sizeBytes: number;
  readonly backward: boolean;
  readonly color: string | number | null;
}
interface Link {
  readonly source: string | number;
  readonly target: string | number;
  readonly time: number;
  /** Edges of one source and one tensor are paid once; by default those of equal time. */
  readonly tensor: string | number | null;
}

function readOwn(document: Json, where: string): PlaceProblem {
  const kinds = listOf(document, 'devices', where).map((value, i): DeviceKind => {
    const at = `${where}, devices[${i}]`;
    const kind = objectOf(value, at, 'device kind');
    return {
      name: String(idOf(kind, 'name', at)),
      count: countOf(kind, 'count', at, 0),
      memoryBytes: amountOf(kind, 'memoryBytes', at, Infinity),
      paysTransfers: kind['paysTransfers'] !== false,
    };
  });
  if (kinds.length === 0) throw refuse(where, 'devices', 'at least one kind', []);
  const rows = listOf(document, 'ops', where).map((value, i): Row => {
    const op = objectOf(value, `${where}, ops[${i}]`, 'op');
    const id = idOf(op, 'name', `${where}, ops[${i}]`);
    const at = `${where}, op ${id}`;
    const given = objectOf(op['time'], at, 'time');
    for (const name of Object.keys(given))
      if (!kinds.some((kind) => kind.name === name))
        throw refuse(at, 'time', `device kinds of the file (${kinds.map((k) => k.name).join(', ')})`, name);
    const times = kinds.map((kind) => {
      if (!(kind.name in given))
        throw new PartitionError(
          'input',
          `time: no device kind ${kind.name}`,
          at,
          'null says that it cannot run there',
        );
      return given[kind.name] === null ? Infinity : amountOf(given, kind.name, `${at}, time`);
    });
    const color = op['group'] === undefined || op['group'] === null ? null : idOf(op, 'group', at);
    const backward = op['backward'] === true;
    return { id, name: String(id), times, sizeBytes: amountOf(op, 'sizeBytes', at, 0), backward, color };
  });
  const links = listOf(document, 'edges', where).map((value, i): Link => {
    const at = `${where}, edges[${i}]`;
    const edge = objectOf(value, at, 'edge');
    return {
      source: idOf(edge, 'from', at),
      target: idOf(edge, 'to', at),
      time: amountOf(edge, 'transferTime', at),
      tensor: edge['tensor'] === undefined ? null : idOf(edge, 'tensor', at),
    };
  });
  return assemble(where, kinds, rows, links);
}

function readDnnPartitioning(document: Json, where: string): PlaceProblem {
  const kinds: DeviceKind[] = [
    {
      name: 'accelerator',
      count: countOf(document, 'maxFPGAs', where, 0),
      memoryBytes: amountOf(document, 'maxSizePerFPGA', where),
      paysTransfers: true,
    },
    {
      name: 'cpu',
      count: countOf(document, 'maxCPUs', where, 0),
      memoryBytes: Infinity,
      paysTransfers: false,
    },
  ];
  const rows = listOf(document, 'nodes', where).map((value, i): Row => {
    const node = objectOf(value, `${where}, nodes[${i}]`, 'node');
    const id = idOf(node, 'id', `${where}, nodes[${i}]`);
    const name = typeof node['name'] === 'string' ? node['name'] : String(id);
    const at = `${where}, node ${name}`;
    // Both times are mandatory in this format; supportedOnFpga decides whether the first counts.
    const times = [amountOf(node, 'fpgaLatency', at), amountOf(node, 'cpuLatency', at)];
    if (!truth(node['supportedOnFpga'], true)) times[0] = Infinity;
    const color = node['colorClass'] === undefined ? null : idOf(node, 'colorClass', at);
    const backward = truth(node['isBackwardNode'], false);
    return { id, name, times, sizeBytes: amountOf(node, 'size', at, 0), backward, color };
  });
  const links = listOf(document, 'edges', where).map((value, i): Link => {
    const at = `${where}, edges[${i}]`;
    const edge = objectOf(value, at, 'edge');
    const [source, target] = [idOf(edge, 'sourceId', at), idOf(edge, 'destId', at)];
    return { source, target, time: amountOf(edge, 'cost', at), tensor: null };
  });
  return assemble(where, kinds, rows, links);
}

/** The format writes true and 1 alike. */
function truth(value: unknown, missing: boolean): boolean {
  return value === undefined ? missing : value === true || value === 1;
}

function assemble(
  where: string,
  kinds: readonly DeviceKind[],
  rows: readonly Row[],
  links: readonly Link[],
): PlaceProblem {
  const n = rows.length;
  if (n === 0) throw refuse(where, 'ops', 'at least one', []);
  const index = new Map<string | number, number>();
  rows.forEach((row, v) => {
    if (index.has(row.id)) throw refuse(`${where}, op ${row.name}`, 'id', 'one that is new', row.id);
    index.set(row.id, v);
  });
  const time = new Float64Array(kinds.length * n);
  const color = new Int32Array(n);
  const colorIds = new Map<string | number, number>();
  let colors = 0;
  rows.forEach((row, v) => {
    for (let k = 0; k < kinds.length; k++) time[k * n + v] = row.times[k];
    const known = row.color === null ? undefined : colorIds.get(row.color);
    color[v] = known ?? colors++;
    if (row.color !== null) colorIds.set(row.color, color[v]);
  });
  const end = (id: string | number, i: number, field: string): number => {
    const v = index.get(id);
    if (v === undefined) throw refuse(`${where}, edges[${i}]`, field, 'an op of the file', id);
    return v;
  };
  const edgeSource = new Int32Array(links.length);
  const edgeTarget = new Int32Array(links.length);
  const edgeTensor = new Int32Array(links.length);
  const tensors = new Map<string, number>();
  const tensorTime: number[] = [];
  const tensorSource: number[] = [];
  links.forEach((link, e) => {
    edgeSource[e] = end(link.source, e, 'source');
    edgeTarget[e] = end(link.target, e, 'target');
    const key = `${edgeSource[e]} ${link.tensor === null ? `=${link.time}` : `.${link.tensor}`}`;
    let tensor = tensors.get(key);
    if (tensor === undefined) {
      tensor = tensorTime.length;
      tensors.set(key, tensor);
      tensorTime.push(link.time);
      tensorSource.push(edgeSource[e]);
    }
    tensorTime[tensor] = Math.max(tensorTime[tensor], link.time);
    edgeTensor[e] = tensor;
  });
  const names = rows.map((row) => row.name);
  refuseCycle(where, names, edgeSource, edgeTarget);
  return {
    names,
    ids: rows.map((row) => row.id),
    kinds,
    time,
    sizeBytes: Float64Array.from(rows, (row) => row.sizeBytes),
    backward: Uint8Array.from(rows, (row) => (row.backward ? 1 : 0)),
    color,
    colors,
    edgeSource,
    edgeTarget,
    edgeTensor,
    tensorTime: Float64Array.from(tensorTime),
    tensorSource: Int32Array.from(tensorSource),
  };
}

/** @throws PartitionError input, naming an operator on the cycle */
export function refuseCycle(
  where: string,
  names: readonly string[],
  source: Int32Array,
  target: Int32Array,
): void {
  const n = names.length;
  const order = topologicalOrder(n, source, target);
  if (order.length === n) return;
  // Everything that is left has a predecessor that is left: walking backwards must meet itself.
  const ordered = new Uint8Array(n);
  for (const v of order) ordered[v] = 1;
  const before = new Int32Array(n).fill(-1);
  for (let e = 0; e < source.length; e++) if (ordered[source[e]] === 0) before[target[e]] = source[e];
  const seen = new Uint8Array(n);
  let v = ordered.indexOf(0);
  while (seen[v] === 0) {
    seen[v] = 1;
    v = before[v];
  }
  const cycle = [names[v]];
  for (let u = before[v]; u !== v && cycle.length < 4; u = before[u]) cycle.unshift(names[u]);
  throw new PartitionError(
    'input',
    `a cycle through ${cycle.join(' -> ')}`,
    `${where}, op ${names[v]}`,
    'the graph must be acyclic',
  );
}
