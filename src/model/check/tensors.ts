/** Tensors: possible dimensions, as much data as the dimensions say, data in one place, sound external references. */
import { DType, dtypeBits, dtypeBytes, dtypeName } from '../dtype.js';
import { payloadLength } from '../encode.js';
import { EXTERNAL_KEYS, isExternal, locateExternal, parseExternal } from '../external.js';
import { quote } from '../quote.js';
import { countVarints, elementCount, readInts } from '../tensor.js';
import type { Payload, SparseTensorProto, TensorProto } from '../types.js';
import type { Report } from './report.js';
import { MOST_DIMENSIONS } from './values.js';

/** Sparse indices beyond this many are not looked at one by one. */
const MOST_CHECKED_INDICES = 1_000_000;

/**
 * @param label where the tensor is
 * @param modelPath the model's file, for the folder that external data must stay in; null: text checks only
 */
export function checkTensor(
  tensor: TensorProto,
  label: string,
  modelPath: string | null,
  report: Report,
): void {
  const dtype: DType = tensor.dataType ?? DType.UNDEFINED;
  const count = elementCount(tensor.dims);
  if (tensor.dims.length > MOST_DIMENSIONS) report.fail(label, `has ${tensor.dims.length} dimensions`);
  if (count === null) report.fail(label, `impossible dimensions [${tensor.dims.join(', ')}]`);
  if (dtype === DType.UNDEFINED) report.fail(label, 'the tensor has no element type');
  if (dtypeBits(dtype) === 0 && dtype !== DType.STRING) {
    report.warn(
      'tensors of unknown type',
      label,
      `unknown element type ${dtypeName(dtype)}: its size is not known`,
    );
  }
  if (tensor.segment !== undefined)
    report.warn('segmented tensors', label, 'segments are not supported and ignored');
  const stored = storedFields(tensor);
  if (stored.length > 1) report.fail(label, `data is given twice: as ${stored.join(' and ')}`);
  if (isExternal(tensor)) {
    if (stored.length > 0) report.fail(label, `data is declared external, but ${stored[0]} is there as well`);
    checkExternal(tensor, dtype, count, label, modelPath, report);
    return;
  }
  if (tensor.externalData.length > 0) {
    report.warn(
      'unused external entries',
      label,
      'has external data entries, but its data is not declared external',
    );
  }
  if (stored.length === 0) {
    if (count > 0) report.warn('tensors without data', label, `has no data for its ${count} elements`);
    return;
  }
  checkAmount(tensor, dtype, count, label, report);
}

/** Data fields that hold anything. */
function storedFields(tensor: TensorProto): string[] {
  const fields: string[] = [];
  const add = (name: string, payload: Payload | undefined): void => {
    if (payload !== undefined && payloadLength(payload) > 0) fields.push(name);
  };
  add('raw_data', tensor.rawData);
  add('float_data', tensor.floatData);
  add('int32_data', tensor.int32Data);
  add('int64_data', tensor.int64Data);
  add('double_data', tensor.doubleData);
  add('uint64_data', tensor.uint64Data);
  if (tensor.stringData.length > 0) fields.push('string_data');
  return fields;
}

function checkAmount(tensor: TensorProto, dtype: DType, count: number, label: string, report: Report): void {
  const expect = (what: string, found: number, expected: number): void => {
    if (found === expected) return;
    const wanted = `${count} elements of ${dtypeName(dtype)} take ${expected} ${what}`;
    report.fail(label, `${wanted}, found ${found}`);
  };
  const bits = dtypeBits(dtype);
  if (tensor.stringData.length > 0) expect('strings', tensor.stringData.length, count);
  if (bits === 0) return;
  if (hasData(tensor.rawData)) expect('bytes', payloadLength(tensor.rawData), dtypeBytes(dtype, count));
  const pair = dtype === DType.COMPLEX64 || dtype === DType.COMPLEX128 ? 2 : 1;
  if (hasData(tensor.floatData)) expect('floats', payloadLength(tensor.floatData) / 4, pair * count);
  if (hasData(tensor.doubleData)) expect('doubles', payloadLength(tensor.doubleData) / 8, pair * count);
  // Types below a byte put one packed byte into each int32.
  const words = bits < 8 ? dtypeBytes(dtype, count) : count;
  for (const payload of [tensor.int32Data, tensor.int64Data, tensor.uint64Data]) {
    // Counting the varints of a payload left in the file would mean to read it.
    if (hasData(payload) && payload.kind === 'bytes') expect('integers', countVarints(payload.bytes), words);
  }
}

function hasData(payload: Payload | undefined): payload is Payload {
  return payload !== undefined && payloadLength(payload) > 0;
}

function checkExternal(
  tensor: TensorProto,
  dtype: DType,
  count: number,
  label: string,
  modelPath: string | null,
  report: Report,
): void {
  const reference = parseExternal(tensor, report.file);
  const bits = dtypeBits(dtype);
  if (dtype === DType.STRING) report.fail(label, 'strings cannot be stored as external data');
  if (bits > 0 && reference.length !== null && reference.length !== dtypeBytes(dtype, count)) {
    const wanted = `${count} elements of ${dtypeName(dtype)} take ${dtypeBytes(dtype, count)} bytes`;
    report.fail(label, `${wanted}, its external data has ${reference.length}`);
  }
  for (const { key = '' } of tensor.externalData) {
    if (!EXTERNAL_KEYS.has(key)) {
      report.warn('unknown external keys', label, `unknown key ${quote(key)} in its external data`);
    }
  }
  if (modelPath === null) return;
  const file = locateExternal(reference, modelPath);
  const neededBytes = reference.length ?? dtypeBytes(dtype, count);
  if (file !== null && reference.offset + neededBytes > file.sizeBytes) {
    const message = `${quote(reference.location)} ends at byte ${file.sizeBytes}, before the tensor's data`;
    report.warn('short external files', label, message);
  }
}

/** A sparse tensor: values and indices agree in number, and every index lies inside the dense shape. */
export function checkSparse(
  sparse: SparseTensorProto,
  label: string,
  modelPath: string | null,
  report: Report,
): void {
  const { values, indices, dims } = sparse;
  if (values === undefined) return report.fail(label, 'a sparse tensor has no values');
  checkTensor(values, label, modelPath, report);
  const denseCount = elementCount(dims);
  if (denseCount === null) return report.fail(label, `impossible dimensions [${dims.join(', ')}]`);
  const count = elementCount(values.dims) ?? 0;
  if (indices === undefined) {
    if (count > 0) report.fail(label, `a sparse tensor has ${count} values and no indices`);
    return;
  }
  checkTensor(indices, `${label}, indices`, modelPath, report);
  const isCoordinates = indices.dims.length === 2;
  const expected = isCoordinates ? count * dims.length : count;
  if (elementCount(indices.dims) !== expected) {
    report.fail(
      label,
      `${count} values need ${expected} indices, found dimensions [${indices.dims.join(', ')}]`,
    );
  }
  // Indices that lie in another file are not worth opening it.
  const found = readInts(indices, MOST_CHECKED_INDICES);
  if (found === null) return;
  for (let i = 0; i < found.length; i++) {
    const limit = isCoordinates ? Number(dims[i % dims.length]) : denseCount;
    const index = Number(found[i]);
    if (index < 0 || index >= limit) report.fail(label, `sparse index ${found[i]} is not below ${limit}`);
  }
}
