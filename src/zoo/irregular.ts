/**
 * Graphs without repetition, drawn from a seed: cells of randomly wired feed-forward nodes (in the manner of
 * arXiv:1904.01569), skips across cells, and one or two towers that meet at the end, as vision-language models have. No
 * two cells are alike, so nothing can be planned once and used again.
 */
import { DType } from '../model/dtype.js';
import type { ModelProto } from '../model/types.js';
import { PartitionError } from '../util/errors.js';
import { Random } from '../util/random.js';
import { attrInt, GraphBuilder } from './builder.js';
import { linear } from './blocks/linear.js';
import { layerNorm } from './blocks/norms.js';

export interface IrregularOptions {
  readonly seed: number;
  /** Cells of each tower, from the input to where the towers meet. */
  readonly cells: number;
  /** Nodes of a cell. */
  readonly nodes: number;
  /** Width of the streams between cells; inner widths are drawn between a half and four times it. */
  readonly hidden: number;
  /** Tokens of a sample. */
  readonly tokens: number;
  /** 1, or 2 streams of different widths (hidden, hidden / 2) that are joined. Default 1. */
  readonly towers?: number;
}

const INNER_WIDTHS = [0.5, 1, 2, 3, 4] as const;
const CLASSES = 1000;
const EPSILON = 1e-5;
/** Chance that a cell also reads what the cell before the last one left. */
const SKIP_CHANCE = 0.25;

/** @throws PartitionError usage when a size is not a positive whole number */
export function buildIrregular(options: IrregularOptions): ModelProto {
  const { seed, cells, nodes, hidden, tokens, towers = 1 } = options;
  for (const [field, value] of Object.entries({ cells, nodes, hidden, tokens, towers }))
    if (!Number.isSafeInteger(value) || value < 1 || (field === 'towers' && value > 2))
      throw new PartitionError(
        'usage',
        `expected ${field === 'towers' ? '1 or 2' : 'a positive whole number'}, found ${value}`,
        `irregular graph: ${field}`,
      );
  const b = new GraphBuilder('irregular', DType.FLOAT);
  const random = new Random(seed);
  const widths = towers === 1 ? [hidden] : [hidden, Math.max(1, hidden >> 1)];
  const ends = widths.map((width, t) => {
    const input = b.input(`features_${t}`, DType.FLOAT, ['batch', tokens, width]);
    return b.scope(`tower.${t}`, () => tower(b, input, `tower.${t}`, { cells, nodes, width }, random));
  });
  const joined = ends.length === 1 ? ends[0] : b.op('Concat', ends, [attrInt('axis', -1)]);
  const joinedWidth = widths.reduce((a, w) => a + w, 0);
  const normed = layerNorm(b, joined, 'norm', joinedWidth, EPSILON);
  linear(b, normed, 'classifier', joinedWidth, CLASSES, true, 'logits');
  b.output('logits', DType.FLOAT, ['batch', tokens, CLASSES]);
  return b.build();
}

interface TowerSize {
  readonly cells: number;
  readonly nodes: number;
  readonly width: number;
}

function tower(b: GraphBuilder, input: string, name: string, size: TowerSize, random: Random): string {
  let before = input;
  let last = input;
  for (let c = 0; c < size.cells; c++) {
    const skips = c > 1 && random.next() < SKIP_CHANCE;
    const from = skips ? b.scope(`skip.${c}`, () => b.op('Add', [last, before])) : last;
    before = last;
    last = b.scope(`cells.${c}`, () => cell(b, from, `${name}.cells.${c}`, size, random));
  }
  return last;
}

/** Nodes read one to three earlier ones, most often the latest; loose ends are summed with the cell's input. */
function cell(b: GraphBuilder, input: string, name: string, size: TowerSize, random: Random): string {
  const values = [input];
  const isRead = [true];
  for (let i = 0; i < size.nodes; i++) {
    const sources = new Set<number>();
    const wanted = 1 + random.int(3);
    for (let k = 0; k < wanted; k++)
      sources.add(random.next() < 0.5 ? values.length - 1 : random.int(values.length));
    const read = [...sources].sort((x, y) => x - y);
    for (const source of read) isRead[source] = true;
    const summed = read.map((source) => values[source]).reduce((x, y) => b.op('Add', [x, y]));
    values.push(b.scope(`nodes.${i}`, () => node(b, summed, `${name}.nodes.${i}`, size.width, random)));
    isRead.push(false);
  }
  const loose = values.filter((_, i) => !isRead[i]);
  return loose.reduce((x, y) => b.op('Add', [x, y]), input);
}

/** A feed-forward node: narrow or wide, plain or gated, with or without a norm before it. */
function node(b: GraphBuilder, x: string, name: string, width: number, random: Random): string {
  const inner = Math.max(1, Math.round(width * random.pick(INNER_WIDTHS)));
  const normed = random.next() < 0.5 ? layerNorm(b, x, `${name}.norm`, width, EPSILON) : x;
  const gated = random.next() < 0.3;
  const up = b.op('Relu', [linear(b, normed, `${name}.up`, width, inner, true)]);
  const mixed = gated ? b.op('Mul', [up, linear(b, normed, `${name}.gate`, width, inner, true)]) : up;
  return linear(b, mixed, `${name}.down`, inner, width, true);
}
