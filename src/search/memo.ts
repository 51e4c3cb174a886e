/** Remembers prices: a plan drawn twice is priced once. For solvers that draw plans at random. */
import { equalCandidates, hashCandidate } from '../plan/candidate.js';
import type { Candidate } from '../plan/types.js';
import type { Evaluator } from './evaluator.js';
import { objectiveValue } from './objective.js';
import type { Objective } from '../simulate/types.js';

/** A remembered price. */
export interface Price {
  /** The objective, whether the plan fits or not. */
  readonly value: number;
  readonly fits: boolean;
  /** Peak over capacity of the worst rank's memory. */
  readonly memoryRatio: number;
}

interface Entry extends Price {
  readonly candidate: Candidate;
}

export class PriceMemo {
  /** Plans asked for, remembered ones included. */
  asked = 0;
  /** Remembered plans asked for since the last new one. */
  repeated = 0;
  private readonly entries = new Map<number, Entry[]>();

  constructor(
    private readonly evaluator: Evaluator,
    private readonly objective: Objective,
  ) {}

  /** The candidate is kept: it must not change afterwards. */
  price(candidate: Candidate): Price {
    this.asked++;
    const hash = hashCandidate(candidate);
    let bucket = this.entries.get(hash);
    if (bucket === undefined) this.entries.set(hash, (bucket = []));
    for (const entry of bucket)
      if (equalCandidates(entry.candidate, candidate)) {
        this.repeated++;
        return entry;
      }
    this.repeated = 0;
    this.evaluator.evaluate(candidate);
    const { estimate } = this.evaluator;
    const entry: Entry = {
      candidate,
      value: objectiveValue(this.objective, estimate),
      fits: estimate.fits,
      memoryRatio: estimate.peakMemoryBytes / estimate.memoryCapacityBytes,
    };
    bucket.push(entry);
    return entry;
  }
}
