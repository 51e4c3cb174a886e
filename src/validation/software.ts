/** Which stack profile a measured run is priced with, by the words of its source. */
import { presetFolder } from '../cluster/document.js';
import type { LevelKind } from '../cluster/index.js';
import { DEFAULT_STACK } from '../cost/stack.js';
import type { MeasuredRow } from './row.js';

interface Pattern {
  readonly stack: string;
  readonly match: RegExp;
  readonly length: number;
}

let patterns: readonly Pattern[] | null = null;

/** `matches` of every profile that ships, the longest first: a release's own pattern goes before that of the framework. */
function stackPatterns(): readonly Pattern[] {
  const folder = presetFolder('stacks');
  patterns ??= folder.names
    .flatMap((stack) => {
      const { matches } = folder.document(stack) as { matches?: readonly unknown[] };
      return (matches ?? []).map((text) => ({
        stack,
        match: new RegExp(String(text), 'i'),
        length: String(text).length,
      }));
    })
    .sort((a, b) => b.length - a.length || (a.stack < b.stack ? -1 : 1));
  return patterns;
}

/**
 * The profile whose longest pattern is found in the row's source, note or number format; where none is: `maxtext` on a torus, `fsdp`
 * where parameters are sharded, else the default.
 */
export function stackOf(row: MeasuredRow, network: LevelKind): string {
  const words = `${row.source} ${row.note} ${row.precision}`;
  const found = stackPatterns().find((p) => p.match.test(words));
  if (found !== undefined) return found.stack;
  const { names } = presetFolder('stacks');
  if (network === 'torus' && names.includes('maxtext')) return 'maxtext';
  if (row.zeroStage === 3 && names.includes('fsdp')) return 'fsdp';
  return DEFAULT_STACK;
}
