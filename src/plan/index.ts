/** The answer: candidates, plans, plan.json, and the judge of plans. */
export * from './types.js';
export * from './candidate.js';
export { buildPlan, clusterDigest, opNames, planDegrees } from './build.js';
export type { PlanOrigin, PlanPrice, PlanSetting } from './build.js';
export { decodePlan, encodePlan } from './codec.js';
export { candidateOf } from './candidateOf.js';
export { diffPlans } from './diff.js';
export type { PlanDifference } from './diff.js';
export { planJsonSchema } from './schema.js';
export { validatePlan } from './validate.js';
