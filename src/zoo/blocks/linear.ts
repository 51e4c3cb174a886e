/** Dense projections as exporters write them: MatMul with the weight already transposed to [in, out]. */
import { attrFloat, attrInt, type GraphBuilder } from '../builder.js';

/** `x @ W (+ b)` for x of any rank; parameters `<name>.weight` [in, out] and `<name>.bias` [out]; `as` names a graph output. */
export function linear(
  b: GraphBuilder,
  x: string,
  name: string,
  inSize: number,
  outSize: number,
  hasBias: boolean,
  as?: string,
): string {
  const weight = b.weight(`${name}.weight`, [inSize, outSize]);
  if (!hasBias) return b.op('MatMul', [x, weight], [], as);
  return b.op('Add', [b.op('MatMul', [x, weight]), b.weight(`${name}.bias`, [outSize])], [], as);
}

/** `x @ W^T` with a token table [vocab, hidden] that stands transposed in the file: a tied output projection. `as` names a graph output. */
export function tiedLinear(b: GraphBuilder, x: string, table: string, as?: string): string {
  return b.op('MatMul', [x, b.transpose(table, [1, 0])], [], as);
}

/** GPT-2's Conv1D: tokens flattened to rows, one Gemm with its bias, and back to `outShape`. */
export function conv1d(
  b: GraphBuilder,
  x: string,
  name: string,
  inSize: number,
  outSize: number,
  outShape: readonly (number | string)[],
): string {
  const rows = b.reshape(x, [-1, inSize]);
  const y = b.op(
    'Gemm',
    [rows, b.weight(`${name}.weight`, [inSize, outSize]), b.weight(`${name}.bias`, [outSize])],
    [attrFloat('alpha', 1), attrFloat('beta', 1), attrInt('transA', 0), attrInt('transB', 0)],
  );
  return b.reshape(y, outShape);
}

/** `x @ W^T + b` on rows [batch, in], one Gemm; parameters `<name>.weight` [out, in] and `<name>.bias` [out]. */
export function gemm(
  b: GraphBuilder,
  x: string,
  name: string,
  inSize: number,
  outSize: number,
  as?: string,
): string {
  return b.op(
    'Gemm',
    [x, b.weight(`${name}.weight`, [outSize, inSize]), b.weight(`${name}.bias`, [outSize])],
    [attrFloat('alpha', 1), attrFloat('beta', 1), attrInt('transA', 0), attrInt('transB', 1)],
    as,
  );
}
