/** Problems drawn from a training distribution: number i is the same problem wherever and whenever it is drawn. */
import { stream } from '../agent/training.js';
import type { Cluster } from '../cluster/index.js';
import { clusterOfDocument, loadCluster } from '../cluster/index.js';
import { greedySolver } from '../search/greedy.js';
import { createSimulator } from '../simulate/estimate.js';
import type { PlanProblem } from '../simulate/types.js';
import { PartitionError } from '../util/errors.js';
import { Random } from '../util/random.js';
import { applyOverrides, buildIrregular, buildZoo, zooConfig } from '../zoo/index.js';
import type { AnalyzedModel } from './problem.js';
import { analyzeModel, openModel, problemOf } from './problem.js';
import type { ClusterFamily, GraphFamily, Span, TrainingConfig } from './trainingConfig.js';

/** Draws before a distribution is given up: sizes that do not go together, models that fit nowhere. */
const MOST_DRAWS = 100;
/** Evaluations that decide whether anything fits. */
const FEASIBILITY_EVALUATIONS = 200;

/** @throws PartitionError input when nothing that the configuration describes can be planned */
export function trainingProblem(config: TrainingConfig, index: number): PlanProblem {
  let reason = 'no plan fits';
  for (let draw = 0; draw < MOST_DRAWS; draw++) {
    const random = stream(config.seed ^ 0x5bd1e995, index * MOST_DRAWS + draw);
    try {
      const problem = drawProblem(config, random);
      if (fits(problem)) return problem;
    } catch (e) {
      if (!(e instanceof PartitionError)) throw e;
      reason = e.line();
    }
  }
  throw new PartitionError(
    'input',
    `none of ${MOST_DRAWS} draws can be planned, the last because: ${reason}`,
    'graphs and clusters of the training configuration',
  );
}

function drawProblem(config: TrainingConfig, random: Random): PlanProblem {
  const cluster = drawCluster(pickWeighted(config.clusters, random), random);
  const model = drawModel(pickWeighted(config.graphs, random), random);
  const devices = cluster.deviceCount;
  const perDevice = logUniform(config.batchPerDevice, random);
  let odd = devices;
  while (odd % 2 === 0) odd /= 2;
  // A batch that many data-parallel degrees divide.
  const batch = odd * 2 ** Math.max(0, Math.round(Math.log2((perDevice * devices) / odd)));
  return problemOf(model, cluster, {
    devices,
    batch,
    precision: random.pick(config.precisions),
    stack: random.pick(config.stacks),
    objective: random.pick(config.objectives),
  }).problem;
}

/** Whether a quick look finds a plan that fits. */
export function fits(problem: PlanProblem): boolean {
  if (problem.segmentation.segmentCount === 0) return false;
  const result = greedySolver.solve({
    problem,
    simulator: createSimulator(problem),
    budget: { maxEvaluations: FEASIBILITY_EVALUATIONS, maxSec: Infinity },
    clock: () => 0,
    random: new Random(0),
  }) as { value: number };
  return result.value > 0 && result.value < Infinity;
}

function drawModel(family: GraphFamily, random: Random): AnalyzedModel {
  if (family.kind === 'irregular') {
    const whole = (s: Span): number => Math.round(logUniform(s, random));
    const sizes = { cells: whole(family.cells), nodes: whole(family.nodes), tokens: whole(family.tokens) };
    const hidden = 64 * Math.max(1, Math.round(logUniform(family.hidden, random) / 64));
    const seed = random.uint32();
    return analyzeModel(buildIrregular({ seed, ...sizes, hidden, towers: 1 + random.int(2) }), 'irregular');
  }
  const seq = family.sequenceLengths.length === 0 ? {} : { seq: random.pick(family.sequenceLengths) };
  if (family.kind === 'files') return openModel(random.pick(family.paths), seq);
  const name = random.pick(family.names);
  const base = zooConfig(name);
  const scale = random.pick(family.scales);
  const layers = family.layers === null ? {} : { layers: Math.round(logUniform(family.layers, random)) };
  const heads = Math.max(1, Math.round(base.heads * scale));
  const wider =
    scale === 1
      ? {}
      : { heads, hidden: heads * (base.hidden / base.heads), ffn: 64 * Math.round((base.ffn * scale) / 64) };
  return analyzeModel(
    buildZoo(applyOverrides(base, { ...layers, ...wider })),
    name,
    base.vision === null ? seq : {},
  );
}

function drawCluster(family: ClusterFamily, random: Random): Cluster {
  if (family.kind === 'presets') {
    const wanted = logUniform(family.devices, random);
    // Powers of two, and one in four three times a power of two.
    const devices =
      random.next() < 0.25 ? 3 * 2 ** Math.round(Math.log2(wanted / 3)) : 2 ** Math.round(Math.log2(wanted));
    return loadCluster(random.pick(family.names), Math.max(1, Math.round(devices)));
  }
  const mix = random.pick(family.mixes);
  const hosts = mix.map(() => hostCount(family.hosts, random));
  const total = hosts.reduce((a, b) => a + b, 0);
  const damaged = (): boolean => random.next() < family.damage;
  const network = damaged() ? thinned(random) : [];
  const groups = mix.map((preset, i) => ({ name: `${preset}-${i}`, preset, hosts: hosts[i], network }));
  // A host in repair, or one of its devices.
  const host = random.int(total);
  const missing = damaged() ? [random.next() < 0.5 ? { host } : { host, device: 0 }] : [];
  const slow = damaged() ? [{ host: random.int(total), device: 1, factor: 0.6 + 0.35 * random.next() }] : [];
  return clusterOfDocument({ groups, missing, slow }, 'drawn');
}

/** Powers of two, and two in five whatever comes. */
function hostCount(span: Span, random: Random): number {
  const wanted = logUniform(span, random);
  return random.next() < 0.4 ? Math.max(1, Math.round(wanted)) : 2 ** Math.round(Math.log2(wanted));
}

/** A network whose spine is oversubscribed, or one between hosts that is as slow as some are let. */
function thinned(random: Random): object[] {
  if (random.next() < 0.5) return [{ name: 'spine', oversubscription: 2 ** (1 + random.int(3)) }];
  const [GBps, latencyUs] = [logUniform([1, 12], random), logUniform([10, 50], random)];
  return ['rail', 'spine'].map((name) => ({ name, GBps, latencyUs }));
}

function pickWeighted<T extends { readonly weight: number }>(items: readonly T[], random: Random): T {
  let left = random.next() * items.reduce((sum, item) => sum + item.weight, 0);
  return items.find((item) => (left -= item.weight) < 0) ?? items[items.length - 1];
}

function logUniform([least, most]: Span, random: Random): number {
  return least * (most / least) ** random.next();
}
