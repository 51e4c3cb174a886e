/** Calibration files, whole: devices and networks as `src/cluster` reads them, and stack profiles. */
import { parseCalibration, readCalibration } from '../cluster/calibration.js';
import { mergeOverlay } from '../cluster/overlay.js';
import type { Calibration } from '../cluster/overlay.js';
import { readStack, stackDocument } from './stack.js';

/** Reads and checks a calibration file. @throws PartitionError input, in one line */
export function loadCalibration(path: string): Calibration {
  return checkStacks(readCalibration(path));
}

/** The same of a document that is in memory, such as a fit's result. */
export function calibrationOf(document: unknown, file: string): Calibration {
  return checkStacks(parseCalibration(document, file));
}

function checkStacks(calibration: Calibration): Calibration {
  for (const [name, overlay] of calibration.stacks)
    readStack(mergeOverlay(stackDocument(name), overlay), name, calibration.file, [], `stacks.${name}`);
  return calibration;
}
