/** From the sizes of a measured run to an architecture of the zoo. */
import { PartitionError } from '../util/errors.js';
import type { ArchConfig, ArchSketch } from '../zoo/index.js';
import { completeConfig, zooConfig } from '../zoo/index.js';
import { CellFault } from './row.js';
import type { MeasuredRow } from './row.js';
import { modelRule } from './rules.js';
import type { ModelRule } from './rules.js';

/** Sizes that a row must have, or take from a model of the zoo that has its name. */
interface Sizes {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  readonly vocab: number;
}

/** Parameter counts closer than this agree: sources round, and biases and norms are not counted. */
const AGREES = 0.06;

/** Widths of a head that are tried when hidden / heads does not explain the parameter count. */
const HEAD_DIMS = [64, 128, 192, 256];

/** @throws CellFault naming the field */
export function architectureOf(row: MeasuredRow): ArchConfig {
  const rule = modelRule(row.modelName);
  try {
    if (row.layers === null && row.hidden === null) return knownByName(row);
    return completeConfig(sketchOf(row, rule));
  } catch (e) {
    // The zoo explains which size is wrong, `zoo: heads` for one.
    if (!(e instanceof PartitionError)) throw e;
    throw new CellFault((e.where ?? 'model').replace(/^zoo[^:]*: /, ''), e.message);
  }
}

function knownByName(row: MeasuredRow): ArchConfig {
  try {
    return zooConfig(row.modelName);
  } catch {
    throw new CellFault('layers', `empty, and the zoo has no model called ${row.modelName || 'nothing'}`);
  }
}

function sketchOf(row: MeasuredRow, rule: ModelRule): ArchSketch {
  const sizes = sizesOf(row);
  if (rule.base !== null) return basedOn(zooConfig(rule.base), row, sizes);
  const family = rule.family === 'auto' ? familyOf(row, sizes) : rule.family;
  const form = { name: row.modelName || row.id, family, ...sizes, maxPositions: row.sequenceLength };
  if (family === 'gpt') {
    if (sizes.kvHeads !== sizes.heads) return { ...form, family: 'llama', ...ungated(rule) };
    return { ...form, ...(rule.headDim === null ? {} : { headDim: rule.headDim }) };
  }
  const moe = family === 'moe' ? expertsOf(row, sizes) : undefined;
  const { gatedFfn, headDim } = matchParameters(row, rule, sizes, moe?.experts ?? 1);
  return {
    ...form,
    headDim,
    gatedFfn,
    activation: rule.activation ?? (gatedFfn ? 'silu' : 'relu'),
    tiedEmbeddings: rule.tiedEmbeddings ?? false,
    attentionBias: rule.attentionBias,
    qkNorm: rule.qkNorm,
    ...(moe === undefined ? {} : { moe }),
  };
}

function ungated(rule: ModelRule): Pick<ArchSketch, 'gatedFfn' | 'activation'> {
  return { gatedFfn: rule.gatedFfn ?? false, activation: rule.activation ?? 'gelu-tanh' };
}

function sizesOf(row: MeasuredRow): Sizes {
  const { layers, hidden, heads, vocab } = row;
  for (const [field, value] of Object.entries({ layers, hidden, heads, vocab }))
    if (value === null) throw new CellFault(field, 'empty');
  return {
    layers: layers!,
    hidden: hidden!,
    heads: heads!,
    kvHeads: row.kvHeads ?? heads!,
    ffn: row.ffn ?? 4 * hidden!,
    vocab: vocab!,
  };
}

function familyOf(row: MeasuredRow, sizes: Sizes): 'gpt' | 'llama' | 'moe' {
  if ((row.experts ?? 1) > 1) return 'moe';
  return sizes.ffn === 4 * sizes.hidden && sizes.kvHeads === sizes.heads ? 'gpt' : 'llama';
}

function expertsOf(row: MeasuredRow, sizes: Sizes): NonNullable<ArchSketch['moe']> {
  if (row.experts === null) throw new CellFault('experts', 'empty');
  if (row.topk === null) throw new CellFault('topk', 'empty');
  return { experts: row.experts, topk: row.topk, expertFfn: sizes.ffn };
}

/** The form of a model of the zoo with the row's sizes; its dense feed-forward keeps its proportion. */
function basedOn(base: ArchConfig, row: MeasuredRow, sizes: Sizes): ArchSketch {
  const { moe, mla } = base;
  const widened = sizes.hidden / base.hidden;
  return {
    ...sizes,
    name: row.modelName,
    family: base.family,
    headDim: base.headDim,
    activation: base.activation,
    qkNorm: base.qkNorm,
    tiedEmbeddings: base.tiedEmbeddings,
    maxPositions: row.sequenceLength,
    ffn: Math.round(base.ffn * widened),
    ...(mla === null ? {} : { mla }),
    ...(moe === null ? {} : { moe: { ...moe, ...expertsOf(row, sizes) } }),
  };
}

/**
 * Gated or not, and the width of a head, as the rule says or so that the parameters agree with the published count:
 * gates and hidden / heads unless something else fits clearly better.
 */
function matchParameters(
  row: MeasuredRow,
  rule: ModelRule,
  sizes: Sizes,
  experts: number,
): { gatedFfn: boolean; headDim: number } {
  const plain = sizes.hidden / sizes.heads;
  const widths = rule.headDim !== null ? [rule.headDim] : [plain, ...HEAD_DIMS.filter((d) => d !== plain)];
  const gates = rule.gatedFfn !== null ? [rule.gatedFfn] : [true, false];
  const first = { gatedFfn: gates[0], headDim: widths[0] };
  if (row.parametersB === null) return whole(first);
  const wanted = row.parametersB * 1e9;
  const error = (gatedFfn: boolean, headDim: number): number =>
    Math.abs(Math.log(parametersOf(sizes, gatedFfn, headDim, experts) / wanted));
  let best = first;
  let least = error(first.gatedFfn, first.headDim);
  if (least > AGREES || !Number.isInteger(plain))
    for (const headDim of widths)
      for (const gatedFfn of gates)
        if (Number.isInteger(headDim) && error(gatedFfn, headDim) < least - 1e-9) {
          best = { gatedFfn, headDim };
          least = error(gatedFfn, headDim);
        }
  return whole(best);

  function whole(choice: typeof first): typeof first {
    if (!Number.isInteger(choice.headDim))
      throw new CellFault('heads', `expected a divisor of hidden ${sizes.hidden}, found ${sizes.heads}`);
    return choice;
  }
}

function parametersOf(s: Sizes, gated: boolean, headDim: number, experts: number): number {
  const attention = 2 * s.hidden * headDim * (s.heads + s.kvHeads);
  const feedForward = experts * (gated ? 3 : 2) * s.hidden * s.ffn;
  return s.layers * (attention + feedForward) + 2 * s.vocab * s.hidden;
}
