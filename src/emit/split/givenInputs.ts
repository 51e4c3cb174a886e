/** Inputs that the user gives: numpy's .npz, or JSON with name, dtype, shape and data of each. */
import { PartitionError } from '../../util/errors.js';
import { readTextFile } from '../../util/files.js';
import { ELEMENT_TYPES, elementsOf, isWide } from './elements.js';
import { toHalf } from './half.js';
import { readNpz } from './npz.js';
import type { RuntimeTensor } from './runtime.js';

/** @throws PartitionError input when the file is neither */
export function givenInputs(path: string): Record<string, RuntimeTensor> {
  return path.endsWith('.npz') ? readNpz(path) : readJsonTensors(path);
}

interface JsonTensor {
  name?: unknown;
  dtype?: unknown;
  shape?: unknown;
  data?: unknown;
}

function readJsonTensors(path: string): Record<string, RuntimeTensor> {
  const fail = (message: string): never => {
    throw new PartitionError(
      'input',
      message,
      path,
      '{"inputs": [{"name": "x", "dtype": "int64", "shape": [1, 4], "data": [1, 2, 3, 4]}]}, or a .npz file',
    );
  };
  let document: { inputs?: unknown };
  try {
    document = JSON.parse(readTextFile(path, 'inputs in JSON')) as { inputs?: unknown };
  } catch (e) {
    if (e instanceof PartitionError) throw e;
    return fail(`expected inputs in JSON, ${(e as Error).message}`);
  }
  if (document === null || typeof document !== 'object' || !Array.isArray(document.inputs))
    return fail('expected a list under "inputs"');
  const tensors: Record<string, RuntimeTensor> = {};
  (document.inputs as (JsonTensor | null)[]).forEach((entry, i) => {
    const at = `inputs[${String(i)}]`;
    const { name, dtype, shape, data } = entry ?? {};
    if (typeof name !== 'string') return fail(`${at}.name: expected text`);
    const kind = ELEMENT_TYPES.find((type) => type.name === dtype);
    if (kind === undefined)
      return fail(
        `${at}.dtype: expected one of ${ELEMENT_TYPES.map((type) => type.name).join(', ')}, found ${String(dtype)}`,
      );
    const isSize = (d: unknown): d is number => typeof d === 'number' && Number.isSafeInteger(d) && d >= 0;
    if (!Array.isArray(shape) || !shape.every(isSize)) return fail(`${at}.shape: expected a list of sizes`);
    const count = shape.reduce((a, b) => a * b, 1);
    if (!Array.isArray(data) || data.length !== count)
      return fail(`${at}.data: expected ${String(count)} elements, in row-major order, on one level`);
    const elements = elementsOf(kind, count);
    for (let k = 0; k < count; k++) {
      const value = Number(data[k]);
      if (isWide(elements)) {
        if (!Number.isSafeInteger(value)) return fail(`${at}.data[${String(k)}]: expected a whole number`);
        elements[k] = BigInt(value);
      } else elements[k] = dtype === 'float16' ? toHalf(value) : value;
    }
    tensors[name] = { type: kind.name, data: elements, dims: shape };
  });
  return tensors;
}
