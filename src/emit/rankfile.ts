/** Open MPI: which rank stands on which host and core, and the hosts with their slots. */
import { deviceOf, hostsOf } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked } from './shell.js';
import { noteFrequency } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

export const rankfile: EmitTarget = {
  name: 'rankfile',
  toolVersion: 'Open MPI 6.1.0a1 (8efebee745)',
  about: 'rankfile and hostfile for mpirun',
  needs: ['cluster'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteFrequency(plan, notes);
    notes.differs(
      'processes of a host beside their accelerators',
      'the k-th rank of a host is bound to its logical core k; set the cores of your hosts, or --bind-to none',
    );
    const hosts = hostsOf(plan, input.cluster)!;
    const header = commented(headerLines(rankfile, input, notes));
    const used = new Int32Array(hosts.devices.length);
    const lines: string[] = [];
    for (let rank = 0; rank < plan.cluster.devices; rank++) {
      const host = hosts.hostOf[deviceOf(plan, rank)];
      lines.push(`rank ${rank}=+n${host} slot=${used[host]++}\n`);
    }
    const script = [
      '#!/usr/bin/env bash\n',
      header,
      'set -euo pipefail\n\n',
      asked('TRAIN_COMMAND', 'program that every rank runs; its rank is in OMPI_COMM_WORLD_RANK'),
      'HERE=$(cd "$(dirname "$0")" && pwd)\n',
      '# The hostfile names hosts host-0, host-1, ...: write your own names, in this order.\n',
      `exec mpirun -n ${plan.cluster.devices} --hostfile "\${HOSTFILE:-$HERE/hostfile}" \\\n`,
      '  --map-by "rankfile:file=$HERE/rankfile" $TRAIN_COMMAND "$@"\n',
    ].join('');
    return {
      files: [
        { name: 'rankfile', content: header + lines.join('') },
        {
          name: 'hostfile',
          content: header + hosts.devices.map((d, h) => `host-${h} slots=${d}\n`).join(''),
        },
        { name: 'mpirun.sh', content: script, executable: true },
      ],
      notExpressed: notes.all,
    };
  },
};
