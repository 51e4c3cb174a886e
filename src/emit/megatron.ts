/** Megatron-LM arguments as a shell script for torchrun. */
import { hostsOf } from './hosts.js';
import { megatronModel } from './megatronModel.js';
import type { Argument } from './megatronModel.js';
import { megatronParallel, megatronTraining, usesMegatronFsdp } from './megatronParallel.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked, torchrunLines } from './shell.js';
import { shellWord } from '../util/shell.js';
import { noteRankMap, noteTraining } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

export const megatron: EmitTarget = {
  name: 'megatron',
  toolVersion: 'Megatron-LM, Megatron-Core 0.20.0 (d98e8a64dd)',
  about: 'shell script that starts pretrain_gpt.py under torchrun',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    noteTraining(input, notes, 'Megatron-LM', ['nvidia', 'amd']);
    noteRankMap(input.plan, notes);
    const parallel = megatronParallel(input, notes);
    const training = megatronTraining(input, notes);
    const model = megatronModel(input, notes);
    const run = torchrunLines(input, notes, hostsOf(input.plan, input.cluster));
    const { tp, cp } = input.plan.degrees;
    const connections = usesMegatronFsdp(input.plan)
      ? '# Megatron-FSDP overlaps its collectives only with more than one connection.\nunset CUDA_DEVICE_MAX_CONNECTIONS\n'
      : tp * cp > 1
        ? 'export CUDA_DEVICE_MAX_CONNECTIONS=1\n'
        : '';
    const vocabulary = model.find(([flag]) => flag === '--vocab-size')!;
    const content = [
      '#!/usr/bin/env bash\n',
      commented(headerLines(megatron, input, notes)),
      'set -euo pipefail\n\n',
      asked('MEGATRON_DIR', 'folder of Megatron-LM'),
      asked('TRAIN_ITERS', 'steps to train'),
      asked('LR', 'peak learning rate'),
      ...model.flatMap((argument) =>
        argument.slice(1).flatMap((v) => (typeof v === 'object' ? [asked(v.variable, v.what)] : [])),
      ),
      run.variables,
      connections,
      '\n',
      shellArray(
        'MODEL_ARGS',
        model.filter((argument) => argument !== vocabulary),
      ),
      shellArray('PARALLEL_ARGS', parallel),
      shellArray('TRAINING_ARGS', [...training, ['--train-iters', '$TRAIN_ITERS'], ['--lr', '$LR']]),
      '# Without DATA_ARGS: made-up data, which is enough to time a step.\n',
      `DATA_ARGS=\${DATA_ARGS:-"--mock-data --tokenizer-type NullTokenizer --vocab-size ${argumentText(vocabulary[1])}"}\n\n`,
      `${run.command} "$MEGATRON_DIR/pretrain_gpt.py" \\\n`,
      '  "${MODEL_ARGS[@]}" "${PARALLEL_ARGS[@]}" "${TRAINING_ARGS[@]}" $DATA_ARGS "$@"\n',
    ].join('');
    return { files: [{ name: 'megatron.sh', content, executable: true }], notExpressed: notes.all };
  },
};

function shellArray(name: string, args: readonly Argument[]): string {
  const lines = args.map(([flag, ...values]) => `  ${[flag, ...values.map(argumentText)].join(' ')}\n`);
  return `${name}=(\n${lines.join('')})\n`;
}

function argumentText(value: Argument[1]): string {
  if (typeof value === 'object') return `"$${value.variable}"`;
  return typeof value === 'number'
    ? String(value)
    : value?.startsWith('$')
      ? `"${value}"`
      : shellWord(value ?? '');
}
