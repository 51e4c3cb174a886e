/** What the sizes and words of a measured run leave open, as data: `src/data/measured/*.yaml`. */
import { fileURLToPath } from 'node:url';
import { readYaml } from '../cluster/document.js';
import { Fields } from '../cluster/fields.js';
import type { Precision } from '../cost/types.js';
import { PartitionError } from '../util/errors.js';
import { dataPath } from '../util/files.js';
import type { ArchConfig } from '../zoo/index.js';

const FAMILIES = ['auto', 'gpt', 'llama', 'moe', 'deepseek'] as const;
const ACTIVATIONS = ['gelu', 'gelu-tanh', 'relu', 'silu'] as const;

/** How models of a name are built. */
export interface ModelRule {
  readonly match: RegExp;
  /** A model of the zoo whose form is taken; sizes come from the row. */
  readonly base: string | null;
  /** `auto`: by experts, feed-forward ratio and key-value heads. */
  readonly family: (typeof FAMILIES)[number];
  /** `null`: chosen to agree with the parameter count. */
  readonly gatedFfn: boolean | null;
  readonly headDim: number | null;
  readonly activation: ArchConfig['activation'] | null;
  readonly tiedEmbeddings: boolean | null;
  readonly attentionBias: boolean;
  readonly qkNorm: boolean;
  /** Tensor parallelism inside experts: none, or as that of the dense layers. */
  readonly expertTensorParallel: 'none' | 'tp';
}

/** How a source counts FLOPs. */
export interface FlopConvention {
  readonly attention: 'causal' | 'full';
  readonly recompute: boolean;
}

/** The rule for a model's name; one that leaves everything open when none matches. */
export function modelRule(name: string): ModelRule {
  return modelRules().find((rule) => rule.match.test(name)) ?? OPEN_RULE;
}

const OPEN_RULE: ModelRule = {
  match: /^/,
  base: null,
  family: 'auto',
  gatedFfn: null,
  headDim: null,
  activation: null,
  tiedEmbeddings: null,
  attentionBias: false,
  qkNorm: false,
  expertTensorParallel: 'none',
};

/** The cluster behind a hardware's preset where the source is known to have had another; `text` is its source and note. */
export function clusterRule(text: string, preset: string): string {
  return clusterRules().find((r) => r.instead === preset && r.match.test(text))?.cluster ?? preset;
}

/** How the source of a row counts FLOPs; `text` is its source and note. */
export function flopConvention(text: string): FlopConvention {
  const { rules, fallback } = conventions();
  return rules.find((rule) => rule.match.test(text))?.convention ?? fallback;
}

/** The number format behind a name of it; undefined when unknown. */
export function precisionOf(name: string): Precision | undefined {
  return precisionNames().get(name.toLowerCase().replaceAll(/[_ ]/g, '-'));
}

const modelRules = once(() => {
  const document = open('models.yaml');
  const rules = document.children('rules').map((f): ModelRule => {
    const rule: ModelRule = {
      match: pattern(f, 'match'),
      base: f.has('base') ? f.string('base') : null,
      family: f.oneOf('family', FAMILIES, 'auto'),
      gatedFfn: flag(f, 'gatedFfn'),
      headDim: f.has('headDim') ? f.number('headDim', { min: 1, integer: true }) : null,
      activation: f.has('activation') ? f.oneOf('activation', ACTIVATIONS) : null,
      tiedEmbeddings: flag(f, 'tiedEmbeddings'),
      attentionBias: flag(f, 'attentionBias') ?? false,
      qkNorm: flag(f, 'qkNorm') ?? false,
      expertTensorParallel: f.oneOf('expertTensorParallel', ['none', 'tp'], 'none'),
    };
    f.string('source', '-');
    f.done();
    return rule;
  });
  document.done();
  return rules;
});

const clusterRules = once(() => {
  const document = open('clusters.yaml');
  const rules = document.children('rules').map((f) => {
    const rule = { match: pattern(f, 'match'), instead: f.string('instead'), cluster: f.string('cluster') };
    f.string('source');
    f.done();
    return rule;
  });
  document.done();
  return rules;
});

const conventions = once(() => {
  const document = open('conventions.yaml');
  const fallback = readConvention(document.required('default'));
  const rules = document.children('rules').map((f) => {
    const match = pattern(f, 'match');
    f.string('source', '-');
    return { match, convention: readConvention(f) };
  });
  document.done();
  return { rules, fallback };
});

const precisionNames = once(() => {
  const document = open('precisions.yaml');
  const names = new Map<string, Precision>();
  for (const precision of ['fp32', 'tf32', 'fp16', 'bf16', 'fp8', 'fp4'] as const)
    for (const name of document.list(precision, [])) names.set(String(name), precision);
  document.done();
  return names;
});

function readConvention(f: Fields): FlopConvention {
  const convention = {
    attention: f.oneOf('attention', ['causal', 'full']),
    recompute: flag(f, 'recompute') ?? false,
  };
  f.done();
  return convention;
}

function flag(f: Fields, name: string): boolean | null {
  const value = f.raw(name);
  if (value === undefined) return null;
  if (typeof value !== 'boolean') throw f.fault(name, 'true or false');
  return value;
}

function pattern(f: Fields, name: string): RegExp {
  const text = f.string(name);
  try {
    return new RegExp(text, 'i');
  } catch {
    throw new PartitionError('input', `${f.at(name)}: expected a regular expression, found ${text}`, f.file);
  }
}

function open(name: string): Fields {
  const path = fileURLToPath(dataPath(`measured/${name}`));
  return Fields.of(readYaml(path), path, '', []);
}

function once<T>(read: () => T): () => T {
  let value: T | undefined;
  return () => (value ??= read());
}
