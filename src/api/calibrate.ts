/** Calibration: from a file of measurements to a file of numbers, and the table of what was fitted. */
import { CALIBRATION_KINDS, calibrate } from '../validation/calibrate.js';
import type { CalibrateRequest, CalibrationResult } from '../validation/calibrate.js';
import { writeFileAtomic } from '../util/files.js';

export { CALIBRATION_KINDS };
export type { CalibrateRequest, CalibrationResult };

/** What `partition calibrate --json` prints. */
export interface CalibrationSummary extends Omit<CalibrationResult, 'yaml' | 'parts'> {
  /** Where the calibration was written; null when it was not. */
  readonly calibrationPath: string | null;
  readonly parts: readonly Omit<CalibrationResult['parts'][number], 'overlay'>[];
}

/** Fits; writes the calibration file when asked to. @throws PartitionError input or usage, in one line */
export async function calibrateFile(
  request: CalibrateRequest,
  out: string | undefined,
  onProgress?: (text: string) => void,
): Promise<CalibrationSummary> {
  const { yaml, kind, name, method, parts, notes } = await calibrate(request, onProgress);
  if (out !== undefined) writeFileAtomic(out, yaml);
  return {
    kind,
    name,
    method,
    calibrationPath: out ?? null,
    parts: parts.map(({ title, samples, errorBefore, errorAfter, parameters, groups, notes: own }) => ({
      title,
      samples,
      errorBefore,
      errorAfter,
      parameters,
      groups,
      notes: own,
    })),
    notes,
  };
}
