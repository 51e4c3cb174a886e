/** Every operator family, listed in one place: one import and one array line each. */
import { family as elementwise } from './elementwise.js';
import { family as logic } from './logic.js';
import { family as cast } from './cast.js';
import { family as constant } from './constant.js';
import { family as reduce } from './reduce.js';
import { family as reshape } from './reshape.js';
import { family as shapeOps } from './shape_ops.js';
import { family as movement } from './movement.js';
import { family as concatSplit } from './concat_split.js';
import { family as slicePad } from './slice_pad.js';
import { family as gatherScatter } from './gather_scatter.js';
import { family as control } from './control.js';
import { family as sequence } from './sequence.js';
import { family as ml } from './ml.js';
import { family as training } from './training.js';
import { family as matmul } from './matmul.js';
import { family as conv } from './conv.js';
import { family as pool } from './pool.js';
import { family as norm } from './norm.js';
import { family as softmax } from './softmax.js';
import { family as dropout } from './dropout.js';
import { family as attention } from './attention.js';
import { family as microsoftAttention } from './microsoft_attention.js';
import { family as quantize } from './quantize.js';
import { family as rnn } from './rnn.js';
import { family as loss } from './loss.js';
import { family as random } from './random.js';
import { family as image } from './image.js';
import { family as signal } from './signal.js';
import { family as moe } from './moe.js';
import { family as microsoftNorm } from './microsoft_norm.js';
import { family as microsoftActivation } from './microsoft_activation.js';
import { family as microsoftQuant } from './microsoft_quant.js';
import { family as microsoftMisc } from './microsoft_misc.js';
import { family as microsoftTraining } from './microsoft_training.js';
import { family as microsoftFused } from './microsoft_fused.js';
import { family as attentionPreview } from './attention_preview.js';
import type { OpFamily } from './types.js';

export const FAMILIES: readonly OpFamily[] = [
  elementwise,
  logic,
  cast,
  constant,
  reduce,
  reshape,
  shapeOps,
  movement,
  concatSplit,
  slicePad,
  gatherScatter,
  control,
  sequence,
  ml,
  training,
  matmul,
  conv,
  pool,
  norm,
  softmax,
  dropout,
  attention,
  microsoftAttention,
  quantize,
  rnn,
  loss,
  random,
  image,
  signal,
  moe,
  microsoftNorm,
  microsoftActivation,
  microsoftQuant,
  microsoftMisc,
  microsoftTraining,
  microsoftFused,
  attentionPreview,
];
