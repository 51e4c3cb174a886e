/** How far the two fidelities are apart on random plans. */
import { createEngine } from '../../src/simulate/engine.js';
import { createEstimate, createSimulator } from '../../src/simulate/estimate.js';
import type { ScheduleKind } from '../../src/plan/types.js';
import type { PlanProblem } from '../../src/simulate/types.js';
import { RandomPlans } from './randomPlans.js';

export interface Gap {
  readonly schedule: ScheduleKind;
  readonly zeroStage: number;
  readonly pp: number;
  /** |estimate / engine - 1| of the step time, and the largest of the same over the ranks' activation peaks. */
  readonly time: number;
  readonly memory: number;
  /** Share of the step that gradients and parameters on their way take up, and that stages wait. */
  readonly exposedShare: number;
  readonly bubbleShare: number;
}

export function gaps(problem: PlanProblem, count: number, seed: number): Gap[] {
  const plans = new RandomPlans(problem, seed);
  const simulator = createSimulator(problem);
  const engine = createEngine(problem);
  const estimate = createEstimate();
  return Array.from({ length: count }, (): Gap => {
    const plan = plans.next();
    simulator.estimate(plan, estimate);
    const run = engine.run(plan);
    let memory = 0;
    for (let r = 0; r < run.rankCount; r++) {
      const bytes = run.peakActivationBytes[r];
      if (bytes > 0) memory = Math.max(memory, Math.abs(estimate.memory[r].activationBytes / bytes - 1));
    }
    const { dataParallelExposedSec, bubbleSec } = estimate.breakdown;
    return {
      schedule: plan.schedule,
      zeroStage: plan.zeroStage,
      pp: plan.pp,
      time: Math.abs(estimate.stepTimeSec / run.stepTimeSec - 1),
      memory,
      exposedShare: dataParallelExposedSec / estimate.stepTimeSec,
      bubbleShare: bubbleSec / estimate.stepTimeSec,
    };
  });
}
