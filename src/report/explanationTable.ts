/** Where a step's seconds and joules go, as people read it. */
import type { TrillionTokens } from '../cost/energy.js';
import type { Explanation, RankExplanation, TimeSplit } from '../simulate/explain.js';
import { ENERGY_TERMS, TIME_TERMS } from '../simulate/terms.js';
import type { EnergySplit } from '../simulate/terms.js';
import { formatPercent, formatSeconds, formatSi, formatTable } from '../util/format.js';

/** An explanation as it is printed; memory per rank stands beside it. */
export interface ExplanationFacts extends Pick<Explanation, 'criticalRank' | 'mean' | 'energy'> {
  readonly ranks: readonly Omit<RankExplanation, 'memory'>[];
}

export function explanationFacts({ criticalRank, mean, energy, ranks }: Explanation): ExplanationFacts {
  return {
    criticalRank,
    mean,
    energy,
    ranks: ranks.map(({ rank, deviceGroup, devices, time, capacityBytes, energy: joules }) => ({
      rank,
      deviceGroup,
      devices,
      time,
      capacityBytes,
      energy: joules,
    })),
  };
}

/** Below this share of the step a term is not shown. */
const LEAST_SHARE = 1e-4;

/** One row a term: on the rank that ends last, hidden there, and (where ranks differ) in the mean. */
export function timeSplitTable({ criticalRank, mean, ranks }: ExplanationFacts, stepTimeSec: number): string {
  const { time } = ranks[criticalRank];
  const several = ranks.length > 1;
  const shown = TIME_TERMS.filter(({ key }) =>
    [time[key], mean[key]].some((t) => Math.max(t.exposedSec, t.hiddenSec) > LEAST_SHARE * stepTimeSec),
  );
  const hides = shown.some(({ key }) => time[key].hiddenSec > LEAST_SHARE * stepTimeSec);
  const cell = (sec: number): string => (sec > LEAST_SHARE * stepTimeSec ? formatSeconds(sec) : '-');
  const head = [
    several ? `where the step goes on stage ${criticalRank}, the last to end` : 'where the step goes',
    'time',
    'share',
    ...(hides ? ['hidden'] : []),
    ...(several ? ['mean stage'] : []),
  ];
  const rows = shown.map(({ key, label }) => [
    label,
    cell(time[key].exposedSec),
    time[key].exposedSec > LEAST_SHARE * stepTimeSec ? formatPercent(time[key].exposedSec / stepTimeSec) : '',
    ...(hides
      ? [time[key].hiddenSec > LEAST_SHARE * stepTimeSec ? formatSeconds(time[key].hiddenSec) : '']
      : []),
    ...(several ? [cell(mean[key].exposedSec)] : []),
  ]);
  const total = [
    'step',
    formatSeconds(stepTimeSec),
    formatPercent(1),
    ...(hides ? [''] : []),
    ...(several ? [formatSeconds(stepTimeSec)] : []),
  ];
  return formatTable([head, ...rows, total]);
}

const SHOWN_RANKS = 8;

/** Exposed seconds of every term on every pipeline rank (the first, the last and the critical one when there are many). */
export function rankTable({ criticalRank, ranks }: ExplanationFacts, stepTimeSec: number): string {
  const shown = ranks.filter(
    ({ rank }) =>
      ranks.length <= SHOWN_RANKS ||
      rank === criticalRank ||
      rank < SHOWN_RANKS - 2 ||
      rank === ranks.length - 1,
  );
  const terms = TIME_TERMS.filter(({ key }) =>
    ranks.some(({ time }) => time[key].exposedSec > LEAST_SHARE * stepTimeSec),
  );
  const sec = (time: TimeSplit, key: (typeof terms)[number]['key']): string =>
    time[key].exposedSec > LEAST_SHARE * stepTimeSec ? formatSeconds(time[key].exposedSec) : '-';
  return formatTable([
    ['time of each stage', ...shown.map(({ rank }) => `stage ${rank}`)],
    ...terms.map(({ key, label }) => [label, ...shown.map(({ time }) => sec(time, key))]),
  ]);
}

/** One row a consumer of energy. */
export function energyTable(energy: EnergySplit, stepTimeSec: number): string {
  const { totalJoule } = energy;
  const rows = ENERGY_TERMS.filter(({ key }) => energy[key] > LEAST_SHARE * totalJoule).map(
    ({ key, label }) => [
      label,
      formatSi(energy[key], 'J'),
      formatSi(energy[key] / stepTimeSec, 'W'),
      formatPercent(energy[key] / totalJoule),
    ],
  );
  const total = ['all', formatSi(totalJoule, 'J'), formatSi(totalJoule / stepTimeSec, 'W'), formatPercent(1)];
  return formatTable([['where the energy goes', 'a step', 'power', 'share'], ...rows, total]);
}

/** Carbon is told in tonnes, once there is one. */
function carbonText(kg: number): string {
  return kg < 1000 ? formatSi(kg * 1000, 'g') : `${formatSi(kg / 1000)} t`;
}

/** `3.21 GWh, 1220 t CO2e, 4.5 M USD`. */
export function trillionText({ kwh, carbonKg, priceUsd }: TrillionTokens): string {
  const price = priceUsd === null ? '' : `, ${formatSi(priceUsd)} USD`;
  return `${formatSi(kwh * 1000, 'Wh')}, ${carbonText(carbonKg)} CO2e${price}`;
}
