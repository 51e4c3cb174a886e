/** Files that start a plan with the tools that its users run. */
import { accelerate } from './accelerate.js';
import { chakra } from './chakra.js';
import { deepspeed } from './deepspeed.js';
import { jax } from './jax.js';
import { kubernetes } from './kubernetes.js';
import { maxtext } from './maxtext.js';
import { megatron } from './megatron.js';
import { onnx } from './onnx.js';
import { rankfile } from './rankfile.js';
import { shardy } from './shardy.js';
import { slurm } from './slurm.js';
import { torch } from './torch.js';
import { torchtitan } from './torchtitan.js';
import { registerEmitTarget } from './registry.js';

for (const target of [
  megatron,
  torchtitan,
  deepspeed,
  maxtext,
  accelerate,
  torch,
  jax,
  shardy,
  onnx,
  slurm,
  kubernetes,
  rankfile,
  chakra,
])
  registerEmitTarget(target);

export { emitTarget, emitTargets, registerEmitTarget } from './registry.js';
export type { EmitInput, EmitModel, EmitTarget, Emitted, EmittedFile, NotExpressed } from './types.js';
