/** Collectives one by one, for time lines that other simulators run. */
import type { TpKind } from './types.js';

/** One collective of a layer class, of one microbatch. */
export interface ClassCollective {
  readonly axis: 'tp' | 'cp' | 'ep';
  readonly kind: TpKind;
  readonly forward: boolean;
  readonly backward: boolean;
  /** Of the buffer that each rank gives: a shard of what it gathers, all of what it reduces, scatters or exchanges. */
  readonly inputBytes: number;
  /** As priced, before any overlap. */
  readonly timeSec: number;
}
