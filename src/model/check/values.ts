/** Declared types of inputs, outputs and intermediate values: possible dimensions, and no contradiction with data. */
import { DType, dtypeName } from '../dtype.js';
import { quote } from '../quote.js';
import { elementCount } from '../tensor.js';
import type {
  DimensionProto,
  GraphProto,
  TensorProto,
  TensorTypeProto,
  TypeProto,
  ValueInfoProto,
} from '../types.js';
import type { Region } from './regions.js';
import type { Report } from './report.js';

/** No operator and no runtime goes beyond 64; a file that does means harm or is damaged. */
export const MOST_DIMENSIONS = 256;

export function checkValues(region: Region, report: Report): void {
  const { graph, label } = region;
  if (graph === null) return;
  for (const value of graph.input) checkDeclared(value, `${label}, input`, region.kind === 'main', report);
  for (const value of graph.output) checkDeclared(value, `${label}, output`, false, report);
  for (const value of graph.valueInfo) checkDeclared(value, `${label}, value`, false, report);
  checkAgreement(graph, label, report);
}

function checkDeclared(value: ValueInfoProto, label: string, isTypeExpected: boolean, report: Report): void {
  const where = `${label} ${quote(value.name)}`;
  if (value.type === undefined) {
    if (isTypeExpected) report.warn('inputs without a type', where, 'has no type');
    return;
  }
  for (const tensorType of tensorTypes(value.type)) checkShape(tensorType, where, report);
}

/** The tensor type at the core of a type: sequences, maps and optionals nest as a chain. */
function tensorTypes(type: TypeProto): TensorTypeProto[] {
  const found: TensorTypeProto[] = [];
  for (let at: TypeProto | undefined = type; at !== undefined;) {
    if (at.tensorType) found.push(at.tensorType);
    if (at.sparseTensorType) found.push(at.sparseTensorType);
    at = at.sequenceType?.elemType ?? at.optionalType?.elemType ?? at.mapType?.valueType;
  }
  return found;
}

function checkShape(type: TensorTypeProto, where: string, report: Report): void {
  if (type.shape === undefined) return;
  if (type.shape.dim.length > MOST_DIMENSIONS) report.fail(where, `has ${type.shape.dim.length} dimensions`);
  const known: number[] = [];
  type.shape.dim.forEach((dim, axis) => {
    const { dimValue } = dim;
    if (dimValue === undefined) return;
    if (typeof dimValue === 'bigint') report.fail(where, `dimension ${axis} is ${dimValue}, beyond 2^53`);
    if (dimValue < -1) report.fail(where, `dimension ${axis} is ${dimValue}`);
    if (dimValue === -1) report.warn('dimensions of -1', where, `dimension ${axis} is -1, taken as unknown`);
    else known.push(dimValue);
  });
  if (elementCount(known) === null) report.fail(where, `[${known.join(', ')}] holds more than 2^53 elements`);
}

/** Initializers against the inputs they are defaults of and against value_info; value_info against itself. */
function checkAgreement(graph: GraphProto, label: string, report: Report): void {
  const initializers = new Map<string, TensorProto>();
  for (const tensor of graph.initializer) initializers.set(tensor.name ?? '', tensor);
  for (const value of graph.input) {
    const conflict = conflictWith(initializers.get(value.name ?? ''), value.type?.tensorType);
    if (conflict !== null) report.fail(`${label}, input ${quote(value.name)}`, conflict);
  }
  const declared = new Map<string, ValueInfoProto>();
  for (const value of graph.valueInfo) {
    const name = value.name ?? '';
    const where = `${label}, value ${quote(name)}`;
    const conflict = conflictWith(initializers.get(name), value.type?.tensorType);
    if (conflict !== null) report.warn('contradicted values', where, conflict);
    const before = declared.get(name);
    if (before === undefined) declared.set(name, value);
    else if (!isSameType(before.type?.tensorType, value.type?.tensorType)) {
      report.warn('contradicting values', where, 'is declared twice, with different types: the first counts');
    }
  }
}

function conflictWith(tensor: TensorProto | undefined, type: TensorTypeProto | undefined): string | null {
  if (tensor === undefined || type === undefined) return null;
  const declared: DType = type.elemType ?? DType.UNDEFINED;
  const actual: DType = tensor.dataType ?? DType.UNDEFINED;
  if (declared !== DType.UNDEFINED && declared !== actual) {
    return `declared as ${dtypeName(declared)}, but its initializer is ${dtypeName(actual)}`;
  }
  if (type.shape === undefined) return null;
  const { dim } = type.shape;
  const differs = dim.length !== tensor.dims.length || dim.some((d, axis) => !mayBe(d, tensor.dims[axis]));
  if (!differs) return null;
  const shown = dim.map((d) => d.dimValue ?? d.dimParam ?? '?').join(', ');
  return `declared as [${shown}], but its initializer is [${tensor.dims.join(', ')}]`;
}

function mayBe(dim: DimensionProto, size: number | bigint): boolean {
  return dim.dimValue === undefined || dim.dimValue === -1 || dim.dimValue === size;
}

function isSameType(a: TensorTypeProto | undefined, b: TensorTypeProto | undefined): boolean {
  if (a?.elemType !== b?.elemType) return false;
  const dims = [a?.shape?.dim, b?.shape?.dim];
  const text = dims.map((list) => list?.map((d) => String(d.dimValue ?? d.dimParam ?? '?')).join('\n'));
  return text[0] === text[1];
}
