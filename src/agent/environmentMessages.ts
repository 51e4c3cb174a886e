/**
 * What a pool of environments and its threads say to each other: plain objects of numbers and typed arrays.
 *
 *     pool -> thread    reset { seed }                 step { actions }
 *     thread -> pool    ready { spec }, once at the start; answer { ... } to each; fault { message, stack } instead
 */
import type { AgentObservation, EnvironmentSpec, Observation } from './environment.js';

/** Where a thread finds what builds its environments: an exported function (data, index) => Environment. */
export interface EnvironmentSource {
  /** URL of a module. */
  readonly module: string;
  readonly name: string;
  /** Handed to the function; what a thread can be sent (no functions). */
  readonly data: unknown;
}

/** A thread's share of the environments. */
export interface ThreadTask {
  readonly source: EnvironmentSource;
  readonly first: number;
  readonly count: number;
}

export type PoolMessage =
  { readonly kind: 'reset'; readonly seed: number } | { readonly kind: 'step'; readonly actions: Int32Array };

export type ThreadMessage =
  | { readonly kind: 'ready'; readonly spec: EnvironmentSpec }
  | {
      readonly kind: 'answer';
      readonly observations: PackedObservations;
      /** After a reset: nothing has been earned and no episode has ended. */
      readonly rewards: Float64Array;
      readonly excesses: Float64Array;
      readonly terminated: Uint8Array;
      readonly truncated: Uint8Array;
      /** Last observations of the episodes that ended, in the order of their environments. */
      readonly last: PackedObservations;
    }
  | { readonly kind: 'fault'; readonly message: string; readonly stack: string };

/** Observations laid end to end. */
export interface PackedObservations {
  readonly optionCount: Int32Array;
  readonly options: Float32Array;
  readonly mask: Uint8Array;
  readonly context: Float32Array;
  /** Whose turn it is, -1 where nobody is named. */
  readonly agent: Int32Array;
}

export function packObservations(
  spec: EnvironmentSpec,
  observations: readonly Observation[],
): PackedObservations {
  const n = observations.length;
  let rows = 0;
  for (const o of observations) rows += o.optionCount;
  const packed = {
    optionCount: new Int32Array(n),
    options: new Float32Array(rows * spec.optionFeatures),
    mask: new Uint8Array(rows),
    context: new Float32Array(n * spec.contextFeatures),
    agent: new Int32Array(n).fill(-1),
  };
  let row = 0;
  observations.forEach((o, i) => {
    packed.optionCount[i] = o.optionCount;
    packed.options.set(o.options, row * spec.optionFeatures);
    packed.mask.set(o.mask, row);
    packed.context.set(o.context, i * spec.contextFeatures);
    packed.agent[i] = (o as Partial<AgentObservation>).agent ?? -1;
    row += o.optionCount;
  });
  return packed;
}

/** Views into the packed arrays, which must not change afterwards. */
export function unpackObservations(spec: EnvironmentSpec, packed: PackedObservations): Observation[] {
  const { optionCount, options, mask, context, agent } = packed;
  const { optionFeatures: o, contextFeatures: c } = spec;
  let row = 0;
  return Array.from(optionCount, (count, i) => {
    const observation = {
      optionCount: count,
      options: options.subarray(row * o, (row + count) * o),
      mask: mask.subarray(row, row + count),
      context: context.subarray(i * c, (i + 1) * c),
    };
    row += count;
    return agent[i] < 0 ? observation : { ...observation, agent: agent[i] };
  });
}

/** What moves to the other thread without a copy. */
export function buffersOf(packed: PackedObservations): ArrayBuffer[] {
  return Object.values(packed).map(
    (array: Int32Array | Float32Array | Uint8Array) => array.buffer as ArrayBuffer,
  );
}
