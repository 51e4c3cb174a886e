/** Model-local functions: finding the one a node calls, and the attributes its body sees. */
import type {
  AttributeProto,
  FunctionProto,
  ModelProto,
  NodeProto,
  OperatorSetIdProto,
} from '../model/types.js';
import { normalizeDomain } from '../ops/registry.js';

/** Functions by domain, name and overload. */
export class FunctionTable {
  private readonly byKey = new Map<string, FunctionProto>();

  constructor(model: ModelProto) {
    for (const f of model.functions) this.byKey.set(key(f.domain, f.name, f.overload), f);
  }

  get size(): number {
    return this.byKey.size;
  }

  /** The function a node calls, or `undefined` when its operator is not a local function. */
  find(node: NodeProto): FunctionProto | undefined {
    return this.byKey.get(key(node.domain, node.opType, node.overload));
  }
}

function key(domain: string | undefined, name: string | undefined, overload: string | undefined): string {
  return JSON.stringify([normalizeDomain(domain), name ?? '', overload ?? '']);
}

/** What `ref_attr_name` may refer to inside a call: what the call passes, else the function's defaults. */
export function callAttributes(
  f: FunctionProto,
  passed: readonly AttributeProto[],
): ReadonlyMap<string, AttributeProto> {
  const map = new Map<string, AttributeProto>();
  for (const a of f.attributeProto) if (a.name !== undefined) map.set(a.name, a);
  for (const a of passed) if (a.name !== undefined) map.set(a.name, a);
  return map;
}

/** Opset versions by normalised domain; the first of two imports of one domain counts. */
export function opsetVersions(imports: readonly OperatorSetIdProto[]): Map<string, number> {
  const versions = new Map<string, number>();
  for (const o of imports) {
    const domain = normalizeDomain(o.domain);
    if (!versions.has(domain)) versions.set(domain, Number(o.version ?? 0));
  }
  return versions;
}
