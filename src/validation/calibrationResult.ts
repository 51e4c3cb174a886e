/** What a calibration found, and the file that it is kept in. */
import { stringify } from 'yaml';
import type { FittedParameter } from './fit.js';

/** Errors of a part of the samples: mean |log(predicted / measured)|. */
export interface ErrorGroup {
  readonly name: string;
  readonly samples: number;
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** One fit: the numbers of one network, device or stack. */
export interface CalibrationPart extends ErrorGroupFigures {
  /** What was fitted: `network of h100-sxm`. */
  readonly title: string;
  readonly parameters: readonly FittedParameter[];
  readonly groups: readonly ErrorGroup[];
  readonly notes: readonly string[];
  /** Fields of a calibration file, by preset. */
  readonly overlay: CalibrationOverlay;
}

type ErrorGroupFigures = Omit<ErrorGroup, 'name'>;

export interface CalibrationOverlay {
  readonly devices: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly networks: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly stacks: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** `7.3%` of a mean absolute logarithm: how far off a typical prediction is. */
export function percentError(meanLog: number): string {
  return `${(Math.expm1(meanLog) * 100).toFixed(1)}%`;
}

/** A calibration file's content: the parts' numbers laid over those that were there before. */
export interface CalibrationDocument extends CalibrationOverlay {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly method: string;
}

/** Text of a calibration file; sections that hold nothing are left out. */
export function calibrationYaml(document: CalibrationDocument): string {
  const { schemaVersion, name, method } = document;
  const sections = Object.fromEntries(
    (['devices', 'networks', 'stacks'] as const).flatMap((key) =>
      Object.keys(document[key]).length === 0 ? [] : [[key, document[key]]],
    ),
  );
  return stringify({ schemaVersion, name, method, ...sections }, { lineWidth: 0 });
}
