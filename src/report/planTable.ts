/** A plan as people read it: decisions, then predictions, then where the time and the memory go. */
import type { MemoryBreakdown, Plan, TimeBreakdown } from '../plan/types.js';
import { oneLine } from '../util/errors.js';
import { trillionText } from './explanationTable.js';
import {
  formatBytes,
  formatPercent,
  formatSeconds,
  formatSi,
  formatTable,
  formatUsd,
} from '../util/format.js';

/** What the table says beside the plan itself. */
export interface PlanRun {
  readonly planPath: string;
  /** The record of the search, if one was asked for. */
  readonly recordPath?: string | null;
  readonly stepTimeInterval: { readonly lowSec: number; readonly highSec: number } | null;
  readonly evaluations: number;
  readonly wallSec: number;
}

export function planTable(plan: Plan, run: PlanRun): string {
  return [
    formatTable(planDecisions(plan), 2),
    predictions(plan, run),
    timeTable(plan.prediction.breakdown, plan.prediction.stepTimeSec),
    memoryTable(plan.prediction.memoryPerRank, plan.prediction.memoryCapacityBytes),
    found(plan, run),
  ].join('\n\n');
}

/** What was decided, as names and sentences. */
export function planDecisions(plan: Plan): [name: string, text: string][] {
  const d = plan.degrees;
  const unit = plan.sequenceLength > 1 ? 'sequences' : 'samples';
  const expert = d.ep > 1 || d.etp > 1 ? `, ep ${d.ep}, etp ${d.etp}` : '';
  const tokens =
    plan.sequenceLength > 1
      ? ` of ${plan.sequenceLength} tokens (${formatSi(plan.globalBatch * plan.sequenceLength)} tokens)`
      : '';
  const shard =
    d.dpReplicate > 1 && d.dpShard > 1 ? ` (${d.dpReplicate} replicas x ${d.dpShard} shards)` : '';
  const recompute = [...new Set(plan.classes.map((c) => c.recompute))].join(' / ');
  return [
    [
      'model',
      `${oneLine(plan.model.name, 80)}: ${formatSi(plan.model.parameters)} parameters, ${plan.model.layers} layers`,
    ],
    [
      'cluster',
      `${plan.cluster.devices} devices of ${oneLine(plan.cluster.name, 60)}, ${plan.precision}, ${plan.phase}`,
    ],
    [
      'mesh',
      `dp ${d.dp}${shard}, tp ${d.tp}, pp ${d.pp}${d.vpp > 1 ? ` x ${d.vpp} virtual` : ''}, cp ${d.cp}${expert}; innermost first ${
        plan.mesh.axes
          .filter((a) => a.size > 1)
          .map((a) => a.name)
          .join(', ') || 'one device'
      }`,
    ],
    [
      'batch',
      `${plan.globalBatch} ${unit}${tokens} in ${plan.microbatches} microbatch${plan.microbatches === 1 ? '' : 'es'} of ${plan.microbatch} per replica`,
    ],
    [
      'schedule',
      `${plan.schedule}, ZeRO ${plan.zeroStage}, recompute ${recompute}` +
        (plan.contextExchange === undefined ? '' : `, sequences shared by ${plan.contextExchange}`) +
        (plan.leanness === undefined
          ? ''
          : `, ${plan.leanness > 0 ? 'leaner' : 'faster'} sharding (${plan.leanness})`),
    ],
  ];
}

function predictions(plan: Plan, run: PlanRun): string {
  const p = plan.prediction;
  const unit = plan.sequenceLength > 1 ? 'tokens/s' : 'samples/s';
  const gap = plan.lowerBoundSec > 0 ? p.stepTimeSec / plan.lowerBoundSec - 1 : 0;
  const convention = p.flopConvention === 'causal' ? 'attention counted causal' : 'attention counted in full';
  return formatTable(
    [
      [
        'step time',
        `${formatSeconds(p.stepTimeSec)}${plan.optimalInSpace ? ' (best of the whole space)' : ''}, ${formatSi(p.tokensPerSec)} ${unit}`,
      ],
      ...intervalLine(run.stepTimeInterval),
      [
        'lower bound',
        `${formatSeconds(plan.lowerBoundSec)} for any plan (this one within ${formatPercent(gap)}), ${formatSeconds(plan.planBoundSec)} for these degrees`,
      ],
      ['utilisation', `MFU ${formatPercent(p.mfu)}, HFU ${formatPercent(p.hfu)} (${convention})`],
      ['memory', `peak ${formatBytes(p.peakMemoryBytes)} of ${formatBytes(p.memoryCapacityBytes)} a device`],
      [
        'energy',
        `${formatSi(p.energyJoulesPerStep, 'J')} a step${p.costPerStep === null ? '' : `, ${formatUsd(p.costPerStep)} a step`}`,
      ],
      ...clocksLine(plan),
      ...(p.perTrillionTokens === undefined
        ? []
        : [['a trillion tokens', trillionText(p.perTrillionTokens)]]),
    ],
    2,
  );
}

function clocksLine({ frequency }: Plan): [string, string][] {
  if (frequency === undefined) return [];
  const { stepTimeSec, fullStepTimeSec, energyJoulesPerStep, fullEnergyJoulesPerStep } = frequency;
  const saved = formatPercent(1 - energyJoulesPerStep / fullEnergyJoulesPerStep);
  const slower = formatPercent(Math.max(0, stepTimeSec / fullStepTimeSec - 1));
  return [
    ['clocks by task', `${formatSi(energyJoulesPerStep, 'J')} a step, ${saved} saved, ${slower} slower`],
  ];
}

/** How sure a predicted step time is. */
export function intervalLine(
  interval: { readonly lowSec: number; readonly highSec: number } | null,
): [string, string][] {
  if (interval === null) return [];
  const { lowSec, highSec } = interval;
  return [
    ['80 % interval', `${formatSeconds(lowSec)} to ${formatSeconds(highSec)}, by errors on measured runs`],
  ];
}

const TIME_NAMES: readonly [keyof TimeBreakdown, string][] = [
  ['computeSec', 'compute'],
  ['recomputeSec', 'recompute'],
  ['tensorParallelSec', 'tensor parallel'],
  ['contextParallelSec', 'context parallel'],
  ['expertParallelSec', 'expert parallel'],
  ['pipelineTransferSec', 'stage transfers'],
  ['bubbleSec', 'bubble'],
  ['dataParallelExposedSec', 'data parallel, exposed'],
  ['optimizerSec', 'optimizer'],
  ['overheadSec', 'host overhead'],
];

/** Parts of the step that take any time. */
export function timeParts(
  breakdown: TimeBreakdown,
  stepTimeSec: number,
): { name: string; timeSec: number }[] {
  return TIME_NAMES.filter(([key]) => breakdown[key] > 1e-6 * stepTimeSec).map(([key, name]) => ({
    name,
    timeSec: breakdown[key],
  }));
}

export function timeTable(breakdown: TimeBreakdown, stepTimeSec: number): string {
  const rows = timeParts(breakdown, stepTimeSec).map(({ name, timeSec }) => [
    name,
    formatSeconds(timeSec),
    formatPercent(timeSec / stepTimeSec),
  ]);
  return formatTable([['where the step goes', 'time', 'share'], ...rows]);
}

const MEMORY_NAMES: readonly [keyof MemoryBreakdown, string][] = [
  ['parameterBytes', 'parameters'],
  ['gradientBytes', 'gradients'],
  ['optimizerBytes', 'optimizer'],
  ['activationBytes', 'activations'],
  ['transientBytes', 'transient'],
  ['cacheBytes', 'kv cache'],
  ['reservedBytes', 'reserved'],
];

const SHOWN_RANKS = 8;

/** One row a pipeline rank (the first, the last and the fullest when there are many). */
export function memoryTable(ranks: readonly MemoryBreakdown[], capacityBytes: number): string {
  const parts = MEMORY_NAMES.filter(([key]) => ranks.some((r) => r[key] > 0));
  const fullest = ranks.reduce((most, r, i) => (r.totalBytes > ranks[most].totalBytes ? i : most), 0);
  const shown = ranks
    .map((_, i) => i)
    .filter(
      (i) => ranks.length <= SHOWN_RANKS || i === fullest || i < SHOWN_RANKS - 2 || i === ranks.length - 1,
    );
  const rows = shown.map((i) => [
    `stage ${i}`,
    ...parts.map(([key]) => formatBytes(ranks[i][key])),
    formatBytes(ranks[i].totalBytes),
    formatPercent(ranks[i].totalBytes / capacityBytes),
  ]);
  return formatTable([['memory of a device', ...parts.map(([, name]) => name), 'total', 'full'], ...rows]);
}

function found(plan: Plan, run: PlanRun): string {
  const { method, member, seed } = plan.foundBy;
  const by = member === method ? method : `${method} (${member})`;
  const record = run.recordPath ? `, every price to ${oneLine(run.recordPath, 400)}` : '';
  return `found by ${by}, seed ${seed}, ${run.evaluations} plans priced in ${formatSeconds(run.wallSec)}; written to ${oneLine(run.planPath, 400)}${record}`;
}
