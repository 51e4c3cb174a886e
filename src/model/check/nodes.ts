/** Nodes: an operator, attributes given once and with the value their type promises, names. */
import { quote } from '../quote.js';
import { hasBrokenText } from '../text.js';
import type { AttributeProto } from '../types.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';
import { checkSparse, checkTensor } from './tensors.js';

/** AttributeProto.AttributeType. */
const FLOAT = 1;
const INT = 2;
const STRING = 3;
const TENSOR = 4;
const GRAPH = 5;
const SPARSE_TENSOR = 11;
const LAST_TYPE = 14;

export function checkNodes(region: Region, modelPath: string | null, report: Report): void {
  const names = new Set<string>();
  for (let i = 0; i < region.nodes.length; i++) {
    const node = region.nodes[i];
    if (node.opType === undefined || node.opType === '')
      report.fail(nodeLabel(region, i), 'the node has no op_type');
    if (node.name !== undefined && node.name !== '') {
      if (names.has(node.name))
        report.warn('repeated node names', nodeLabel(region, i), 'another node has this name');
      names.add(node.name);
    }
    if (hasBroken(node.output) || hasBroken(node.input) || hasBrokenText(node.name ?? '')) {
      report.warn(
        'names that are not UTF-8',
        nodeLabel(region, i),
        'a name is not UTF-8: its bytes are kept',
      );
    }
    if (node.attribute.length > 0)
      checkAttributes(node.attribute, () => nodeLabel(region, i), modelPath, report);
  }
}

function hasBroken(names: readonly string[]): boolean {
  for (const name of names) if (hasBrokenText(name)) return true;
  return false;
}

/** @param label computed only when there is something to say */
export function checkAttributes(
  attributes: readonly AttributeProto[],
  label: () => string,
  modelPath: string | null,
  report: Report,
): void {
  const names = new Set<string>();
  for (const attribute of attributes) {
    const name = attribute.name ?? '';
    if (name === '') report.fail(label(), 'an attribute has no name');
    if (names.has(name)) report.fail(label(), `the attribute ${quote(name)} is given twice`);
    names.add(name);
    checkType(attribute, label, report);
    checkHeld(attribute, label, modelPath, report);
  }
}

function checkType(attribute: AttributeProto, label: () => string, report: Report): void {
  const { type } = attribute;
  if (type === undefined || type === 0) return;
  const isReference = attribute.refAttrName !== undefined && attribute.refAttrName !== '';
  if (isReference) return;
  const at = `the attribute ${quote(attribute.name)}`;
  if (type === GRAPH && attribute.g === undefined)
    report.fail(label(), `${at} should be a graph and holds none`);
  if (type === TENSOR && attribute.t === undefined)
    report.fail(label(), `${at} should be a tensor and holds none`);
  if (type === SPARSE_TENSOR && attribute.sparseTensor === undefined) {
    report.fail(label(), `${at} should be a sparse tensor and holds none`);
  }
  if (type < 0 || type > LAST_TYPE)
    report.warn('unknown attribute types', label(), `${at} has the unknown type ${type}`);
  // Writers may leave out a zero, so an absent value alone says nothing; another one in its place does.
  const held = [attribute.f !== undefined, attribute.i !== undefined, attribute.s !== undefined];
  const expected = type === FLOAT ? 0 : type === INT ? 1 : type === STRING ? 2 : -1;
  if (expected >= 0 && !held[expected] && held.includes(true)) {
    report.warn('mistyped attributes', label(), `${at} holds a value of another type than it declares`);
  }
}

/** Tensors inside attributes hold weights and external references like any other. */
function checkHeld(
  attribute: AttributeProto,
  label: () => string,
  modelPath: string | null,
  report: Report,
): void {
  const { t, tensors, sparseTensor, sparseTensors } = attribute;
  if (t === undefined && sparseTensor === undefined && tensors.length === 0 && sparseTensors.length === 0)
    return;
  const at = `${label()}, attribute ${quote(attribute.name)}`;
  if (t !== undefined) checkTensor(t, at, modelPath, report);
  for (const tensor of tensors) checkTensor(tensor, at, modelPath, report);
  if (sparseTensor !== undefined) checkSparse(sparseTensor, at, modelPath, report);
  for (const sparse of sparseTensors) checkSparse(sparse, at, modelPath, report);
}
