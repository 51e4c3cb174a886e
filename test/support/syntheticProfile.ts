/** A PyTorch profiler's trace of kernels on a device whose numbers are known, in the format of kineto's `output_json.cpp`. */
import type { Device, Precision, Topology } from '../../src/cluster/index.js';
import type { CollectiveKind } from '../../src/cost/collective.js';
import { collectiveTimeSec } from '../../src/cost/collective.js';
import { attentionTimeSec, gemmTimeSec, memoryBoundTimeSec } from '../../src/cost/compute.js';
import { Random } from '../../src/util/random.js';

const TYPE: Partial<Record<Precision, string>> = {
  bf16: 'c10::BFloat16',
  fp16: 'c10::Half',
  fp32: 'float',
  fp8: 'c10::Float8_e4m3fn',
};

const COLLECTIVE_NAME: Partial<Record<CollectiveKind, string>> = {
  allReduce: 'allreduce',
  allGather: '_allgather_base',
  reduceScatter: '_reduce_scatter_base',
  allToAll: 'all_to_all',
};

export class SyntheticProfile {
  readonly events: Record<string, unknown>[] = [];
  private id = 1;
  private clockUs = 1000;
  private readonly random: Random;

  /**
   * @param gapUs between kernels
   * @param noise of the kernels' times: standard deviation of their logarithm
   */
  constructor(
    private readonly device: Device,
    private readonly gapUs: number,
    private readonly noise: number,
    seed = 1,
  ) {
    this.random = new Random(seed);
  }

  /** `aten::mm` (or `aten::addmm`, `aten::bmm`), as one kernel or as a product and a reduction of its splits. */
  gemm(precision: Precision, m: number, n: number, k: number, batch = 1, kernels = 1): this {
    const type = TYPE[precision];
    const sec = gemmTimeSec(this.device, precision, batch, m, n, k);
    if (batch > 1)
      return this.operator(
        'aten::bmm',
        [
          [batch, m, k],
          [batch, k, n],
        ],
        [type, type],
        [],
        sec,
        kernels,
      );
    if (this.id % 2 === 0)
      return this.operator(
        'aten::addmm',
        [[n], [m, k], [k, n], [], []],
        [type, type, type, 'Scalar', 'Scalar'],
        [],
        sec,
        kernels,
      );
    return this.operator(
      'aten::mm',
      [
        [m, k],
        [k, n],
      ],
      [type, type],
      ['', ''],
      sec,
      kernels,
    );
  }

  attention(
    batch: number,
    heads: number,
    kvHeads: number,
    sequence: number,
    headDim: number,
    backward: boolean,
  ): this {
    const sec = attentionTimeSec(
      this.device,
      'bf16',
      batch,
      heads,
      kvHeads,
      sequence,
      sequence,
      headDim,
      true,
      backward,
    );
    const q = [batch, sequence, heads, headDim];
    const kv = [batch, sequence, kvHeads, headDim];
    const type = 'c10::BFloat16';
    if (!backward)
      return this.operator(
        'aten::_flash_attention_forward',
        [q, kv, kv, [], [], [], [], [], []],
        [type, type, type, '', '', 'Scalar', 'Scalar', 'Scalar', 'Scalar'],
        ['', '', '', '', '', String(sequence), String(sequence), '0.', 'True', 'False'],
        sec,
      );
    return this.operator(
      'aten::_flash_attention_backward',
      [q, q, kv, kv, q, [batch, heads, sequence], [], [], [], [], [], []],
      [type, type, type, type, type, 'float'],
      ['', '', '', '', '', '', '', '', String(sequence), String(sequence), '0.', 'True'],
      sec,
      3,
    );
  }

  elementwise(elements: number): this {
    const bytes = 6 * elements;
    const type = 'c10::BFloat16';
    return this.operator(
      'aten::add',
      [[elements], [elements], []],
      [type, type, 'Scalar'],
      ['', '', '1'],
      memoryBoundTimeSec(this.device, bytes),
    );
  }

  /** Kernels of several ranks wait for each other: all but some take longer than the wire needs. */
  collective(kind: CollectiveKind, bytes: number, ranks: number, stride: number, network: Topology): this {
    const sec = collectiveTimeSec(kind, bytes, { size: ranks, stride }, network);
    const waitSec = this.random.next() < 0.3 ? 0 : sec * this.random.next();
    const elements = bytes / 2;
    this.kernel('ncclDevKernel_Generic', sec + waitSec, {
      'Collective name': COLLECTIVE_NAME[kind],
      'In msg nelems': kind === 'allGather' ? elements / ranks : elements,
      'Out msg nelems': kind === 'reduceScatter' ? elements / ranks : elements,
      'Group size': ranks,
      dtype: 'BFloat16',
      'Process Group Ranks': `[${Array.from({ length: ranks }, (_, i) => i * stride).join(', ')}]`,
    });
    return this;
  }

  /** Text of the trace. */
  text(deviceName: string, totalGlobalMem = 85e9): string {
    return JSON.stringify(
      {
        schemaVersion: 1,
        deviceProperties: [{ id: 0, name: deviceName, totalGlobalMem, numSms: 132 }],
        displayTimeUnit: 'ms',
        traceEvents: [
          { name: 'process_name', ph: 'M', ts: 0, pid: 0, tid: 0, args: { name: 'python "quoted" \\ [{' } },
          ...this.events,
          { name: 'Record Window End', ph: 'i', s: 'g', pid: '', tid: '', ts: this.clockUs },
        ],
        traceName: 'trace.json',
      },
      null,
      1,
    );
  }

  private operator(
    name: string,
    dims: unknown[],
    types: unknown[],
    concrete: string[],
    sec: number,
    kernels = 1,
  ): this {
    const id = this.id++;
    this.events.push({
      ph: 'X',
      cat: 'cpu_op',
      name,
      pid: 99,
      tid: 99,
      ts: this.clockUs - 500,
      dur: 20,
      args: { 'External id': id, 'Input Dims': dims, 'Input type': types, 'Concrete Inputs': concrete },
    });
    // Some releases leave the operator's id off the kernel: then the launch has it.
    const correlated = id % 5 === 0;
    this.events.push({
      ph: 'X',
      cat: 'cuda_runtime',
      name: 'cudaLaunchKernel',
      pid: 99,
      tid: 99,
      ts: this.clockUs - 490,
      dur: 5,
      args: { 'External id': id, correlation: 100000 + id },
    });
    const noisy = sec * Math.exp(this.noise * this.random.normal());
    // The model's time of an operator holds one gap.
    for (let k = 0; k < kernels; k++)
      this.kernel(`kernel_of_${name}`, (noisy - this.gapUs * 1e-6) / kernels, {
        ...(correlated ? {} : { 'External id': id }),
        correlation: 100000 + id,
      });
    return this;
  }

  private kernel(name: string, sec: number, args: Record<string, unknown>): void {
    const dur = Number((sec * 1e6).toFixed(3));
    this.events.push({
      ph: 'X',
      cat: 'kernel',
      name,
      pid: 0,
      tid: 7,
      ts: Number(this.clockUs.toFixed(3)),
      dur,
      args: { device: 0, stream: 7, grid: [1, 1, 1], block: [128, 1, 1], ...args },
    });
    this.clockUs += dur + this.gapUs;
  }
}
