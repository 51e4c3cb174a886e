import { expect } from 'chai';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createProblem } from '../../src/api/index.js';
import type { ProblemOptions } from '../../src/api/index.js';
import type { Candidate } from '../../src/plan/types.js';
import { devicesPerStage } from '../../src/plan/candidate.js';
import { chakraTraces } from '../../src/simulate/chakra.js';
import type { ChakraRanks } from '../../src/simulate/chakra.js';
import { createEngine } from '../../src/simulate/engine.js';
import { StageLoad } from '../../src/simulate/load.js';
import { globalRank, groupPlaces } from '../../src/simulate/ranks.js';
import { Random } from '../../src/util/random.js';
import { PlanSpace } from '../../src/search/index.js';
import { Cutter } from '../../src/search/cutRules.js';
import { randomPlan } from '../../src/search/random.js';
import { graphs } from '../cli/support.js';
import { syntheticCandidate } from '../support/synthetic.js';

/** From mlcommons/chakra, schema/protobuf/et_def.proto, fields that matter here. */
const SCHEMA = `
syntax = "proto3";
enum NodeType { INVALID_NODE = 0; METADATA_NODE = 1; MEM_LOAD_NODE = 2; MEM_STORE_NODE = 3; COMP_NODE = 4;
  COMM_SEND_NODE = 5; COMM_RECV_NODE = 6; COMM_COLL_NODE = 7; }
message AttributeProto { string name = 1; string doc_string = 2;
  oneof value { double double_val = 3; float float_val = 5; int32 int32_val = 7; int64 int64_val = 9;
    uint32 uint32_val = 11; uint64 uint64_val = 13; bool bool_val = 27; string string_val = 29; } }
message GlobalMetadata { string version = 1; repeated AttributeProto attr = 2; }
message Node { uint64 id = 1; string name = 2; NodeType type = 3; repeated uint64 ctrl_deps = 4;
  repeated uint64 data_deps = 5; uint64 start_time_micros = 6; uint64 duration_micros = 7;
  repeated AttributeProto attr = 10; }
`;

interface Attribute {
  name: string;
  value: string;
  int32Val?: number;
  int64Val?: number;
  uint64Val?: number;
  boolVal?: boolean;
  stringVal?: string;
}

interface DecodedNode {
  id: number;
  name: string;
  type: string;
  dataDeps: number[];
  durationMicros: number;
  attr: Attribute[];
}

interface DecodedTrace {
  version: string;
  nodes: DecodedNode[];
}

interface Codec {
  decodeDelimited(reader: unknown): unknown;
  toObject(message: unknown, options: object): unknown;
}

/** An independent reader of the format; it comes with the ONNX reader that other tests use. */
const require = createRequire(import.meta.url);
const protobuf = createRequire(require.resolve('onnx-proto'))('protobufjs') as {
  parse(text: string): { root: { lookupType(name: string): Codec } };
  Reader: { create(bytes: Uint8Array): { pos: number; len: number } };
};
const { root } = protobuf.parse(SCHEMA);
const OPTIONS = { longs: Number, enums: String, oneofs: true, arrays: true, defaults: true };

function decode(bytes: Uint8Array): DecodedTrace {
  const reader = protobuf.Reader.create(bytes);
  const read = (type: string): unknown => {
    const codec = root.lookupType(type);
    return codec.toObject(codec.decodeDelimited(reader), OPTIONS);
  };
  const { version } = read('GlobalMetadata') as { version: string };
  const nodes: DecodedNode[] = [];
  while (reader.pos < reader.len) nodes.push(read('Node') as DecodedNode);
  return { version, nodes };
}

/** Value of an attribute, as the feeders of Chakra and ASTRA-sim read it: from one member of the oneof only. */
function attribute(node: DecodedNode, name: string, member: 'stringVal'): string;
function attribute(node: DecodedNode, name: string, member: 'boolVal'): boolean;
function attribute(node: DecodedNode, name: string, member: 'int32Val' | 'int64Val' | 'uint64Val'): number;
function attribute(node: DecodedNode, name: string, member: keyof Attribute): unknown {
  const found = node.attr.find((a) => a.name === name);
  expect(found, `${node.name}: ${name}`).to.not.equal(undefined);
  expect(found!.value).to.equal(member);
  return found![member];
}

interface Written {
  traces: Map<number, DecodedTrace>;
  groups: Record<string, number[]>;
}

type Fixture = ReturnType<typeof createProblem>;

function write(fixture: Fixture, c: Candidate, ranks: ChakraRanks = 'all'): Written {
  const traces = new Map<number, DecodedTrace>();
  let groups: Record<string, number[]> = {};
  const { tp, cp, ep, etp, microbatch, contextExchange } = c;
  const traffic = (deviceGroup: number): ReturnType<Fixture['book']['collectives']> =>
    fixture.book.collectives({ tp, cp, ep, etp, microbatch, contextExchange, deviceGroup });
  for (const { suffix, bytes } of chakraTraces(fixture.problem, c, traffic, ranks)) {
    const rank = /^\.(\d+)\.et$/.exec(suffix);
    if (rank !== null) traces.set(Number(rank[1]), decode(bytes));
    else groups = JSON.parse(Buffer.from(bytes).toString()) as Record<string, number[]>;
  }
  return { traces, groups };
}

/**
 * Runs all ranks together: a node starts when its dependencies are done, a collective is done when every rank of its
 * group has come to it, a receive when it was sent. What never ends is left over.
 */
function leftOver({ traces, groups }: Written): string[] {
  interface Running {
    readonly rank: number;
    readonly nodes: readonly DecodedNode[];
    readonly waitsFor: number[];
    readonly followers: number[][];
    left: number;
  }
  const ready: [Running, DecodedNode][] = [];
  const running = [...traces].map(([rank, { nodes }]): Running => {
    const followers: number[][] = nodes.map(() => []);
    for (const n of nodes) for (const d of n.dataDeps) followers[d].push(n.id);
    return { rank, nodes, waitsFor: nodes.map((n) => n.dataDeps.length), followers, left: nodes.length };
  });
  for (const r of running) for (const n of r.nodes) if (n.dataDeps.length === 0) ready.push([r, n]);
  const finish = (r: Running, node: DecodedNode): void => {
    r.left--;
    for (const f of r.followers[node.id]) if (--r.waitsFor[f] === 0) ready.push([r, r.nodes[f]]);
  };
  const sent = new Set<string>();
  const awaited = new Map<string, [Running, DecodedNode]>();
  const calls = new Map<string, number>();
  const met = new Map<string, [Running, DecodedNode][]>();
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    const [r, node] = next;
    if (node.type === 'COMM_COLL_NODE') {
      const group = attribute(node, 'pg_name', 'stringVal');
      // The n-th call of a rank on a group meets the n-th call of the others, of the same kind and size.
      const n = calls.get(`${r.rank}/${group}`) ?? 0;
      calls.set(`${r.rank}/${group}`, n + 1);
      const call = `${group}/${n}: ${attribute(node, 'comm_type', 'int64Val')} of ${attribute(node, 'comm_size', 'int64Val')}`;
      const members = met.get(call) ?? [];
      members.push(next);
      met.set(call, members);
      if (members.length === groups[group].length) for (const [rank, member] of members) finish(rank, member);
    } else if (node.type === 'COMM_RECV_NODE' && !sent.has(message(node))) awaited.set(message(node), next);
    else {
      if (node.type === 'COMM_SEND_NODE') {
        sent.add(message(node));
        const receiver = awaited.get(message(node));
        if (receiver !== undefined) finish(...receiver);
      }
      finish(r, node);
    }
  }
  return running.filter((r) => r.left > 0).map((r) => `rank ${r.rank}: ${r.left} nodes`);
}

function message(node: DecodedNode): string {
  const [src, dst, tag] = ['comm_src', 'comm_dst', 'comm_tag'].map((a) => attribute(node, a, 'int32Val'));
  return `${src} to ${dst}, ${tag}: ${attribute(node, 'comm_size', 'int64Val')}`;
}

const micros = (nodes: readonly DecodedNode[], type: string): number =>
  nodes.reduce((sum, n) => (n.type === type ? sum + n.durationMicros : sum), 0);

describe('Chakra execution traces', function () {
  this.timeout(60_000);
  const open = (model: string, options: Partial<ProblemOptions> = {}): Fixture =>
    createProblem(join(graphs, model), { devices: 16, seq: 128, batch: 16, ...options });
  let gpt: Fixture;
  before(() => (gpt = open('gpt2-small.onnx')));

  it('are graphs whose kernels take the time that the engine computes', () => {
    const c = syntheticCandidate(gpt.problem, { tp: 2, pp: 4, zeroStage: 1 });
    const { traces } = write(gpt, c, 'distinct');
    expect([...traces.keys()]).to.deep.equal([0, 4, 8, 12]);
    const { timeline } = createEngine(gpt.problem).run(c, true);
    [...traces.values()].forEach(({ version, nodes }, r) => {
      expect(version).to.equal('0.0.4');
      let computeSec = 0;
      for (let i = 0; i < timeline!.count; i++)
        if (timeline!.rank[i] === r && timeline!.stream[i] === 0)
          computeSec += timeline!.endSec[i] - timeline!.startSec[i];
      expect(micros(nodes, 'COMP_NODE')).to.be.closeTo(computeSec * 1e6, 1);
      nodes.forEach((node, id) => {
        expect(node.id).to.equal(id);
        expect(new Set(node.dataDeps).size).to.equal(node.dataDeps.length);
        // Made in order: dependencies point back, so there is no cycle.
        for (const d of node.dataDeps) expect(d).to.be.below(id);
        expect(attribute(node, 'is_cpu_op', 'boolVal')).to.equal(false);
        if (node.type !== 'COMP_NODE') return;
        expect(attribute(node, 'num_ops', 'int64Val')).to.be.at.least(0);
        expect(attribute(node, 'tensor_size', 'uint64Val')).to.be.at.least(0);
      });
    });
  });

  it('send what others receive, once, and gather and reduce all parameters', () => {
    const c = syntheticCandidate(gpt.problem, { tp: 2, pp: 2, dpReplicate: 2, zeroStage: 1 });
    const { traces, groups } = write(gpt, c);
    expect(traces.size).to.equal(16);
    const all = [...traces.values()].flatMap(({ nodes }) => nodes);
    const messages = (type: string): string[] =>
      all
        .filter((n) => n.type === type)
        .map(message)
        .sort();
    expect(messages('COMM_SEND_NODE')).to.deep.equal(messages('COMM_RECV_NODE'));
    expect(new Set(messages('COMM_SEND_NODE')).size).to.equal(messages('COMM_SEND_NODE').length);
    const microbatches = 16 / 4;
    expect(messages('COMM_SEND_NODE')).to.have.length(2 * microbatches * 8);
    const load = new StageLoad(gpt.problem);
    load.fill(c);
    for (let r = 0; r < 2; r++) {
      const { nodes } = traces.get(globalRank(c, r, 0))!;
      const bytes = (kind: number, size: number): number =>
        nodes
          .filter((n) => n.type === 'COMM_COLL_NODE' && attribute(n, 'comm_type', 'int64Val') === kind)
          .filter((n) => groups[attribute(n, 'pg_name', 'stringVal')].length === size)
          .filter((n) => /parameters|gradients/.test(n.name) && !/tied/.test(n.name))
          .reduce((sum, n) => sum + attribute(n, 'comm_size', 'int64Val'), 0);
      const held = load.rankDenseParameters[r];
      // Two shards: a gather gives half of the parameters, a scatter takes all gradients.
      expect(bytes(2, 2)).to.be.closeTo((held * load.state.param) / 2, 100);
      expect(bytes(7, 2)).to.be.closeTo(held * load.state.grad, 100);
      expect(bytes(0, 2)).to.be.closeTo((held * load.state.grad) / 2, 100);
    }
  });

  const kinds: [string, Partial<Candidate>][] = [
    ['data parallelism alone', { zeroStage: 0 }],
    ['ZeRO-3 in replicas', { dpReplicate: 4, zeroStage: 3 }],
    ['interleaved stages', { pp: 4, vpp: 3, tp: 2 }],
    ['ZB-H1', { pp: 4, tp: 2, schedule: 'zb-h1' }],
    [
      'GPipe with stages close together',
      { pp: 2, schedule: 'gpipe', axisOrder: 'tp-cp-pp-dp', zeroStage: 2 },
    ],
    ['a ring of context parallelism', { cp: 4, pp: 2, tp: 2 }],
    ['all-to-all context parallelism', { cp: 2, pp: 2, tp: 2, contextExchange: 'all-to-all' }],
  ];
  for (const [name, given] of kinds)
    it(`run to the end, all ranks together: ${name}`, () => {
      const c = { ...syntheticCandidate(gpt.problem, given), ...given };
      expect(leftOver(write(gpt, c))).to.deep.equal([]);
    });

  it('run to the end for random plans, experts, tied and unequal stages included', () => {
    for (const [model, options] of [
      ['mixtral-tiny.ts.onnx', { devices: 8, seq: 32 }],
      ['t5-tiny.ts.onnx', { devices: 8, seq: 32 }],
    ] as const) {
      const fixture = open(model, options);
      const space = new PlanSpace(fixture.problem);
      const cutter = new Cutter(fixture.problem);
      const random = new Random(5);
      for (let i = 0; i < 12; i++) {
        const c = randomPlan(space, cutter, random);
        expect(leftOver(write(fixture, c)), JSON.stringify(c)).to.deep.equal([]);
      }
    }
  });

  it('of one device of a pipeline rank are those of all its devices, by its own groups', () => {
    const c = syntheticCandidate(gpt.problem, { tp: 2, pp: 2, zeroStage: 1 });
    const distinct = write(gpt, c, 'distinct');
    const all = write(gpt, c, 'all');
    for (const [rank, trace] of distinct.traces) {
      const plain = ({ nodes }: DecodedTrace, groups: Record<string, number[]>): unknown =>
        nodes.map((n) => ({
          ...n,
          attr: n.attr.map((a) =>
            a.name === 'pg_name' ? { ...a, stringVal: groups[a.stringVal!].join() } : a,
          ),
        }));
      expect(plain(trace, distinct.groups)).to.deep.equal(plain(all.traces.get(rank)!, all.groups));
    }
    for (const [rank, { nodes }] of all.traces)
      for (const n of nodes)
        if (n.type === 'COMM_COLL_NODE')
          expect(all.groups[attribute(n, 'pg_name', 'stringVal')]).to.include(rank);
  });

  it('tell stages whole where segments would be too many, in the same time', () => {
    const long = open('gpt2-small.onnx', { devices: 2, batch: 4096 });
    const c = syntheticCandidate(long.problem, { pp: 2 });
    const { traces } = write(long, c, 'distinct');
    const [{ nodes }] = traces.values();
    expect(nodes.some((n) => /segments \d+-\d+/.test(n.name))).to.equal(true);
    expect(nodes.length).to.be.below(6 * 4096);
    const { timeline } = createEngine(long.problem).run(c, true);
    let computeSec = 0;
    for (let i = 0; i < timeline!.count; i++)
      if (timeline!.rank[i] === 0 && timeline!.stream[i] === 0)
        computeSec += timeline!.endSec[i] - timeline!.startSec[i];
    expect(micros(nodes, 'COMP_NODE')).to.be.closeTo(computeSec * 1e6, 1);
  });

  it('are refused for more devices than files are written for', () => {
    const large = open('gpt2-small.onnx', { devices: 2048, batch: 2048 });
    const c = syntheticCandidate(large.problem, { pp: 2 });
    expect(() => write(large, c, 'all')).to.throw(/at most 1024 devices for a trace of each, found 2048/);
  });
});

describe('communication groups', () => {
  it('part the devices of a stage, whatever the kind', () => {
    const gptPlan = {
      tp: 2,
      cp: 2,
      dpShard: 3,
      dpReplicate: 4,
      pp: 5,
      vpp: 1,
      ep: 4,
      etp: 2,
      axisOrder: 'tp-cp-pp-dp',
    };
    const c = gptPlan as unknown as Candidate;
    const sizes = { tp: 2, cp: 2, ep: 4, shard: 6, replicate: 4, data: 24, expertData: 6 } as const;
    for (const [kind, size] of Object.entries(sizes) as [keyof typeof sizes, number][]) {
      const seen = new Map<string, number>();
      for (let place = 0; place < devicesPerStage(c); place++) {
        const group = groupPlaces(c, kind, place);
        expect(group).to.have.length(size).and.to.include(place);
        seen.set(group.join(), (seen.get(group.join()) ?? 0) + 1);
      }
      expect(
        [...seen.values()].every((n) => n === size),
        kind,
      ).to.equal(true);
    }
    const ranks = new Set<number>();
    for (let r = 0; r < 5; r++) for (let p = 0; p < 48; p++) ranks.add(globalRank(c, r, p));
    expect(ranks.size).to.equal(240);
    expect(Math.max(...ranks)).to.equal(239);
    // Blocks of tp * cp = 4 neighbours are dealt to the stages in turn.
    expect([0, 3, 4].map((p) => globalRank(c, 1, p))).to.deep.equal([4, 7, 24]);
  });
});
