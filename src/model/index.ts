/** ONNX models as written: reading, writing, checking, and looking into small tensors. */
export { checkModel } from './check.js';
export type { Diagnostic } from './check/report.js';
export { functionKey, normalDomain } from './check/functions.js';
export { DType, dtypeBits, dtypeBytes, dtypeName, isFloat } from './dtype.js';
export { payloadLength } from './encode.js';
export type { ExternalReference } from './external.js';
export { isExternal, locateExternal, parseExternal } from './external.js';
export { decodeGraph, decodeModel, readModel } from './read.js';
export {
  elementCount,
  payloadBytes,
  readInts,
  readNumbers,
  tensorBytes,
  tensorElementCount,
} from './tensor.js';
export { encodeGraph, encodeModel, writeModel } from './write.js';
export type * from './types.js';
