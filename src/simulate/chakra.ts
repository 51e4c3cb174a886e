/**
 * A simulated step as MLCommons Chakra execution traces, which ASTRA-sim and other simulators run: one file per device,
 * `<name>.<rank>.et`, a stream of length-delimited protobuf messages (first `GlobalMetadata`, then a `Node` each), and
 * `<name>.comm-groups.json` with the ranks of every communication group by its number (`pg_name`).
 *
 * Schema: mlcommons/chakra, schema/protobuf/et_def.proto (commit 21585d8). `comm_size` is the buffer that the calling rank
 * gives (ASTRA-sim's `data_size`): a shard of what an all-gather gathers, all of what the other collectives work on.
 */
import { devicesPerStage } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import { PartitionError } from '../util/errors.js';
import { WireWriter } from '../util/wireWriter.js';
import { createEngine } from './engine.js';
import { StageLoad } from './load.js';
import { globalRank, groupPlaces } from './ranks.js';
import type { GroupKind } from './ranks.js';
import { stageProgram } from './stageProgram.js';
import type { CollectiveName, ProgramNode } from './stageProgram.js';
import type { Traffic } from './stageWork.js';
import type { PlanProblem } from './types.js';

/** `distinct`: one device of every pipeline rank, as the others of its stage do the same; `all`: every device. */
export type ChakraRanks = 'distinct' | 'all';
export const CHAKRA_RANKS: readonly ChakraRanks[] = ['distinct', 'all'];

export interface ChakraFile {
  /** Behind the common name: `.0.et`. */
  readonly suffix: string;
  readonly bytes: Uint8Array;
}

/** Traces of every device are written up to here; beyond, those that differ tell all. */
export const MOST_CHAKRA_RANKS = 1024;

const SCHEMA_VERSION = '0.0.4';

// Fields and values of et_def.proto.
const METADATA = { version: 1 };
const NODE = { id: 1, name: 2, type: 3, dataDeps: 5, durationMicros: 7, attr: 10 };
const ATTRIBUTE = { name: 1, int32: 7, int64: 9, uint64: 13, bool: 27, string: 29 };
const COMP_NODE = 4;
const COMM_SEND_NODE = 5;
const COMM_RECV_NODE = 6;
const COMM_COLL_NODE = 7;
const COLLECTIVE: Readonly<Record<CollectiveName, number>> = {
  allReduce: 0,
  allGather: 2,
  allToAll: 6,
  reduceScatter: 7,
};

/**
 * The traces of a candidate, one file at a time; the groups come last.
 *
 * @param traffic collectives per layer class on a device group, under the candidate's sharding
 * @throws PartitionError usage when more ranks are asked for than are written
 */
export function* chakraTraces(
  problem: PlanProblem,
  c: Candidate,
  traffic: (deviceGroup: number) => Traffic,
  ranks: ChakraRanks = 'distinct',
): Generator<ChakraFile> {
  const perStage = devicesPerStage(c);
  if (ranks === 'all' && perStage * c.pp > MOST_CHAKRA_RANKS)
    throw new PartitionError(
      'usage',
      `expected at most ${MOST_CHAKRA_RANKS} devices for a trace of each, found ${perStage * c.pp}`,
      '--chakra-ranks',
      'leave it out for one device of every pipeline rank',
    );
  const run = createEngine(problem).run(c, true);
  const load = new StageLoad(problem);
  load.fill(c);
  const groups = new GroupNumbers(c);
  for (let r = 0; r < c.pp; r++) {
    const program = stageProgram(problem, c, run, traffic(load.layout.deviceGroup[r]), r);
    for (let place = 0; place < (ranks === 'all' ? perStage : 1); place++)
      yield { suffix: `.${globalRank(c, r, place)}.et`, bytes: encode(program, c, r, place, groups) };
  }
  yield { suffix: '.comm-groups.json', bytes: Buffer.from(groups.text()) };
}

/** Communication groups by number, in the order they were first met. */
class GroupNumbers {
  private readonly known = new Map<string, string>();

  constructor(private readonly c: Candidate) {}

  /** Number of the group that a device belongs to, as text. */
  of(group: GroupKind | readonly number[], pipelineRank: number, place: number): string {
    const ranks =
      typeof group === 'string'
        ? groupPlaces(this.c, group, place).map((p) => globalRank(this.c, pipelineRank, p))
        : group.map((r) => globalRank(this.c, r, place));
    // Groups of the same ranks but another purpose are other communicators: their calls need not come in one order.
    const key = `${typeof group === 'string' ? group : 'tied'} ${ranks.sort((a, b) => a - b).join(',')}`;
    let number = this.known.get(key);
    if (number === undefined) {
      number = String(this.known.size + 1);
      this.known.set(key, number);
    }
    return number;
  }

  text(): string {
    const lines = [...this.known].map(([key, number]) => `"${number}":[${key.split(' ')[1]}]`);
    return `{${lines.join(',\n ')}}\n`;
  }
}

function encode(
  program: readonly ProgramNode[],
  c: Candidate,
  pipelineRank: number,
  place: number,
  groups: GroupNumbers,
): Uint8Array {
  const file = new WireWriter();
  const writer = new NodeWriter();
  file.delimited(new WireWriter().string(METADATA.version, SCHEMA_VERSION).bytes);
  // Whole microseconds, rounded so that the kernels of a rank add up to their seconds.
  let kernelSec = 0;
  let kernelMicros = 0;
  const numbers = new Map<GroupKind | readonly number[], string>();
  program.forEach((node, id) => {
    let micros = Math.round(node.timeSec * 1e6);
    if (node.type === 'kernel') {
      kernelSec += node.timeSec;
      micros = Math.max(0, Math.round(kernelSec * 1e6) - kernelMicros);
      kernelMicros += micros;
    }
    writer.begin(id, node, micros);
    if (node.type === 'kernel') {
      writer.attribute('num_ops', ATTRIBUTE.int64, Math.round(node.flop));
      writer.attribute('tensor_size', ATTRIBUTE.uint64, Math.round(node.bytes));
    } else if (node.type === 'collective') {
      let number = numbers.get(node.group);
      if (number === undefined) {
        number = groups.of(node.group, pipelineRank, place);
        numbers.set(node.group, number);
      }
      writer.attribute('comm_type', ATTRIBUTE.int64, COLLECTIVE[node.kind]);
      writer.attribute('comm_size', ATTRIBUTE.int64, Math.round(node.bytes));
      writer.attribute('pg_name', ATTRIBUTE.string, number);
    } else {
      const own = globalRank(c, pipelineRank, place);
      const peer = globalRank(c, node.peer, place);
      const sends = node.type === 'send';
      writer.attribute('comm_src', ATTRIBUTE.int32, sends ? own : peer);
      writer.attribute('comm_dst', ATTRIBUTE.int32, sends ? peer : own);
      writer.attribute('comm_tag', ATTRIBUTE.int32, node.tag);
      writer.attribute('comm_size', ATTRIBUTE.int64, Math.round(node.bytes));
    }
    file.delimited(writer.bytes);
  });
  return file.bytes;
}

const NODE_TYPE: Readonly<Record<ProgramNode['type'], number>> = {
  kernel: COMP_NODE,
  send: COMM_SEND_NODE,
  receive: COMM_RECV_NODE,
  collective: COMM_COLL_NODE,
};

/** One `Node` at a time. */
class NodeWriter {
  private readonly node = new WireWriter();
  private readonly inner = new WireWriter();

  get bytes(): Uint8Array {
    return this.node.bytes;
  }

  begin(id: number, { name, type, after }: ProgramNode, micros: number): void {
    this.node
      .clear()
      .uint(NODE.id, id)
      .string(NODE.name, name)
      .uint(NODE.type, NODE_TYPE[type])
      .uints(NODE.dataDeps, after)
      .uint(NODE.durationMicros, micros);
    this.attribute('is_cpu_op', ATTRIBUTE.bool, 0);
  }

  attribute(name: string, field: number, value: number | string): void {
    this.inner.clear().string(ATTRIBUTE.name, name);
    if (typeof value === 'string') this.inner.string(field, value);
    else this.inner.uint(field, value);
    this.node.message(NODE.attr, this.inner.bytes);
  }
}
