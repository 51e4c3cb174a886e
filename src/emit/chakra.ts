/** Chakra execution traces of the plan's simulated step. */
import { Notes } from './notes.js';
import { noteFrequency } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted, EmittedFile } from './types.js';

export const chakra: EmitTarget = {
  name: 'chakra',
  toolVersion: 'MLCommons Chakra 1.0.0 (21585d8), ASTRA-sim (518bd51)',
  about: 'execution traces for ASTRA-sim, one device of every pipeline rank',
  needs: ['model', 'cluster'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteFrequency(plan, notes);
    if (plan.degrees.pp < plan.cluster.devices)
      notes.differs(
        `traces of all ${plan.cluster.devices} devices`,
        'one of every pipeline rank, as the others of its stage do the same; partition simulate --chakra --chakra-ranks all writes all',
      );
    return { files: traceFiles(input), notExpressed: notes.all };
  },
};

function* traceFiles({ traces }: EmitInput): Generator<EmittedFile> {
  for (const { suffix, bytes } of traces!()) yield { name: `trace${suffix}`, content: bytes };
}
