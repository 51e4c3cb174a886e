/** Returns over n steps (Sutton 1988): gathers the decisions of one episode into experiences for replay. */
import type { Observation, Step } from './environment.js';
import type { Experience } from './replay.js';

interface Pending {
  readonly observation: Observation;
  readonly choice: number;
  gain: number;
  excess: number;
  /** Discount of what comes next. */
  discount: number;
  steps: number;
}

/** One episode at a time; one per environment (or per agent of an environment). */
export class NStepReturns {
  private pending: Pending[] = [];

  constructor(
    private readonly n: number,
    private readonly discount: number,
    private readonly emit: (experience: Experience) => void,
    private readonly demonstration = false,
  ) {}

  /** Forgets what is open. */
  begin(): void {
    this.pending = [];
  }

  /** Notes a decision; what came of it follows in `earn` and `arrive`. */
  decide(observation: Observation, choice: number): void {
    this.pending.push({ observation, choice, gain: 0, excess: 0, discount: 1, steps: 0 });
  }

  /** A reward that falls to every decision still open. */
  earn({ reward, components }: Pick<Step, 'reward' | 'components'>): void {
    for (const p of this.pending) {
      p.gain += p.discount * (components?.gain ?? reward);
      p.excess += p.discount * (components?.excess ?? 0);
    }
  }

  /** The state in which the next decision is taken, after one step. */
  arrive(next: Observation): void {
    for (const p of this.pending) {
      p.discount *= this.discount;
      p.steps++;
    }
    if (this.pending.length > 0 && this.pending[0].steps >= this.n) this.release(this.pending.shift()!, next);
  }

  /** @param next the last state of an episode that was cut off, `null` of one that came to its end */
  end(next: Observation | null): void {
    if (next !== null) for (const p of this.pending) p.discount *= this.discount;
    for (const p of this.pending) this.release(p, next);
    this.pending = [];
  }

  /** A step of an environment with one agent. */
  step(observation: Observation, choice: number, step: Step): void {
    this.decide(observation, choice);
    this.earn(step);
    if (step.terminated) this.end(null);
    else if (step.truncated) this.end(step.observation);
    else this.arrive(step.observation);
  }

  private release(p: Pending, next: Observation | null): void {
    this.emit({
      observation: p.observation,
      choice: p.choice,
      gain: p.gain,
      excess: p.excess,
      next,
      nextDiscount: next === null ? 0 : p.discount,
      demonstration: this.demonstration,
    });
  }
}
