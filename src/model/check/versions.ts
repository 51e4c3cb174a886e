/** IR version and operator sets. Versions from the future are worth a warning, not a refusal. */
import { quote } from '../quote.js';
import type { ModelProto, OperatorSetIdProto } from '../types.js';
import type { Callee } from './functions.js';
import { normalDomain } from './functions.js';
import type { Region } from './regions.js';
import { nodeLabel } from './regions.js';
import type { Report } from './report.js';

/** What this program was written against: onnx 1.23. */
export const NEWEST_IR_VERSION = 14;
export const NEWEST_OPSET = 28;
/** From this IR version on, opset_import is mandatory. */
const FIRST_IR_WITH_OPSETS = 3;

export function checkVersions(
  model: ModelProto,
  regions: readonly Region[],
  callee: Callee,
  report: Report,
): void {
  const { irVersion } = model;
  // Old Windows ML exporters left it out altogether; a version that is there has to make sense.
  if (irVersion === undefined) report.warn('versions', 'model', 'no ir_version');
  else if (irVersion <= 0) report.fail('model', `expected an ir_version of at least 1, found ${irVersion}`);
  if (irVersion !== undefined && irVersion > NEWEST_IR_VERSION) {
    const message = `IR version ${irVersion} is newer than ${NEWEST_IR_VERSION}: what is unknown is kept, not understood`;
    report.warn('versions', 'model', message);
  }
  if (model.opsetImport.length === 0 && (irVersion ?? 0) >= FIRST_IR_WITH_OPSETS) {
    report.warn('versions', 'model', 'no opset_import: the operators are taken to be of the newest version');
  }
  checkImports(model.opsetImport, 'model', report);
  for (const f of model.functions) checkImports(f.opsetImport, `function ${quote(f.name)}`, report);
  checkDomains(model, regions, callee, report);
}

function checkImports(imports: readonly OperatorSetIdProto[], where: string, report: Report): void {
  const seen = new Map<string, OperatorSetIdProto['version']>();
  for (const { domain, version } of imports) {
    const name = normalDomain(domain);
    const at = `${where}, opset ${quote(name === '' ? 'ai.onnx' : name)}`;
    if (version === undefined || version <= 0)
      report.warn('opset versions', at, `has version ${version ?? 'none'}`);
    if (name === '' && version !== undefined && version > NEWEST_OPSET) {
      report.warn('opset versions', at, `version ${version} is newer than ${NEWEST_OPSET}`);
    }
    if (seen.has(name) && seen.get(name) !== version) {
      report.warn(
        'opset versions',
        at,
        `is imported as ${seen.get(name) ?? 'none'} and as ${version ?? 'none'}`,
      );
    }
    seen.set(name, version);
  }
}

function checkDomains(model: ModelProto, regions: readonly Region[], callee: Callee, report: Report): void {
  if (model.opsetImport.length === 0) return;
  const domainsOf = (imports: readonly OperatorSetIdProto[]): Set<string> =>
    new Set(imports.map((i) => normalDomain(i.domain)));
  const ofModel = domainsOf(model.opsetImport);
  const ofFunctions = model.functions.map((f) => domainsOf(f.opsetImport));
  for (const region of regions) {
    const imported = region.functionIndex >= 0 ? ofFunctions[region.functionIndex] : ofModel;
    for (let i = 0; i < region.nodes.length; i++) {
      const node = region.nodes[i];
      const domain = normalDomain(node.domain);
      if (imported.has(domain) || ofModel.has(domain) || callee(node) >= 0) continue;
      report.warn(
        'nodes of domains that are not imported',
        nodeLabel(region, i),
        `the domain ${quote(domain || 'ai.onnx')} is not imported`,
      );
    }
  }
}
