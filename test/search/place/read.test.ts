import { expect } from 'chai';
import { readPiperProblem, readPlaceProblem, workloadFormat } from '../../../src/search/place/index.js';
import { PartitionError } from '../../../src/util/errors.js';

interface Draft {
  devices: Record<string, unknown>[];
  ops: Record<string, unknown>[];
  edges: Record<string, unknown>[];
}

function draft(): Draft {
  return {
    devices: [{ name: 'gpu', count: 2 }],
    ops: [
      { name: 'a', time: { gpu: 1 } },
      { name: 'b', time: { gpu: 2 } },
    ],
    edges: [{ from: 'a', to: 'b', transferTime: 1 }],
  };
}

function fault(document: unknown): string {
  try {
    readPlaceProblem(document, 'w.json');
  } catch (e) {
    if (e instanceof PartitionError) return e.line();
    throw e;
  }
  return 'accepted';
}

describe('workload files', () => {
  it('are told apart by their fields', () => {
    expect(workloadFormat(draft(), 'w')).to.equal('own');
    expect(workloadFormat({ maxFPGAs: 1, nodes: [] }, 'w')).to.equal('dnn-partitioning');
    expect(workloadFormat({ maxDevices: 1, mbsInBatch: 1 }, 'w')).to.equal('piper');
    expect(() => workloadFormat([], 'w')).to.throw(/not a workload/);
  });

  it('are refused with the name of the operator at fault', () => {
    const change = (edit: (w: Draft) => void): string => {
      const w = draft();
      edit(w);
      return fault(w);
    };
    expect(change((w) => (w.ops[1]['time'] = { gpu: -1 }))).to.match(
      /op b.*gpu: expected a number of at least 0, found -1/,
    );
    expect(change((w) => (w.ops[1]['time'] = {}))).to.match(/op b.*no device kind gpu/);
    expect(change((w) => (w.ops[1]['time'] = { gpu: 1, tpu: 1 }))).to.match(/op b.*device kinds.*tpu/);
    expect(change((w) => w.edges.push({ from: 'b', to: 'a', transferTime: 0 }))).to.match(
      /op [ab].*cycle through/,
    );
    expect(change((w) => w.edges.push({ from: 'b', to: 'c', transferTime: 0 }))).to.match(/edges\[1\].*"c"/);
    expect(change((w) => (w.edges[0]['transferTime'] = -2))).to.match(/edges\[0\].*transferTime.*-2/);
    expect(change((w) => (w.ops[1]['name'] = 'a'))).to.match(/op a.*new/);
    expect(change((w) => (w.devices[0]['count'] = 1.5))).to.match(/devices\[0\].*count.*1\.5/);
    expect(change((w) => (w.ops[0]['sizeBytes'] = '4'))).to.match(/op a.*sizeBytes/);
    const node = { id: 1, name: 'conv', fpgaLatency: 1, cpuLatency: -3, supportedOnFpga: 1 };
    const dnn = { maxFPGAs: 1, maxCPUs: 1, maxSizePerFPGA: 1, nodes: [node], edges: [] };
    expect(fault(dnn)).to.match(/node conv.*cpuLatency/);
    const piper = { maxDevices: 1, mbsInBatch: 1, bandwidth: 1, maxMemoryPerDevice: 1, edges: [] };
    expect(() => readPiperProblem({ ...piper, nodes: [{ id: 1, name: 'x', TMPCs: {} }] }, 'w')).to.throw(
      /no configuration/,
    );
  });

  it('pay a tensor with several readers once, and different tensors apart', () => {
    const w = draft();
    w.ops.push({ name: 'c', time: { gpu: 1 } });
    w.edges.push({ from: 'a', to: 'c', transferTime: 1 });
    expect(readPlaceProblem(w, 'w').tensorTime).to.have.length(1);
    w.edges[1]['tensor'] = 'second';
    expect(readPlaceProblem(w, 'w').tensorTime).to.have.length(2);
  });
});
