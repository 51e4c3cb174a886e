/** Files that start a plan with the tools that its users run. */
import { megatron } from './megatron.js';
import { registerEmitTarget } from './registry.js';

for (const target of [megatron]) registerEmitTarget(target);

export { emitTarget, emitTargets, registerEmitTarget } from './registry.js';
export type { EmitInput, EmitModel, EmitTarget, Emitted, EmittedFile, NotExpressed } from './types.js';
