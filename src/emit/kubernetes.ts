/** Kubernetes: a JobSet, and the same job as a TrainJob of Kubeflow. */
import { stringify } from 'yaml';
import { hostsOf, nodeHosts } from './hosts.js';
import { Notes, commented, headerLines } from './notes.js';
import { noteFrequency, vendorOf } from './sizes.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

const JOB = 'partition';
const REPLICATED_JOB = 'rank';

/** What a pod asks for to get an accelerator. */
const RESOURCE: Readonly<Record<string, string>> = {
  nvidia: 'nvidia.com/gpu',
  amd: 'amd.com/gpu',
  google: 'google.com/tpu',
  aws: 'aws.amazon.com/neuron',
};

export const kubernetes: EmitTarget = {
  name: 'kubernetes',
  toolVersion: 'JobSet v1alpha2 (v0.13), Kubeflow Trainer v1alpha1 (v2.3)',
  about: 'JobSet and TrainJob in YAML',
  needs: ['cluster'],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteFrequency(plan, notes);
    const hosts = hostsOf(plan, input.cluster)!;
    if (hosts.perHost === 0) notes.blocks('hosts of unlike size', 'the pods of a job are alike');
    if (input.cluster!.groups.length > 1)
      notes.blocks(
        'hosts of several kinds',
        'the pods of a job are alike; write a replicated job for each kind',
      );
    const nodes = nodeHosts(plan, hosts, null);
    const inOrder = nodes?.every((host, k) => host === k) ?? false;
    if (!inOrder) notes.differs('an irregular map of ranks to devices', 'ranks are dealt to pods in order');
    notes.differs(
      'neighbouring hosts for neighbouring pods',
      'pods are numbered, and the scheduler places them; exclusive-topology or Kueue can keep them close',
    );
    notes.differs('image and training command', 'write them where the files say IMAGE and TRAIN');
    const perHost = hosts.perHost || Math.max(...hosts.devices);
    const header = commented(headerLines(kubernetes, input, notes));
    const resource = RESOURCE[vendorOf(input) ?? 'nvidia'] ?? 'nvidia.com/gpu';
    const yaml = (document: unknown): string =>
      header + stringify(document, { lineWidth: 0, version: '1.1' });
    return {
      files: [
        { name: 'jobset.yaml', content: yaml(jobSet(hosts.devices.length, perHost, resource)) },
        { name: 'trainjob.yaml', content: yaml(trainJob(hosts.devices.length, perHost, resource)) },
      ],
      notExpressed: notes.all,
    };
  },
};

function jobSet(nodes: number, perHost: number, resource: string): unknown {
  // The first pod of the first job; JOB_COMPLETION_INDEX numbers the pods.
  const master = `${JOB}-${REPLICATED_JOB}-0-0.${JOB}`;
  const command = [
    `exec torchrun --nnodes ${nodes} --nproc-per-node ${perHost} --node-rank "$JOB_COMPLETION_INDEX"`,
    `--master-addr ${master} --master-port 29500 TRAIN`,
  ].join(' ');
  return {
    apiVersion: 'jobset.x-k8s.io/v1alpha2',
    kind: 'JobSet',
    metadata: { name: JOB },
    spec: {
      network: { enableDNSHostnames: true, subdomain: JOB, publishNotReadyAddresses: true },
      failurePolicy: { maxRestarts: 0 },
      replicatedJobs: [
        {
          name: REPLICATED_JOB,
          replicas: 1,
          template: {
            spec: {
              parallelism: nodes,
              completions: nodes,
              completionMode: 'Indexed',
              backoffLimit: 0,
              template: {
                spec: {
                  restartPolicy: 'Never',
                  containers: [
                    {
                      name: 'train',
                      image: 'IMAGE',
                      command: ['bash', '-c', command],
                      ports: [{ containerPort: 29500 }],
                      resources: { limits: { [resource]: perHost } },
                    },
                  ],
                },
              },
            },
          },
        },
      ],
    },
  };
}

function trainJob(nodes: number, perHost: number, resource: string): unknown {
  return {
    apiVersion: 'trainer.kubeflow.org/v1alpha1',
    kind: 'TrainJob',
    metadata: { name: JOB },
    spec: {
      runtimeRef: {
        apiGroup: 'trainer.kubeflow.org',
        kind: 'ClusterTrainingRuntime',
        name: 'torch-distributed',
      },
      trainer: {
        image: 'IMAGE',
        command: ['torchrun', 'TRAIN'],
        numNodes: nodes,
        numProcPerNode: perHost,
        resourcesPerNode: { limits: { [resource]: perHost } },
      },
    },
  };
}
