/** Agents: environments and their checker, networks, and agents as solvers. */
export { loadBackend } from './backend.js';
export type { Backend, BackendName, TensorFlow } from './backend.js';
export { Bandit } from './bandit.js';
export { checkEnvironment } from './checker.js';
export {
  CHECKPOINT_VERSION,
  decodeCheckpoint,
  encodeCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
  scorerFrom,
} from './checkpoint.js';
export type { Checkpoint } from './checkpoint.js';
export * from './environment.js';
export { PlanEpisode } from './planEpisode.js';
export { DEFAULT_PPO, trainPpo } from './ppo.js';
export type { PpoOptions, PpoProgress } from './ppo.js';
export { createPpoSolver, ppoSolver } from './ppoSolver.js';
export { Scorer } from './scorer.js';
export { PlanTrainer } from './training.js';
export type { TrainingReport, TrainingSettings } from './training.js';
