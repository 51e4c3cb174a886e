/**
 * A search kept on file: every plan that was priced and what its price was, one JSON value a line.
 *
 *     {"format":"partition search","schemaVersion":1,"programVersion":...,"model":...,"columns":{"plan":[...],"price":[...]}}
 *     [[1,8,1,1,...,"1f1b",4,"tp-cp-dp-pp","000",[14]],[1,0.0123,...]]      decisions and price of one evaluation
 *     ...
 *     {"evaluations":2000,"sha256":"..."}                                  of every byte before this line
 *
 * The header holds whatever the prices depend on beside the model: cluster and stack profile are written out, so that a
 * record can be priced again when the files they came from are gone or changed. Numbers are written so that they read
 * back bit by bit. No wall time: the same search gives the same bytes.
 */
import { createHash } from 'node:crypto';
import type { Cluster } from '../cluster/types.js';
import type { StackProfile } from '../cost/stack.js';
import type { Candidate } from '../plan/types.js';
import { createEstimate } from './estimate.js';
import type { Estimate, PlanProblem, Simulator } from './types.js';

export const RECORD_FORMAT = 'partition search';
export const RECORD_SCHEMA = 1;

export interface RecordHeader {
  readonly format: typeof RECORD_FORMAT;
  readonly schemaVersion: number;
  readonly programVersion: string;
  /** File name without its folder. */
  readonly model: { readonly name: string; readonly digest: string };
  readonly cluster: {
    readonly name: string;
    readonly devices: number;
    readonly digest: string;
    readonly definition: Cluster;
  };
  readonly stack: { readonly name: string; readonly definition: StackProfile };
  /** Laid over the presets. */
  readonly calibration: { readonly name: string; readonly digest: string } | null;
  readonly phase: string;
  readonly precision: string;
  readonly globalBatch: number;
  readonly sequenceLength: number;
  /** What else was set for the problem: bindings, objective ... */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly search: { readonly method: string; readonly seed: number };
  readonly columns: { readonly plan: readonly string[]; readonly price: readonly string[] };
}

/** Decisions in the order of their columns; then `recompute`, a digit a class, and `stages`, segments of each. */
export const DECISIONS = [
  'dpReplicate',
  'dpShard',
  'tp',
  'pp',
  'vpp',
  'cp',
  'ep',
  'etp',
  'zeroStage',
  'schedule',
  'microbatch',
  'axisOrder',
  'contextExchange',
  'leanness',
] as const satisfies readonly (keyof Candidate)[];

type Unlisted = Exclude<keyof Candidate, (typeof DECISIONS)[number] | 'recompute' | 'stageStart'>;
type Nothing<T extends never> = T;
/** Fails to compile when a decision is not recorded. */
export type UnlistedDecisions = Nothing<Unlisted>;

const BREAKDOWN = Object.keys(createEstimate().breakdown) as (keyof Estimate['breakdown'])[];
const TOTALS = [
  'stepTimeSec',
  'peakMemoryBytes',
  'memoryCapacityBytes',
  'overflowBytes',
  'worstRank',
  'energyJoulesPerStep',
  'costPerStep',
  'planBoundSec',
] as const satisfies readonly (keyof Estimate)[];

export const PLAN_COLUMNS: readonly string[] = [...DECISIONS, 'recompute', 'stages'];
/** `fits` is 1 or 0. */
export const PRICE_COLUMNS: readonly string[] = ['fits', ...TOTALS, ...BREAKDOWN];

/** The price as numbers in the order of the columns. */
export function priceRow(estimate: Estimate, out: Float64Array): Float64Array {
  let at = 0;
  out[at++] = estimate.fits ? 1 : 0;
  for (const name of TOTALS) out[at++] = estimate[name];
  for (const name of BREAKDOWN) out[at++] = estimate.breakdown[name];
  return out;
}

/** The decisions as JSON, without spaces: equal candidates give equal text. */
export function planText(c: Candidate): string {
  let text = '';
  for (const name of DECISIONS) {
    const value = c[name] ?? 0;
    text += typeof value === 'string' ? `"${value}",` : `${value},`;
  }
  text += '"';
  for (const policy of c.recompute) text += policy;
  text += '",[';
  const { stageStart } = c;
  for (let v = 1; v < stageStart.length; v++)
    text += v === 1 ? stageStart[1] - stageStart[0] : `,${stageStart[v] - stageStart[v - 1]}`;
  return `[${text}]]`;
}

/** Shortest text that reads back as the same double; what JSON has no number for is quoted. */
function numberText(x: number): string {
  if (x === 0) return Object.is(x, -0) ? '-0' : '0';
  return x - x === 0 ? String(x) : `"${x}"`;
}

/** Bytes are handed on in runs of about this many. */
const RUN_CHARACTERS = 1 << 16;

export class Recorder {
  evaluations = 0;
  private text: string;
  private readonly hash = createHash('sha256');
  private readonly row = new Float64Array(PRICE_COLUMNS.length);

  /** @param append takes the next bytes of the file */
  constructor(
    header: Omit<RecordHeader, 'format' | 'schemaVersion' | 'columns'>,
    private readonly append: (bytes: Uint8Array) => void,
  ) {
    const whole: RecordHeader = {
      format: RECORD_FORMAT,
      schemaVersion: RECORD_SCHEMA,
      ...header,
      columns: { plan: PLAN_COLUMNS, price: PRICE_COLUMNS },
    };
    this.text = `${JSON.stringify(whole)}\n`;
  }

  add(candidate: Candidate, estimate: Estimate): void {
    this.evaluations++;
    const row = priceRow(estimate, this.row);
    let line = numberText(row[0]);
    for (let i = 1; i < row.length; i++) line += `,${numberText(row[i])}`;
    this.text += `[${planText(candidate)},[${line}]]\n`;
    if (this.text.length >= RUN_CHARACTERS) this.flush();
  }

  /** Writes the last line; nothing may be added any more. */
  close(): void {
    this.flush();
    const footer = { evaluations: this.evaluations, sha256: this.hash.digest('hex') };
    this.append(Buffer.from(`${JSON.stringify(footer)}\n`));
  }

  private flush(): void {
    const bytes = Buffer.from(this.text);
    this.hash.update(bytes);
    this.append(bytes);
    this.text = '';
  }
}

/** A simulator that notes every price it gives. */
export class RecordingSimulator implements Simulator {
  constructor(
    private readonly simulator: Simulator,
    private readonly recorder: Recorder,
  ) {}

  get problem(): PlanProblem {
    return this.simulator.problem;
  }

  get evaluations(): number {
    return this.simulator.evaluations;
  }

  estimate(candidate: Candidate, out: Estimate): Estimate {
    this.simulator.estimate(candidate, out);
    this.recorder.add(candidate, out);
    return out;
  }
}
