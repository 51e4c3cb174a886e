/** Pieces of shell scripts: variables that must be set, and torchrun over the plan's hosts. */
import type { Notes } from './notes.js';
import type { Hosts } from './hosts.js';
import type { EmitInput } from './types.js';

/** A line that ends the script with a clear message where the variable is not set. */
export function asked(variable: string, what: string): string {
  return `: "\${${variable}:?set it: ${what.replace(/["$`\\]/g, '')}}"\n`;
}

export interface Torchrun {
  /** Lines that ask for what differs between hosts. */
  readonly variables: string;
  /** Up to the script. */
  readonly command: string;
}

/**
 * torchrun with static rendezvous: rank = node rank * processes of a node + local rank. The dynamic one would number the
 * nodes by their names.
 */
export function torchrunLines({ plan }: EmitInput, notes: Notes, hosts: Hosts | null): Torchrun {
  const { devices } = plan.cluster;
  if (hosts === null) {
    notes.differs('hosts of a cluster that is not known', 'set DEVICES_PER_HOST to the devices of one host');
    return {
      variables: asked('DEVICES_PER_HOST', 'devices of one host') + hostVariables(true),
      command: torchrun(`$((${devices} / DEVICES_PER_HOST))`, '"$DEVICES_PER_HOST"'),
    };
  }
  if (hosts.perHost === 0)
    notes.blocks(
      `hosts with ${[...new Set(hosts.devices)].sort((a, b) => a - b).join(' and ')} devices`,
      'torchrun starts as many processes on every host; give the job hosts of one size',
    );
  const perHost = hosts.perHost || Math.max(...hosts.devices);
  return {
    variables: hostVariables(hosts.devices.length > 1),
    command: torchrun(String(hosts.devices.length), String(perHost)),
  };
}

function hostVariables(several: boolean): string {
  return several
    ? asked('NODE_RANK', 'number of this host, from 0') + asked('MASTER_ADDR', 'address of host 0')
    : 'NODE_RANK=0\nMASTER_ADDR=${MASTER_ADDR:-127.0.0.1}\n';
}

function torchrun(nodes: string, perHost: string): string {
  return `exec torchrun --nnodes ${nodes} --nproc-per-node ${perHost} --node-rank "$NODE_RANK" \\
  --master-addr "$MASTER_ADDR" --master-port "\${MASTER_PORT:-29500}"`;
}
