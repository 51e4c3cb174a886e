/** Finds an operator's rule. Built once from the families; keyed by Map, so that no name reaches a prototype. */
import { FAMILIES } from './families.js';
import type { OpRule } from './types.js';

let tables: Map<string, Map<string, OpRule>> | null = null;

function build(): Map<string, Map<string, OpRule>> {
  const byDomain = new Map<string, Map<string, OpRule>>();
  for (const { domain, rules } of FAMILIES) {
    const table = byDomain.get(domain) ?? new Map<string, OpRule>();
    byDomain.set(domain, table);
    for (const [opType, rule] of Object.entries(rules)) {
      if (table.has(opType)) throw new Error(`internal: operator ${domain}::${opType} is described twice`);
      table.set(opType, rule);
    }
  }
  return byDomain;
}

/** `ai.onnx` is an alias of the default domain. */
export function normalizeDomain(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}

/**
 * The rule of an operator, or `null` when it is not known.
 * @param domain normalised: `''` for the default domain
 * @param version opset version in force; rules handle their versions themselves and tolerate ones from the future
 */
export function lookupOp(domain: string, opType: string, _version: number): OpRule | null {
  tables ??= build();
  return tables.get(domain)?.get(opType) ?? null;
}

/**
 * Adds an operator.
 *
 * @param domain normalised, as for `lookupOp`
 * @returns false, with nothing added, when it is known already
 */
export function registerOp(domain: string, opType: string, rule: OpRule): boolean {
  tables ??= build();
  const table = tables.get(domain) ?? new Map<string, OpRule>();
  if (table.has(opType)) return false;
  tables.set(domain, table.set(opType, rule));
  return true;
}

/** Every known operator as `op` or `domain::op`, sorted. */
export function knownOps(): string[] {
  tables ??= build();
  const names: string[] = [];
  for (const [domain, table] of tables)
    for (const opType of table.keys()) names.push(domain === '' ? opType : `${domain}::${opType}`);
  return names.sort();
}
