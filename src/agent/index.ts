/** Agents: environments and their checker, networks, and agents as solvers. */
export { backendInUse, loadBackend } from './backend.js';
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
export { actionsToward, demonstrateEpisode, planTeacher } from './demonstrations.js';
export type { Teacher } from './demonstrations.js';
export { DEFAULT_DQN, trainDqn } from './dqn.js';
export type { EpisodeProgress, WarmStart } from './collector.js';
export type { DqnOptions, Exploration } from './dqn.js';
export { createDqnSolver, dqnSolver } from './dqnSolver.js';
export * from './environment.js';
export { EPISODE_AGENTS, EPISODE_OPTIONS, trainOnEpisodes } from './episodeTraining.js';
export type { EpisodeAgent, EpisodeOutcome, EpisodeTraining } from './episodeTraining.js';
export type { EnvironmentSource } from './environmentMessages.js';
export { builtInSource, EnvironmentPool } from './environmentPool.js';
export { embeddingOf, GraphEmbedding } from './graphEmbedding.js';
export { ImprovementEpisode } from './improvementEpisode.js';
export { PlacementEpisode } from './placementEpisode.js';
export { placementOf } from './placementOf.js';
export type { PlacementProblem } from './placementGraph.js';
export type {
  ContinuousEnvironment,
  ContinuousObservation,
  ContinuousSpec,
  ContinuousStep,
} from './continuous.js';
export { createMadqnSolver, madqnSolver } from './madqnSolver.js';
export { DEFAULT_MULTI_AGENT, trainMultiAgent } from './multiAgent.js';
export { PowerCapEpisode } from './powerCapEpisode.js';
export type { CapPrice, CapProblem } from './powerCapEpisode.js';
export { DEFAULT_CONTINUOUS_SAC, trainContinuousSac } from './sacContinuous.js';
export type { ContinuousSacOptions } from './sacContinuous.js';
export { PlanEpisode } from './planEpisode.js';
export { DEFAULT_PPO, trainPpo } from './ppo.js';
export type { PpoOptions, PpoProgress } from './ppo.js';
export { createPpoSolver, ppoSolver } from './ppoSolver.js';
export { Replay } from './replay.js';
export type { Experience, ReplayOptions } from './replay.js';
export { DEFAULT_SAC, trainSac } from './sac.js';
export type { SacOptions } from './sac.js';
export { createSacSolver, sacSolver } from './sacSolver.js';
export { ScheduleEpisode } from './scheduleEpisode.js';
export { playSchedule, SCHEDULE_EXPERTS } from './scheduleExperts.js';
export type { ScheduleExpert, ScheduleExpertName } from './scheduleExperts.js';
export { scheduleOf } from './scheduleOf.js';
export type { ScheduleProblem } from './scheduleState.js';
export { Scorer } from './scorer.js';
export { PlanTrainer } from './training.js';
export type { TrainingReport, TrainingSettings } from './training.js';
export { createPolicySolver, policySolver } from './policySolver.js';
export { FROM_SCRATCH, SHIPPED } from './pretrained.js';
export type { PolicySource } from './pretrained.js';
export { VectorEnvironment } from './vector.js';
export type { VectorStep } from './vector.js';
