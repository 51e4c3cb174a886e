/** Calibration from a file of measurements: finds out what it is, fits, and lays the result over what was there before. */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import type { Calibration } from '../cluster/index.js';
import { mergeOverlay } from '../cluster/overlay.js';
import { readPresetCluster } from '../cluster/spec.js';
import { calibrationOf, loadCalibration } from '../cost/calibration.js';
import { loadStack } from '../cost/stack.js';
import { PartitionError } from '../util/errors.js';
import { readTextFile } from '../util/files.js';
import { fitCollectives } from './calibrateCollectives.js';
import { fitProfile } from './calibrateProfile.js';
import { fitRows } from './calibrateRows.js';
import type { CalibrationDocument, CalibrationOverlay, CalibrationPart } from './calibrationResult.js';
import { calibrationYaml } from './calibrationResult.js';
import { isNcclTests, readCollectiveTable } from './collectiveTable.js';
import { readCsv } from './csv.js';
import { Predictor } from './predict.js';
import { readProfile } from './profileSamples.js';
import { readRows } from './row.js';

/** Kinds of measurement: training runs, collectives, a profiler's trace. */
export const CALIBRATION_KINDS = ['rows', 'collective', 'profile'] as const;
export type CalibrationKind = (typeof CALIBRATION_KINDS)[number];

export interface CalibrateRequest {
  readonly file: string;
  /** Default: by the file's content. */
  readonly kind?: CalibrationKind | undefined;
  /** Rows only: fit this stack to all rows, whatever their source. */
  readonly stack?: string | undefined;
  /** Hardware, where the file does not say or holds several. */
  readonly device?: string | undefined;
  readonly cluster?: string | undefined;
  /** Calibration to start from; its numbers are kept where nothing new is fitted. */
  readonly base?: string | undefined;
  /** Name of the new calibration; default: of the file. */
  readonly name?: string | undefined;
}

export interface CalibrationResult {
  readonly kind: CalibrationKind;
  readonly name: string;
  readonly method: string;
  readonly parts: readonly CalibrationPart[];
  /** What was left out of the file, and why. */
  readonly notes: readonly string[];
  /** The calibration file's text. */
  readonly yaml: string;
}

/** Enough of a file to know its kind. */
const HEAD_BYTES = 1 << 16;
/** Notes on rows that were left out. */
const MOST_NOTES = 20;

/** @throws PartitionError input naming the file and what is wrong with it */
export async function calibrate(
  request: CalibrateRequest,
  onProgress: (text: string) => void = () => undefined,
): Promise<CalibrationResult> {
  const { file } = request;
  const kind = request.kind ?? detectKind(file);
  const base = request.base === undefined ? undefined : loadCalibration(request.base);
  const source = basename(file);
  onProgress(`reading ${source}`);
  const { parts, notes, method } = await fitKind(kind, request, base, source, onProgress);
  const name = request.name ?? source.replace(/(\.pt)?(\.trace)?\.[^.]*(\.gz)?$/, '');
  const document: CalibrationDocument = {
    schemaVersion: 1,
    name,
    method,
    ...parts.reduce((overlay, part) => merged(overlay, part.overlay), overlayOf(base)),
  };
  // What is written must read back: a fault here is ours.
  calibrationOf(document, `${name}.yaml`);
  return { kind, name, method, parts, notes, yaml: calibrationYaml(document) };
}

interface KindFit {
  readonly parts: CalibrationPart[];
  readonly notes: string[];
  readonly method: string;
}

async function fitKind(
  kind: CalibrationKind,
  request: CalibrateRequest,
  base: Calibration | undefined,
  source: string,
  onProgress: (text: string) => void,
): Promise<KindFit> {
  const { file, device, cluster } = request;
  if (kind === 'profile') {
    const profile = await readProfile(file, onProgress);
    const { parts, notes } = fitProfile(profile, file, { device, cluster, base, source });
    return { parts, notes, method: `kernel times of a profiler trace (${source})` };
  }
  const text = readTextFile(file, 'a table of measurements');
  if (kind === 'collective') {
    const samples = readCollectiveTable(text, file);
    const parts = fitCollectives(samples, file, { device, cluster, base, source });
    return { parts, notes: [], method: `benchmark of collectives (${source})` };
  }
  const { rows, faults } = readRows(readCsv(text, file), file);
  const profileOf = (name: string): ReturnType<typeof loadStack> => loadStack(name, [], base);
  const predictor = new Predictor({
    stack: profileOf,
    load: (preset) => readPresetCluster(preset, 'hardware', 'input', base),
    stackName: request.stack,
  });
  const all = predictor.prepareAll(rows, (done) =>
    onProgress(`preparing the measured runs: ${done} of ${rows.length}`),
  );
  const skipped = [...faults, ...all.faults];
  const chosen = all.prepared.filter((run) => device === undefined || onDevice(run, device));
  if (chosen.length === 0) throw nothingToFit(file, skipped[0]?.reason, device);
  const parts = fitRows(predictor, chosen, { stack: profileOf, source, onProgress });
  const notes = skipped.slice(0, MOST_NOTES).map((f) => `line ${f.line} (${f.id}) left out: ${f.reason}`);
  if (skipped.length > MOST_NOTES) notes.push(`${skipped.length - MOST_NOTES} more rows left out`);
  return { parts, notes, method: `step times of measured runs (${source})` };
}

function onDevice(
  run: {
    readonly base: {
      readonly cluster: { readonly groups: readonly { readonly device: { readonly name: string } }[] };
    };
  },
  device: string,
): boolean {
  return run.base.cluster.groups[0].device.name === device.toLowerCase();
}

function nothingToFit(file: string, reason: string | undefined, device: string | undefined): PartitionError {
  const what = device === undefined ? 'no row can be priced' : `no row of device ${device} can be priced`;
  return new PartitionError(
    'input',
    reason === undefined ? what : `${what}, the first because of ${reason}`,
    file,
  );
}

function overlayOf(base: Calibration | undefined): CalibrationOverlay {
  if (base === undefined) return { devices: {}, networks: {}, stacks: {} };
  return {
    devices: Object.fromEntries(base.devices),
    networks: Object.fromEntries(
      [...base.networks].map(([name, levels]) => [name, Object.fromEntries(levels)]),
    ),
    stacks: Object.fromEntries(base.stacks),
  };
}

function merged(old: CalibrationOverlay, fresh: CalibrationOverlay): CalibrationOverlay {
  return mergeOverlay(old, { ...fresh }) as unknown as CalibrationOverlay;
}

/** The kind of a file by its first bytes. */
function detectKind(file: string): CalibrationKind {
  const head = readHead(file);
  const gzipped = head[0] === 0x1f && head[1] === 0x8b;
  const text = head.toString('utf8').replace(/^\ufeff/, '');
  if (gzipped || /^\s*[[{]/.test(text)) return 'profile';
  const columns = (text.split(/\r?\n/, 1)[0] ?? '').toLowerCase().split(',');
  if (columns.includes('bytes') && columns.includes('seconds')) return 'collective';
  if (isNcclTests(text)) return 'collective';
  if (columns.includes('metric') && columns.includes('value')) return 'rows';
  throw new PartitionError(
    'input',
    'expected measured runs (csv), a table of collectives (csv or nccl-tests) or a profiler trace (JSON), found none of them',
    file,
    'say which with --kind',
  );
}

function readHead(file: string): Buffer {
  let fd: number | null = null;
  try {
    fd = openSync(file, 'r');
    const head = Buffer.alloc(HEAD_BYTES);
    return head.subarray(0, readSync(fd, head, 0, HEAD_BYTES, 0));
  } catch {
    // The same refusal as everywhere.
    readTextFile(file, 'a file of measurements', 0);
    return Buffer.alloc(0);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
