/** Keep or change, as people read it. */
import { formatBytes, formatSeconds, formatTable } from '../util/format.js';

export interface ReplanSide {
  /** Decisions in words. */
  readonly plan: string;
  readonly devices: number;
  readonly foundBy: string;
  /** By the model alone, and corrected by what was observed. */
  readonly predictedStepTimeSec: number;
  readonly stepTimeSec: number;
  /** Until the job works again: restart and moving. */
  readonly standstillSec: number;
  /** Standstill and the steps left. */
  readonly remainingSec: number;
  readonly migration: {
    readonly movedBytes: number;
    readonly checkpointBytes: number;
    readonly keptBytes: number;
    readonly receivers: number;
    readonly moveSec: number;
    readonly levelBytes: readonly { readonly level: string; readonly bytes: number }[];
  };
}

/** What `partition replan --json` prints. */
export interface ReplanFacts {
  readonly plan: string;
  readonly model: string;
  readonly decision: 'keep' | 'change';
  /** Devices there and working. */
  readonly available: number;
  /** Of devices and links over the described ones, as observed; null: as described. */
  readonly calibration: { readonly compute: number; readonly communication: number } | null;
  /** What is observed over what is then predicted, for every step time alike. */
  readonly correction: number;
  /** Steps left, as given. */
  readonly steps: number;
  /** Steps after which a change has paid; null: never, or there is nothing to keep. */
  readonly breakEvenSteps: number | null;
  readonly method: string;
  readonly evaluations: number;
  /** Numbers of devices that were looked at. */
  readonly counts: readonly number[];
  /** Who found what, in order. `value`: objective of its best plan, by the calibrated model; null: it found none. */
  readonly finds: readonly {
    readonly method: string;
    readonly evaluations: number;
    readonly devices: number;
    readonly value: number | null;
  }[];
  readonly decisionSec: number;
  /** The running decisions on what is left; null: they cannot go on. */
  readonly kept: ReplanSide | null;
  readonly best: ReplanSide;
  /** Some state is on no device any more, so that all of it comes from the last checkpoint. */
  readonly needsCheckpoint: boolean;
  readonly condition: {
    readonly failed: readonly string[];
    readonly slow: readonly { readonly device: string; readonly factor: number }[];
    readonly degraded: readonly {
      readonly level: string;
      readonly host: string | null;
      readonly factor: number;
    }[];
  };
  readonly notes: readonly string[];
  readonly planPath: string;
  readonly manifestPath: string;
}

export function replanTable(f: ReplanFacts): string {
  const row = (name: string, s: ReplanSide): string[] => [
    name,
    s.plan,
    String(s.devices),
    formatSeconds(s.stepTimeSec),
    formatSeconds(s.standstillSec),
    formatSeconds(s.remainingSec),
    formatBytes(s.migration.movedBytes),
  ];
  const head = ['', 'decisions', 'devices', 'step', 'stands still', `${f.steps} steps`, 'moves'];
  const rows = [head, ...(f.kept === null ? [] : [row('keep', f.kept)]), row('change', f.best)];
  const lines = [replanSentence(f), '', formatTable(rows, 2)];
  const taken = f.decision === 'change' ? f.best : f.kept!;
  const over = taken.migration.levelBytes.filter(({ bytes }) => bytes > 0);
  if (over.length > 0)
    lines.push(
      '',
      `moves over ${over.map(({ level, bytes }) => `${level} ${formatBytes(bytes)}`).join(', ')}`,
    );
  if (f.needsCheckpoint)
    lines.push(
      `some state is on no device any more: all ${formatBytes(taken.migration.checkpointBytes)} come from the last checkpoint`,
    );
  lines.push(
    '',
    formatTable(
      [
        ['found by', 'plans priced', 'devices', 'objective'],
        ...f.finds.map(({ method, evaluations, devices, value }) => [
          method,
          String(evaluations),
          value === null ? '-' : String(devices),
          value === null ? '-' : value.toPrecision(6),
        ]),
      ],
      2,
    ),
    `decided in ${formatSeconds(f.decisionSec)} (${f.method})`,
  );
  if (f.calibration !== null)
    lines.push(
      `observed: devices compute at ${f.calibration.compute.toFixed(3)} and links carry at ${f.calibration.communication.toFixed(3)} of the described rates`,
    );
  for (const note of f.notes) lines.push(`observed: ${note}`);
  lines.push(`plan        ${f.planPath}`, `migration   ${f.manifestPath}`);
  return lines.join('\n');
}

/** `change: 1.20 s a step instead of 1.35 s; it has paid after 812 steps.` */
export function replanSentence({ decision, kept, best, breakEvenSteps, steps }: ReplanFacts): string {
  if (kept === null)
    return `change: the running plan cannot go on; ${formatSeconds(best.stepTimeSec)} a step`;
  const times = `${formatSeconds(best.stepTimeSec)} a step instead of ${formatSeconds(kept.stepTimeSec)}`;
  if (decision === 'change') return `change: ${times}; it has paid after ${breakEvenSteps ?? 0} steps`;
  if (breakEvenSteps === null)
    return `keep: nothing faster was found (${formatSeconds(kept.stepTimeSec)} a step)`;
  return `keep: ${times} would pay after ${breakEvenSteps} steps, ${steps} are left`;
}
