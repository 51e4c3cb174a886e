/**
 * The placement problem: a graph of profiled operators, and devices of a few kinds. Nothing is modelled here: times and sizes are
 * given. Struct-of-arrays; operators, kinds and tensors are integer ids.
 *
 * A tensor is what one operator sends: it is paid once by every device that sends or receives it over its border, unless the
 * device's kind reads host memory freely (the communication model of Tarnawski et al., "Efficient Algorithms for Device Placement
 * of DNN Graph Operators", NeurIPS 2020, section 3).
 */

/** Devices that are alike. */
export interface DeviceKind {
  readonly name: string;
  readonly count: number;
  /** Memory of each, in bytes; Infinity when unlimited. */
  readonly memoryBytes: number;
  /** Whether transfers into and out of such a device take its time (an accelerator), or not (a CPU beside its memory). */
  readonly paysTransfers: boolean;
}

export interface PlaceProblem {
  /** Operators as the file calls them. */
  readonly names: readonly string[];
  /** The file's own ids, in the same order. */
  readonly ids: readonly (string | number)[];
  readonly kinds: readonly DeviceKind[];
  /** `[kind * ops + op]`: time on a device of the kind, in the file's unit; Infinity where it cannot run. */
  readonly time: Float64Array;
  /** Memory that the operator takes on its device, in bytes. */
  readonly sizeBytes: Float64Array;
  /** 1 for an operator of the backward pass: contiguity is asked of the forward pass only. */
  readonly backward: Uint8Array;
  /** Operators of one colour go to one device; colours are 0, 1, 2, ... */
  readonly color: Int32Array;
  readonly colors: number;
  readonly edgeSource: Int32Array;
  readonly edgeTarget: Int32Array;
  /** Tensor of each edge. */
  readonly edgeTensor: Int32Array;
  /** Transfer time of each tensor out of, or into, a device. */
  readonly tensorTime: Float64Array;
  /** The operator that makes each tensor. */
  readonly tensorSource: Int32Array;
}

/** Number of devices of all kinds. */
export function deviceCount(problem: PlaceProblem): number {
  return problem.kinds.reduce((sum, kind) => sum + kind.count, 0);
}

/** Kind of each device; devices of one kind stand together, in the order of the kinds. */
export function deviceKinds(problem: PlaceProblem): Int32Array {
  const kindOf = new Int32Array(deviceCount(problem));
  let device = 0;
  problem.kinds.forEach((kind, k) => {
    for (let i = 0; i < kind.count; i++) kindOf[device++] = k;
  });
  return kindOf;
}

/** `accelerator:0` and so on. */
export function deviceNames(problem: PlaceProblem): string[] {
  return problem.kinds.flatMap((kind) => Array.from({ length: kind.count }, (_, i) => `${kind.name}:${i}`));
}

/**
 * Operators in an order in which every one comes after those that it reads (Kahn). Of those that are ready the one with the
 * least priority comes first when priorities are given.
 *
 * @returns as many as can be ordered: fewer than there are when the edges hold a cycle
 */
export function topologicalOrder(
  count: number,
  source: Int32Array,
  target: Int32Array,
  priority?: Float64Array,
): Int32Array {
  const waits = new Int32Array(count);
  const first = new Int32Array(count + 1);
  for (let e = 0; e < source.length; e++) {
    waits[target[e]]++;
    first[source[e] + 1]++;
  }
  for (let v = 0; v < count; v++) first[v + 1] += first[v];
  const next = first.slice(0, count);
  const targets = new Int32Array(source.length);
  for (let e = 0; e < source.length; e++) targets[next[source[e]]++] = target[e];
  const order = new Int32Array(count);
  const ready: number[] = [];
  for (let v = 0; v < count; v++) if (waits[v] === 0) ready.push(v);
  let head = 0;
  let done = 0;
  while (head < ready.length) {
    if (priority !== undefined) {
      let least = head;
      for (let i = head + 1; i < ready.length; i++)
        if (priority[ready[i]] < priority[ready[least]]) least = i;
      const swap = ready[head];
      ready[head] = ready[least];
      ready[least] = swap;
    }
    const v = ready[head++];
    order[done++] = v;
    for (let i = first[v]; i < first[v + 1]; i++) if (--waits[targets[i]] === 0) ready.push(targets[i]);
  }
  return order.subarray(0, done);
}
