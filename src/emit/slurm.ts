/** Slurm: a batch script whose rank mapping realises the plan's axis order on the hosts. */
import { deviceOf, hostsOf, nodeHosts } from './hosts.js';
import type { Hosts } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { asked } from './shell.js';
import { noteFrequency, vendorOf } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted, EmittedFile } from './types.js';

export const slurm: EmitTarget = {
  name: 'slurm',
  toolVersion: 'Slurm 26.11-rc1 (284c3b95f0), torchrun of PyTorch 2.6',
  about: 'sbatch script with the rank mapping that realises the axis order on hosts',
  needs: ['cluster'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteFrequency(plan, notes);
    const hosts = hostsOf(plan, input.cluster)!;
    if (input.cluster!.groups.length > 1)
      notes.differs(
        'hosts of several kinds',
        `the first hosts of the allocation must be ${input.cluster!.groups.map((g) => `${Math.ceil(g.deviceCount / g.devicesPerHost)} of ${g.name}`).join(', then ')}: order them with --nodelist, or HOSTS`,
      );
    const nodes = nodeHosts(plan, hosts, null);
    const files: EmittedFile[] = [];
    const lines = nodes === null ? perRank(input, hosts, files) : perNode(hosts, nodes, files);
    const script = [
      '#!/usr/bin/env bash\n',
      ...directives(input, hosts, nodes !== null),
      commented(headerLines(slurm, input, notes)),
      commented(mapLines(input)),
      'set -euo pipefail\n\n',
      asked('TRAIN_COMMAND', 'program and arguments that every rank runs, such as train.py --config x'),
      ...lines,
    ].join('');
    return {
      files: [{ name: 'job.sbatch', content: script, executable: true }, ...files],
      notExpressed: notes.all,
    };
  },
};

/** `tp 8 (every 1), dp 4 (every 8)`: the mesh in a comment. */
function mapLines({ plan }: EmitInput): string[] {
  const axes = plan.mesh.axes
    .filter((a) => a.size > 1)
    .map((a) => `${a.name} ${a.size} (stride ${a.stride})`);
  return ['', `rank = sum of coordinate * stride, innermost first: ${axes.join(', ') || 'one rank'}`];
}

function directives(input: EmitInput, { devices, perHost }: Hosts, taskPerNode: boolean): string[] {
  const most = perHost || Math.max(...devices);
  const gpus = vendorOf(input) === 'google' || vendorOf(input) === 'aws' ? [] : [`--gpus-per-node=${most}`];
  const options = [
    `--nodes=${devices.length}`,
    ...(taskPerNode ? ['--ntasks-per-node=1'] : [`--ntasks=${input.plan.cluster.devices}`]),
    ...gpus,
    '--exclusive',
    '--job-name=partition',
  ];
  return options.map((option) => `#SBATCH ${option}\n`);
}

const HOST_LIST = [
  '# Hosts in the order of the cluster; HOSTS="a b c" takes another.\n',
  'mapfile -t ALL < <(if [[ -n "${HOSTS:-}" ]]; then printf "%s\\n" $HOSTS; else scontrol show hostnames "$SLURM_JOB_NODELIST"; fi)\n',
  'HERE=${SLURM_SUBMIT_DIR:-.}\n',
  'SLURM_HOSTFILE=$(mktemp "${TMPDIR:-/tmp}/hosts.XXXXXX")\n',
  'export SLURM_HOSTFILE\n',
  'trap \'rm -f "$SLURM_HOSTFILE"\' EXIT\n',
];

const MASTER = [
  'export MASTER_ADDR=$(head -n 1 "$SLURM_HOSTFILE") MASTER_PORT=${MASTER_PORT:-29500}\n',
  '# The host file alone says how many hosts and tasks there are.\n',
  'unset SLURM_NNODES SLURM_JOB_NUM_NODES SLURM_NTASKS_PER_NODE\n\n',
];

/** One task a host, ranks in blocks: host of node k in `nodes[k]`. */
function perNode({ devices, perHost }: Hosts, nodes: readonly number[], files: EmittedFile[]): string[] {
  const torchrun = [
    `  --nnodes ${devices.length} --nproc-per-node ${perHost} --node-rank "$SLURM_PROCID" \\\n`,
    '  --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT" \'"$TRAIN_COMMAND"\n',
  ];
  if (nodes.every((host, k) => host === k))
    return [
      'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) MASTER_PORT=${MASTER_PORT:-29500}\n\n',
      '# Task k runs on host k: rank = k * processes of a host + local rank.\n',
      `srun --nodes=${devices.length} --ntasks-per-node=1 --distribution=block bash -c 'torchrun \\\n`,
      ...torchrun,
    ];
  files.push({ name: 'node_hosts', content: nodes.map((h) => `${h}\n`).join('') });
  return [
    ...HOST_LIST,
    '# Line k of node_hosts is the host of ranks k * processes and on, counted in the order of the cluster.\n',
    'while read -r host; do printf "%s\\n" "${ALL[$host]}"; done < "$HERE/node_hosts" > "$SLURM_HOSTFILE"\n',
    ...MASTER,
    `srun --ntasks=${devices.length} --distribution=arbitrary bash -c 'torchrun \\\n`,
    ...torchrun,
  ];
}

/** One task a rank, where the ranks of a host do not follow each other. */
function perRank({ plan }: EmitInput, hosts: Hosts, files: EmittedFile[]): string[] {
  const ranks = Array.from({ length: plan.cluster.devices }, (_, rank) => hosts.hostOf[deviceOf(plan, rank)]);
  files.push({ name: 'rank_hosts', content: ranks.map((h) => `${h}\n`).join('') });
  return [
    ...HOST_LIST,
    '# Line r of rank_hosts is the host of rank r, counted in the order of the cluster.\n',
    'while read -r host; do printf "%s\\n" "${ALL[$host]}"; done < "$HERE/rank_hosts" > "$SLURM_HOSTFILE"\n',
    ...MASTER,
    `srun --ntasks=${plan.cluster.devices} --distribution=arbitrary bash -c 'RANK=$SLURM_PROCID \\\n`,
    '  LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS exec python3 \'"$TRAIN_COMMAND"\n',
  ];
}
