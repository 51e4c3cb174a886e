/** Predictions beside measured runs. */
import { fileURLToPath } from 'node:url';
import { loadCalibration } from '../cost/calibration.js';
import { readPresetCluster } from '../cluster/spec.js';
import { loadStack } from '../cost/stack.js';
import { dataPath, readTextFile } from '../util/files.js';
import type { ValidateOptions, Validation } from '../validation/validate.js';
import { validateText } from '../validation/validate.js';

export interface ValidateRequest {
  /** A csv with the columns of `src/data/measured/measured.csv`; the shipped rows by default. */
  readonly file?: string | undefined;
  /** Calibration file laid over devices, networks and stacks. */
  readonly calibration?: string | undefined;
  /** Stack profile (name or YAML file) for every row, whatever its source says. */
  readonly stack?: string | undefined;
}

/**
 * Builds every row's model, cluster and plan, predicts it, and compares.
 *
 * @throws PartitionError input: the file is no table of measured runs; usage: an unknown stack
 */
export function validateRuns(
  request: ValidateRequest = {},
  onProgress?: ValidateOptions['onProgress'],
): Validation {
  const file = request.file ?? fileURLToPath(dataPath('measured/measured.csv'));
  const text = readTextFile(file, 'a csv of measured runs');
  const calibration = request.calibration === undefined ? undefined : loadCalibration(request.calibration);
  const profiles = (name: string): ReturnType<typeof loadStack> => loadStack(name, [], calibration);
  // A wrong name is told before any work.
  const stackName = request.stack === undefined ? undefined : profiles(request.stack).name;
  return validateText(text, file, {
    stack: profiles,
    load: (preset) => readPresetCluster(preset, 'hardware', 'input', calibration),
    stackName,
    onProgress,
  });
}
