/**
 * Reading rows of a table whose rows lie on several ranks: each rank reads those it holds and takes zero for the others, so
 * that the sum over the ranks is the row (Megatron-LM, VocabParallelEmbedding).
 */
import { DType } from '../../model/index.js';
import type { NodeProto } from '../../model/index.js';
import type { LocalValues } from './localValues.js';
import { makeNode } from './localValues.js';

export interface Lookup {
  /** Gather, with local names; its output is the partial sum. */
  readonly proto: NodeProto;
  /** Of the whole table. */
  readonly rows: number;
  readonly axis: number;
  readonly indexRank: number;
  readonly tableRank: number;
  readonly indexDtype: DType;
  readonly dtype: DType;
  readonly version: number;
  readonly stage: number;
}

export function lookupRows(values: LocalValues, lookup: Lookup): void {
  const { proto, rows, stage, indexDtype } = lookup;
  const [table, indices] = proto.input;
  const [output] = proto.output;
  const part = rows / values.tp;
  const number = (word: string, ...perRank: number[]): string =>
    values.integers(
      `${output}/${word}`,
      perRank.map((value) => [value]),
      [],
      indexDtype,
    );
  const step = (opType: string, word: string, input: string[], ints: Record<string, number> = {}): string => {
    const name = values.fresh(`${output}/${word}`);
    values.add(makeNode(opType, input, [name], ints), stage);
    return name;
  };
  const zero = number('zero', 0);
  // Indices may count from the end.
  const isNegative = step('Less', 'isNegative', [indices, zero]);
  const wrapped = step('Add', 'wrapped', [indices, number('rows', rows)]);
  const row = step('Where', 'row', [isNegative, wrapped, indices]);
  const firsts = Array.from({ length: values.tp }, (_, rank) => rank * part);
  const local = step('Sub', 'local', [row, number('first', ...firsts)]);
  const isBefore = step('Less', 'isBefore', [local, zero]);
  const isIn = step('And', 'isIn', [
    step('Not', 'isNotBefore', [isBefore]),
    step('Less', 'isNotBehind', [local, number('count', part)]),
  ]);
  const safe = step('Where', 'safe', [isIn, local, zero]);
  const found = values.fresh(`${output}/found`);
  values.add({ ...proto, input: [table, safe], output: [found] }, stage);
  let mask = step('Cast', 'mask', [isIn], { to: lookup.dtype });
  // The mask lies under the table's dimensions behind the indexed one.
  const trailing = lookup.tableRank - lookup.axis - 1;
  if (trailing > 0) {
    const shape = [
      ...Array.from({ length: lookup.indexRank }, () => 0),
      ...Array.from({ length: trailing }, () => 1),
    ];
    const target = values.integers(`${output}/maskShape`, [shape], [shape.length], DType.INT64);
    mask = step('Reshape', 'maskColumn', [mask, target]);
  }
  values.add(makeNode('Mul', [found, mask], [output]), stage);
}
