/**
 * Whether a model is sound enough to build on: everything downstream relies on what is refused here. Shapes that can
 * only be found by inference are not looked at.
 */
import { existsSync } from 'node:fs';
import { checkDevices } from './check/devices.js';
import { calleeIn, checkFunctions } from './check/functions.js';
import { checkAttributes, checkNodes } from './check/nodes.js';
import type { Region } from './check/regions.js';
import { collectRegions } from './check/regions.js';
import type { Diagnostic } from './check/report.js';
import { Report } from './check/report.js';
import { checkScopes } from './check/scope.js';
import { checkSparse, checkTensor } from './check/tensors.js';
import { checkValues } from './check/values.js';
import { checkVersions } from './check/versions.js';
import { quote } from './quote.js';
import type { ModelProto } from './types.js';

/**
 * @param where the model's path, or what messages call a model in memory
 * @returns what is odd but harmless
 * @throws PartitionError 'input' for the first fault that makes the model unusable
 */
export function checkModel(model: ModelProto, where: string): Diagnostic[] {
  const report = new Report(where);
  const modelPath = existsSync(where) ? where : null;
  const { graph } = model;
  if (graph === undefined) return report.fail('model', 'the model has no graph');
  const { node, input, output, initializer, sparseInitializer } = graph;
  if (node.length + input.length + output.length + initializer.length + sparseInitializer.length === 0) {
    report.fail('graph', 'the graph is empty');
  }
  if (graph.output.length === 0)
    report.warn('graph outputs', 'graph', 'has no outputs: every node is dead code');
  const regions = collectRegions(model);
  const callee = calleeIn(model, report);
  checkVersions(model, regions, callee, report);
  for (const region of regions) {
    checkNodes(region, modelPath, report);
    checkValues(region, report);
    checkInitializers(region, modelPath, report);
  }
  for (const f of model.functions) {
    checkAttributes(f.attributeProto, () => `function ${quote(f.name)}`, modelPath, report);
  }
  const isUsed = checkFunctions(model, regions, callee, report);
  checkScopes(regions, report, (functionIndex) => isUsed[functionIndex] === 0);
  checkDevices(model, regions, report);
  return report.finish();
}

function checkInitializers(region: Region, modelPath: string | null, report: Report): void {
  if (region.graph === null) return;
  const { initializer, sparseInitializer } = region.graph;
  const inside = region.kind === 'main' ? '' : ` of ${region.label}`;
  for (const tensor of initializer) {
    checkTensor(tensor, `initializer ${quote(tensor.name)}${inside}`, modelPath, report);
  }
  for (const sparse of sparseInitializer) {
    checkSparse(sparse, `sparse initializer ${quote(sparse.values?.name)}${inside}`, modelPath, report);
  }
}
