/** The contest's JSON into a `ShardInstance`, piece by piece: the text may be larger than memory. */
import { PartitionError } from '../util/errors.js';
import { DistinctLists, GrowingFloat64, GrowingLists } from './growing.js';
import type { ShardInstance } from './instance.js';
import { FORBIDDEN_COST } from './instance.js';
import type { JsonListener } from './jsonScanner.js';
import { JsonScanner } from './jsonScanner.js';

/** Lists of the format, by where they stand. */
const INTERVALS = 'problem.nodes.intervals';
const NODE_COSTS = 'problem.nodes.costs';
const USAGES = 'problem.nodes.usages';
const EDGE_NODES = 'problem.edges.nodes';
const EDGE_COSTS = 'problem.edges.costs';
const LIMIT = 'problem.usage_limit';
const NAME = 'problem.name';
const LISTS = [INTERVALS, NODE_COSTS, USAGES, EDGE_NODES, EDGE_COSTS];

/** Takes the text of an instance in pieces; `finish` checks the whole. */
export class ContestReader {
  private readonly listener: ContestListener;
  private readonly scanner: JsonScanner;

  /** @param path of the file, for messages */
  constructor(private readonly path: string) {
    this.listener = new ContestListener(path);
    this.scanner = new JsonScanner(this.listener);
  }

  /** @throws PartitionError input for what is no JSON, or no instance */
  push(bytes: Uint8Array): void {
    this.scanning(() => this.scanner.push(bytes));
  }

  /** @throws PartitionError input when lists do not fit each other; each fault names its index */
  finish(): ShardInstance {
    this.scanning(() => this.scanner.end());
    return this.listener.instance();
  }

  private scanning(scan: () => void): void {
    try {
      scan();
    } catch (e) {
      if (!(e instanceof SyntaxError)) throw e;
      throw new PartitionError('input', `not JSON: ${e.message}`, this.path);
    }
  }
}

class ContestListener implements JsonListener {
  private readonly lists = new Map(LISTS.map((name) => [name, new GrowingLists()]));
  private readonly tables = new DistinctLists();
  private readonly edgeTable = new GrowingFloat64();
  private readonly seen = new Set<string>();
  private limit = Infinity;
  private name = '';
  /** Keys of the open objects and arrays; '' where there is none. */
  private readonly path: string[] = [];
  private pendingKey = '';
  /** Where we are, if in one of the lists: 0 outside, 1 in the list of lists, 2 in a list. */
  private level = 0;
  private section = '';
  private values = new GrowingFloat64();

  constructor(private readonly file: string) {}

  number(value: number): void {
    if (this.level === 2) {
      if (!(value >= 0 && value < Infinity))
        throw this.fault(this.here(), `expected a finite number of 0 or more, found ${value}`);
      this.values.push(value);
    } else if (this.level === 1) throw this.fault(this.here(), `expected a list, found ${value}`);
    else this.scalar(value);
  }

  text(value: string): void {
    this.scalar(value);
  }

  literal(value: boolean | null): void {
    this.scalar(value);
  }

  key(name: string): void {
    this.pendingKey = name;
  }

  beginObject(): void {
    this.notInside('an object');
    this.path.push(this.pendingKey);
    this.pendingKey = '';
  }

  endObject(): void {
    this.path.pop();
  }

  beginArray(): void {
    if (this.level === 2) throw this.fault(this.here(), 'expected a number, found a list');
    if (this.level === 1) {
      this.level = 2;
      return;
    }
    const where = this.where();
    if (LISTS.includes(where)) {
      this.once(where);
      this.section = where;
      this.level = 1;
      this.values = where === EDGE_COSTS ? this.tables.filling : this.lists.get(where)!.values;
    } else this.path.push(this.pendingKey);
    this.pendingKey = '';
  }

  endArray(): void {
    if (this.level === 2) {
      this.level = 1;
      if (this.section === EDGE_COSTS) this.edgeTable.push(this.tables.endList());
      else this.lists.get(this.section)!.endList();
    } else if (this.level === 1) this.level = 0;
    else this.path.pop();
  }

  instance(): ShardInstance {
    for (const list of LISTS)
      if (!this.seen.has(list)) throw this.fault(list, 'expected a list, found nothing');
    const intervals = this.lists.get(INTERVALS)!;
    const costs = this.lists.get(NODE_COSTS)!;
    const usages = this.lists.get(USAGES)!;
    const nodeCount = intervals.count;
    this.expectCount(NODE_COSTS, costs.count, nodeCount, 'as many as intervals');
    this.expectCount(USAGES, usages.count, nodeCount, 'as many as intervals');
    const begin = new Float64Array(nodeCount);
    const end = new Float64Array(nodeCount);
    const strategyStart = new Int32Array(nodeCount + 1);
    for (let i = 0; i < nodeCount; i++) {
      this.expectCount(`${INTERVALS}[${i}]`, intervals.size(i), 2, 'begin and end');
      begin[i] = this.whole(intervals.values.at(2 * i), `${INTERVALS}[${i}][0]`);
      end[i] = this.whole(intervals.values.at(2 * i + 1), `${INTERVALS}[${i}][1]`);
      if (end[i] < begin[i])
        throw this.fault(`${INTERVALS}[${i}]`, `expected an end of ${begin[i]} or later, found ${end[i]}`);
      if (costs.size(i) === 0)
        throw this.fault(`${NODE_COSTS}[${i}]`, 'expected one strategy at least, found none');
      this.expectCount(`${USAGES}[${i}]`, usages.size(i), costs.size(i), 'one a strategy');
      strategyStart[i + 1] = strategyStart[i] + costs.size(i);
    }
    return {
      name: this.name,
      nodeCount,
      strategyStart,
      nodeCost: forbidden(costs.values.view().slice()),
      usage: usages.values.view().slice(),
      begin,
      end,
      ...this.edges(strategyStart),
      usageLimit: this.limit,
    };
  }

  private edges(
    strategyStart: Int32Array,
  ): Pick<ShardInstance, 'edgeCount' | 'edgeStart' | 'edgeNode' | 'edgeTable' | 'tableStart' | 'tableCost'> {
    const nodes = this.lists.get(EDGE_NODES)!;
    const edgeCount = nodes.count;
    const nodeCount = strategyStart.length - 1;
    this.expectCount(EDGE_COSTS, this.edgeTable.length, edgeCount, 'as many as edges.nodes');
    const edgeStart = new Int32Array(edgeCount + 1);
    const edgeNode = new Int32Array(nodes.values.length);
    for (let e = 0; e < edgeCount; e++) {
      if (nodes.size(e) === 0)
        throw this.fault(`${EDGE_NODES}[${e}]`, 'expected one node at least, found none');
      let cells = 1;
      for (let k = nodes.start(e); k < nodes.start(e) + nodes.size(e); k++) {
        const i = nodes.values.at(k);
        if (!(Number.isInteger(i) && i < nodeCount))
          throw this.fault(
            `${EDGE_NODES}[${e}][${k - nodes.start(e)}]`,
            `expected a node from 0 to ${nodeCount - 1}, found ${i}`,
          );
        edgeNode[k] = i;
        cells *= strategyStart[i + 1] - strategyStart[i];
      }
      edgeStart[e + 1] = edgeStart[e] + nodes.size(e);
      const size = this.tables.size(this.edgeTable.at(e));
      this.expectCount(`${EDGE_COSTS}[${e}]`, size, cells, 'the product of the strategy counts of its nodes');
    }
    const { start, value } = this.tables.csr();
    return {
      edgeCount,
      edgeStart,
      edgeNode,
      edgeTable: Int32Array.from(this.edgeTable.view()),
      tableStart: start,
      tableCost: forbidden(value),
    };
  }

  private scalar(value: number | string | boolean | null): void {
    if (this.level > 0) throw this.fault(this.here(), `expected numbers, found ${JSON.stringify(value)}`);
    const where = this.where();
    this.pendingKey = '';
    if (
      LISTS.includes(where) ||
      where === 'problem' ||
      where === 'problem.nodes' ||
      where === 'problem.edges'
    )
      throw this.fault(
        where,
        `expected ${LISTS.includes(where) ? 'a list' : 'an object'}, found ${JSON.stringify(value)}`,
      );
    if (where === NAME && typeof value === 'string') this.name = value;
    if (where !== LIMIT || value === null) return;
    this.once(where);
    if (!(typeof value === 'number' && value >= 0 && value < Infinity))
      throw this.fault(LIMIT, `expected a finite number of 0 or more, found ${JSON.stringify(value)}`);
    this.limit = value;
  }

  private notInside(found: string): void {
    if (this.level > 0) throw this.fault(this.here(), `expected numbers, found ${found}`);
    const where = this.where();
    if (LISTS.includes(where)) throw this.fault(where, `expected a list, found ${found}`);
  }

  private once(where: string): void {
    if (this.seen.has(where)) throw this.fault(where, 'expected it once, found it twice');
    this.seen.add(where);
  }

  private where(): string {
    return [...this.path.slice(1), this.pendingKey].filter((key) => key !== '').join('.');
  }

  /** Index of the list, and of the number in it, that is being read. */
  private here(): string {
    const isTable = this.section === EDGE_COSTS;
    const lists = this.lists.get(this.section)!;
    const list = isTable ? this.edgeTable.length : lists.count;
    if (this.level < 2) return `${this.section}[${list}]`;
    const from = isTable ? this.tables.filledFrom : lists.start(list);
    return `${this.section}[${list}][${this.values.length - from}]`;
  }

  private whole(value: number, where: string): number {
    if (!Number.isSafeInteger(value)) throw this.fault(where, `expected a whole number, found ${value}`);
    return value;
  }

  private expectCount(where: string, found: number, expected: number, what: string): void {
    if (found !== expected) throw this.fault(where, `expected ${expected} (${what}), found ${found}`);
  }

  private fault(where: string, message: string): PartitionError {
    return new PartitionError('input', `${where}: ${message}`, this.file);
  }
}

/** Prices from the contest's forbidden cost on become Infinity, in place. */
function forbidden(costs: Float64Array): Float64Array {
  for (let i = 0; i < costs.length; i++) if (costs[i] >= FORBIDDEN_COST) costs[i] = Infinity;
  return costs;
}
