import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));

/** Folder -> folders it may import (design section 9). `below` entries are spelled out, so that the table is the law. */
const MAY_IMPORT: Record<string, string[]> = {
  util: [],
  model: ['util'],
  ops: ['model', 'util'],
  graph: ['ops', 'model', 'util'],
  zoo: ['model', 'ops', 'util'],
  cluster: ['util'],
  parallel: ['cluster', 'util'],
  cost: ['graph', 'ops', 'model', 'parallel', 'cluster', 'util'],
  plan: ['cost', 'graph', 'ops', 'model', 'parallel', 'cluster', 'util'],
  simulate: ['plan', 'cost', 'graph', 'ops', 'model', 'parallel', 'cluster', 'util'],
  shard: ['util'],
  strategy: ['shard', 'cost', 'graph', 'ops', 'model', 'parallel', 'cluster', 'util'],
  search: [
    'simulate',
    'strategy',
    'shard',
    'plan',
    'cost',
    'graph',
    'ops',
    'model',
    'parallel',
    'cluster',
    'util',
  ],
};
const AGENT_AND_BELOW = ['search', ...MAY_IMPORT['search']];
MAY_IMPORT['agent'] = AGENT_AND_BELOW;
MAY_IMPORT['portfolio'] = ['agent', ...AGENT_AND_BELOW];
MAY_IMPORT['validation'] = ['zoo', 'simulate', ...MAY_IMPORT['simulate'], 'strategy', 'shard'];
MAY_IMPORT['emit'] = ['simulate', ...MAY_IMPORT['simulate']];
MAY_IMPORT['report'] = ['simulate', ...MAY_IMPORT['simulate']];
MAY_IMPORT['api'] = ['portfolio', 'agent', 'validation', 'emit', 'report', 'zoo', ...AGENT_AND_BELOW];
MAY_IMPORT['cli'] = ['api', 'util'];

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

/** Relative imports of a file, as paths of source files; type-only ones included. */
function imports(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) => m[1]);
  return found.map((spec) => resolve(dirname(file), spec.replace(/\.js$/, '.ts')));
}

const files = sources(SRC);
const layerOf = (file: string): string => relative(SRC, file).split('/')[0];

describe('the layers of the house', () => {
  it('has a rule for every folder under src', () => {
    const folders = readdirSync(SRC).filter((f) => statSync(join(SRC, f)).isDirectory() && f !== 'data');
    expect(folders.filter((f) => !(f in MAY_IMPORT))).to.deep.equal([]);
  });

  it('imports only downwards', () => {
    const breaches = files.flatMap((file) =>
      imports(file)
        .map((target) => [layerOf(file), layerOf(target), relative(SRC, file)] as const)
        .filter(([from, to]) => from !== to && !MAY_IMPORT[from].includes(to))
        .map(([, to, name]) => `${name} imports ${to}`),
    );
    expect(breaches).to.deep.equal([]);
  });

  it('has no import cycle between files, type-only imports aside', () => {
    const edges = new Map(
      files.map((file) => {
        const text = readFileSync(file, 'utf8').replace(/import type[\s\S]*?;|export type \{[\s\S]*?;/g, '');
        const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) =>
          resolve(dirname(file), m[1].replace(/\.js$/, '.ts')),
        );
        return [file, found] as const;
      }),
    );
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    for (const root of files) {
      const stack: { file: string; next: number }[] = [{ file: root, next: 0 }];
      if (state.has(root)) continue;
      state.set(root, 'open');
      while (stack.length > 0) {
        const top = stack[stack.length - 1];
        const target = (edges.get(top.file) ?? [])[top.next++];
        if (target === undefined) {
          state.set(top.file, 'done');
          stack.pop();
        } else if (state.get(target) === 'open') {
          cycles.push(`${relative(SRC, top.file)} -> ${relative(SRC, target)}`);
        } else if (!state.has(target)) {
          state.set(target, 'open');
          stack.push({ file: target, next: 0 });
        }
      }
    }
    expect(cycles).to.deep.equal([]);
  });

  it('imports only files that exist', () => {
    const known = new Set(files);
    const missing = files.flatMap((f) =>
      imports(f)
        .filter((t) => !known.has(t))
        .map((t) => `${relative(SRC, f)} -> ${relative(SRC, t)}`),
    );
    expect(missing).to.deep.equal([]);
  });
});
