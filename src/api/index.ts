/** The public library: what the command line does, as functions. */
export {
  analyzeModel,
  createProblem,
  openModel,
  parseObjective,
  problemOf,
  PRECISIONS,
  STACKS,
} from './problem.js';
export { DEFAULT_STACK, listStacks, loadStack } from '../cost/stack.js';
export type { StackProfile } from '../cost/stack.js';
export type { AnalyzedModel, Problem, ProblemOptions } from './problem.js';
export { DEFAULT_BUDGET, METHODS, planModel, planOf, summarize, writePlanFiles } from './plan.js';
export type { PlanHooks, PlanReply, PlanRequest, PlanSummary } from './plan.js';
export { inspectModel } from './inspect.js';
export type { InspectOptions } from './inspect.js';
export { simulatePlan } from './simulate.js';
export type { SimulateOptions, Simulation, SimulationSummary } from './simulate.js';
export { chakraOf } from './simulate.js';
export { CHAKRA_RANKS } from '../simulate/chakra.js';
export type { ChakraFile, ChakraRanks } from '../simulate/chakra.js';
export { explainDifference, parseChanges } from './why.js';
export type { WhyOptions } from './why.js';
export { whySentence, whyTable } from '../report/whyTable.js';
export type { WhyFacts, WhySide } from '../report/whyTable.js';
export { WEIGHT_PLACES, splitFile } from './split.js';
export type { SplitHooks, SplitRequest, SplitSummary } from './split.js';
export { splitTable } from '../report/splitTable.js';
export type { SplitManifest } from '../emit/split/index.js';
export { verifySplit } from './verify.js';
export type { Verification, VerifyHooks, VerifyReply, VerifyRequest } from './verify.js';
export { verifyTable } from '../report/verifyTable.js';
export { makeReport } from './report.js';
export type { Report, ReportOptions, ReportSummary } from './report.js';
export { goodputFacts, hostsOf, parseMtbf, planGoodput } from './goodput.js';
export type { GoodputRequest } from './goodput.js';
export { goodputText } from '../report/goodputTable.js';
export type { GoodputFacts } from '../report/goodputTable.js';
export {
  defaultNoise,
  freshTimes,
  nominalFirst,
  parseRobust,
  robustOption,
  robustSimulator,
  robustText,
} from './robust.js';
export type { RobustRequest } from './robust.js';
export { checkPriced, parseRisk, planRisk, underFailures } from './risk.js';
export type { RiskFlags, RiskRequest } from './risk.js';
export { replanRisk } from './replanRisk.js';
export type { ReplanRisk } from './replanRisk.js';
export { riskTable } from '../report/riskTable.js';
export type { RiskFacts } from '../report/riskTable.js';
export { REPLAN_DEFAULTS, replan } from './replan.js';
export { writeReplanFiles } from './replanFiles.js';
export type { MigrationManifest, ReplanHooks, ReplanReply, ReplanRequest } from './replan.js';
export { replanTable } from '../report/replanTable.js';
export type { ReplanFacts } from '../report/replanTable.js';
export { LINE_FORMATS, WATCH_DEFAULTS, layoutOfPlan, monitorJob } from './monitor.js';
export type { Finding, MonitorHooks, MonitorRequest, MonitorSummary, Observed } from './monitor.js';
export { readObserved } from '../validation/monitor/observed.js';
export { monitorTable } from '../report/monitorTable.js';
export { monitorView } from '../report/monitorView.js';
export { replayRecord } from './replay.js';
export type { ReplayOptions, ReplaySummary } from './replay.js';
export { pictureFacts, terminalPicture } from '../report/terminalPicture.js';
export type { PictureFacts, StageShare, TerminalStyle } from '../report/terminalPicture.js';
export { replayTable } from '../report/replayTable.js';
export { CALIBRATION_KINDS, calibrateFile } from './calibrate.js';
export type { CalibrateRequest, CalibrationSummary } from './calibrate.js';
export { calibrationTable } from '../report/calibrationTable.js';
export { loadCalibration } from '../cost/calibration.js';
export type { Calibration } from '../cluster/index.js';
export { validateRuns } from './validate.js';
export type { ValidateRequest } from './validate.js';
export type { ValidatedGroup, ValidatedRow, Validation } from '../validation/validate.js';
export { DEFAULTS as VALIDATION_DEFAULTS } from '../validation/setting.js';
export { predictionInterval } from '../validation/intervals.js';
export { validationTable } from '../report/validationTable.js';
export { OVERRIDE_FLAGS, describeZoo, writeZooModel } from './zoo.js';
export type { ZooEntry, ZooRequest, ZooWritten } from './zoo.js';
export { describeCluster, listClusters } from './clusters.js';
export type { ClusterSummary } from './clusters.js';
export { SHIPPED_TRAINING, trainPolicy } from './train.js';
export type { TrainHooks, TrainRequest, TrainSummary } from './train.js';
export { isEpisodeConfig, trainEpisodes } from './trainEpisodes.js';
export { episodeTable } from '../report/episodeTable.js';
export type { EpisodeFacts } from '../report/episodeTable.js';
export { FINE_TUNING, fineTunePolicy } from './trainFineTune.js';
export type { FineTuneRequest } from './trainFineTune.js';
export { fineTuneTable } from '../report/fineTuneTable.js';
export type { FineTuneFacts, JudgedInstance } from '../report/fineTuneTable.js';
export { policyInUse, usePolicy } from './policy.js';
export type { TrainingReport } from '../agent/index.js';
export {
  metricsOf,
  registerCluster,
  registerExpert,
  registerMetric,
  registerOperator,
  registerReward,
  registerSolver,
} from './registry.js';
export type { Expert, Metric, Reward } from './registry.js';
export { costModelByName, registerCostModel } from './costModel.js';
export type { CostModel, CostSetting } from './costModel.js';
export { emitPlan } from './emit.js';
export type { EmitHooks, EmitRequest, EmitResult } from './emit.js';
export { emitTarget, emitTargets, registerEmitTarget } from '../emit/index.js';
export type { EmitInput, EmitModel, EmitTarget, Emitted, EmittedFile, NotExpressed } from '../emit/index.js';
export { loadPlugins, loadedPlugins } from './plugins.js';
export type { Plugin, PluginRegistry } from './plugins.js';
export { solverNames as methodNames } from '../portfolio/index.js';
export type { OpRule } from '../ops/types.js';
export type { ClassCosts } from '../cost/types.js';
export { planPareto, writeParetoFiles } from './pareto.js';
export type { ParetoReply } from './pareto.js';
export { paretoTable } from '../report/paretoTable.js';
export type { ParetoFacts } from '../report/paretoTable.js';
export { CLOCK_METHODS, frequencyOf, schedulesBy, withFrequency } from './frequency.js';
export type { ClockMethod, ClockSchedules } from './frequency.js';
export type { FrequencyAnswer } from './frequency.js';
export { frequencyTable } from '../report/frequencyTable.js';
export type { FrequencyFacts } from '../report/frequencyTable.js';
export { energyAt, frequencyFrontier } from '../simulate/frequency.js';
export type { FrequencyPoint, FrequencySchedule, Frontier } from '../simulate/frequency.js';
export { ClockLevels, DEFAULT_CLOCKS } from '../simulate/frequencyCurves.js';
export { ClassClocks, frequencyProblem } from '../simulate/frequencyProblem.js';
export type { FrequencyProblem } from '../simulate/frequencyProblem.js';
export { defaultGlobalBatch } from './batch.js';
export { withFrontier } from './sweep.js';
export type { SweepEntry, SweepRow } from './sweep.js';
export {
  AGENT_OFF,
  ALWAYS_COMPARED,
  COMPARED_METHODS,
  ComparisonRunner,
  compareJobs,
  comparisonOf,
} from './compare.js';
export type {
  CompareJob,
  CompareRequest,
  CompareRun,
  CompareSetting,
  Comparison,
  MethodSummary,
} from './compare.js';
export { comparedJobs } from './compareGoodput.js';
export { compareChart, comparePage } from '../report/compareChart.js';
export { compareTable } from '../report/compareTable.js';
export { loadBestKnown, loadSuite, suiteProblem } from './suite.js';
export type { BestKnown, SuiteInstance } from './suite.js';
export { PLACE_OBJECTIVES, placeWorkload } from './place.js';
export type { PlaceHooks, PlaceObjective, PlaceRequest, PlaceResult } from './place.js';
export { SHARD_CHOICES, assistShard, readShardInstance, solveShard } from './shard.js';
export type {
  ShardAssistance,
  ShardChoice,
  ShardHooks,
  ShardNews,
  ShardRequest,
  ShardResult,
} from './shard.js';
export { shardTable } from '../report/shardTable.js';
export { placeTable } from '../report/placeTable.js';
export { sweepTable } from '../report/sweepTable.js';
export { planTable } from '../report/planTable.js';
export { inspectionTable } from '../report/inspectionTable.js';
export type { Inspection, TensorLine } from '../report/inspectionTable.js';
export { simulationTable } from '../report/simulationTable.js';
export { PartitionError } from '../util/errors.js';

export { loadCluster } from '../cluster/index.js';
export type { Cluster } from '../cluster/index.js';
export { decodePlan, encodePlan, planJsonSchema, validatePlan } from '../plan/index.js';
export type { Candidate, Plan } from '../plan/index.js';
export { createEstimate, createSimulator } from '../simulate/estimate.js';
export type { Estimate, PlanProblem, Simulator } from '../simulate/types.js';
export type { Budget, Clock, SearchContext, SearchResult, Solver } from '../search/types.js';
export { Bandit, PlanEpisode, checkEnvironment, createPpoSolver, trainPpo } from '../agent/index.js';
export type { Environment, Observation } from '../agent/index.js';
export { analyze, inferModel } from '../graph/index.js';
export type { Graph, Inferred, Segmentation } from '../graph/index.js';
export { diffPlans } from '../plan/index.js';
export { explain } from '../simulate/explain.js';
export { checkModel, decodeModel, encodeModel, readModel, writeModel } from '../model/index.js';
export type { ModelProto } from '../model/index.js';
export { buildZoo, configFromHuggingFace, zooConfig, zooNames } from '../zoo/index.js';
