/** Instances of the suite as problems. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SuiteInstance } from '../portfolio/suite.js';
import { PartitionError } from '../util/errors.js';
import { applyOverrides, buildIrregular, buildZoo, zooConfig } from '../zoo/index.js';
import type { AnalyzedModel, Problem, ProblemOptions } from './problem.js';
import { analyzeModel, clusterOf, openModel, PRECISIONS, problemOf } from './problem.js';

export { loadBestKnown, loadSuite, suitePath } from '../portfolio/suite.js';
export type { BestKnown, SuiteInstance, SuiteModel } from '../portfolio/suite.js';

/** Folder of the models and cluster files that instances name; it ships with the package. */
export const SUITE_GRAPHS: string = fileURLToPath(new URL('../../graphs', import.meta.url));

/**
 * The problem of an instance.
 *
 * @param graphs folder of the model and cluster files that instances name
 * @throws PartitionError when the instance asks for what does not exist
 */
export function suiteProblem(instance: SuiteInstance, graphs: string): Problem {
  const options = optionsOf(instance, graphs);
  return problemOf(suiteModel(instance, graphs), clusterOf(options), options);
}

/** The analysed model of an instance: from it many problems can be made, each with cost tables of its own. */
export function suiteModel({ model, name, seq }: SuiteInstance, graphs: string): AnalyzedModel {
  const options = seq === undefined ? {} : { seq };
  switch (model.kind) {
    case 'file':
      return openModel(join(graphs, model.path), options);
    case 'zoo':
      return analyzeModel(buildZoo(applyOverrides(zooConfig(model.name), model.sizes)), name, options);
    case 'irregular':
      return analyzeModel(buildIrregular(model), name, options);
  }
}

/** Settings of an instance as the command line's options. */
export function optionsOf(instance: SuiteInstance, graphs: string): ProblemOptions {
  const { name, cluster, devices, seq, batch, stack, objective } = instance;
  const precision = PRECISIONS.find((p) => p === instance.precision);
  if (precision === undefined)
    throw new PartitionError(
      'input',
      `expected one of ${PRECISIONS.join(', ')}, found ${instance.precision}`,
      `suite: ${name}: precision`,
    );
  return {
    devices,
    cluster: cluster.endsWith('.yaml') ? join(graphs, cluster) : cluster,
    seq,
    batch,
    precision,
    stack,
    objective,
  };
}
