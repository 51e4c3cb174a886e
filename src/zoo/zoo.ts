/** From an architecture to its ONNX graph. */
import type { ModelProto } from '../model/types.js';
import { buildBert } from './bert.js';
import { GraphBuilder } from './builder.js';
import type { ArchConfig, Family } from './config.js';
import { buildDeepseek } from './deepseek.js';
import { buildGpt } from './gpt.js';
import { buildLlama } from './llama.js';
import { buildMoe } from './moe.js';
import { applyOverrides, graphForm, type GraphForm, type ZooOptions } from './options.js';
import { buildT5 } from './t5.js';
import { buildVit } from './vit.js';

type FamilyBuilder = (b: GraphBuilder, config: ArchConfig, form: GraphForm) => void;

const BUILDERS: Readonly<Record<Family, FamilyBuilder>> = {
  gpt: buildGpt,
  llama: buildLlama,
  moe: buildMoe,
  deepseek: buildDeepseek,
  bert: buildBert,
  t5: buildT5,
  vit: buildVit,
};

/**
 * Writes the graph of an architecture with its operators as a real exporter leaves them. Weights are references into
 * `<name>.onnx.data`, which need not exist for planning. Throws a usage error when an option does not fit.
 */
export function buildZoo(config: ArchConfig, options: ZooOptions = {}): ModelProto {
  const sized = applyOverrides(config, options);
  const form = graphForm(sized, options);
  const builder = new GraphBuilder(sized.name, form.dtype, form.dropout);
  BUILDERS[sized.family](builder, sized, form);
  return builder.build();
}
