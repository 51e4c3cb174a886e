/** Where the step goes: the terms on the pipeline rank that ends last, and every rank beside the others. */
import type { TimeSplit } from '../../simulate/explain.js';
import { TIME_TERMS } from '../../simulate/terms.js';
import { formatPercent, formatSeconds } from '../../util/format.js';
import { timeParts } from '../planTable.js';
import type { BarPart } from './bars.js';
import { barRows, legend, stackedBar } from './bars.js';
import { termColour } from './colours.js';
import type { ReportFacts, StepFacts } from './facts.js';
import type { Markup, Section } from './markup.js';
import { figure, html, table, tableBehind } from './markup.js';

/** Terms below this share of the step, on every rank, are left out. */
const LEAST_SHARE = 1e-4;

export function stepSection({ plan, step }: ReportFacts): Section {
  return {
    id: 'step',
    title: 'Where the step goes',
    body: step === null ? predicted(plan) : explained(step),
  };
}

/** Of a plan file alone: the critical rank in a few terms. */
function predicted(plan: ReportFacts['plan']): Markup {
  const { stepTimeSec } = plan.prediction;
  const parts = timeParts(plan.prediction.breakdown, stepTimeSec);
  return table(
    'Time of the pipeline rank that ends last',
    ['part', 'time', 'share'],
    parts.map(({ name, timeSec }) => [
      name,
      formatSeconds(timeSec),
      shareCell(timeSec / stepTimeSec, 'var(--accent)'),
    ]),
  );
}

interface Term {
  readonly key: keyof TimeSplit;
  readonly label: string;
  readonly colour: string;
}

function explained({ explanation, estimateSec }: StepFacts): Markup {
  const { ranks, criticalRank, mean } = explanation;
  const least = LEAST_SHARE * estimateSec;
  const used = TIME_TERMS.filter(({ key }) =>
    ranks.some(({ time }) => Math.max(time[key].exposedSec, time[key].hiddenSec) > least),
  );
  const terms: Term[] = used.map(({ key, label, group }) => {
    const ofGroup = used.filter((t) => t.group === group);
    const at = ofGroup.findIndex((t) => t.key === key);
    return { key, label, colour: termColour(group, at) };
  });
  const parts = (time: TimeSplit): BarPart[] =>
    terms.map(({ key, label, colour }) => ({
      label,
      colour,
      share: time[key].exposedSec / estimateSec,
      text: `${formatSeconds(time[key].exposedSec)}, ${formatPercent(time[key].exposedSec / estimateSec)}`,
    }));
  const several = ranks.length > 1;
  const critical = ranks[criticalRank].time;
  const busiest = [...parts(critical)].sort((a, b) => b.share - a.share).slice(0, 3);
  const words = busiest.map(({ label, share }) => `${label} ${formatPercent(share)}`).join(', ');
  return html`
    <p>
      ${
        several
          ? `Stage ${criticalRank} ends last, after ${formatSeconds(estimateSec)}: mostly ${words}.`
          : `The step takes ${formatSeconds(estimateSec)}: mostly ${words}.`
      }
      What other work hides does not lengthen the step.
    </p>
    ${
      several
        ? figure(
            `Time of ${ranks.length} stages by what they do; the table below tells the same`,
            barRows(
              ranks.map(({ rank, time }) => ({
                name: `stage ${rank}${rank === criticalRank ? ' *' : ''}`,
                parts: parts(time),
                text: `${formatPercent(1 - time.bubble.exposedSec / estimateSec)} busy`,
              })),
            ),
            '* ends last. Blue and green compute, yellow and red communicate while nothing hides it, grey and violet wait or keep house.',
          )
        : figure('The step by what it does; the table below tells the same', stackedBar(parts(critical)), '')
    }
    ${legend(terms)} ${termTable(terms, critical, mean, estimateSec, several ? criticalRank : null)}
    ${several ? rankTable(terms, ranks, estimateSec) : null}
  `;
}

function termTable(
  terms: readonly Term[],
  critical: TimeSplit,
  mean: TimeSplit,
  stepTimeSec: number,
  rank: number | null,
): Markup {
  const cell = (sec: number): string => (sec > LEAST_SHARE * stepTimeSec ? formatSeconds(sec) : '–');
  const share = (sec: number, colour: string): Markup | string =>
    sec > LEAST_SHARE * stepTimeSec ? shareCell(sec / stepTimeSec, colour) : '–';
  return table(
    rank === null ? 'Terms of the step' : `Terms of stage ${rank}, which ends last`,
    ['term', 'time', 'share', 'hidden', ...(rank === null ? [] : ['mean of stages'])],
    terms.map(({ key, label, colour }) => [
      label,
      cell(critical[key].exposedSec),
      share(critical[key].exposedSec, colour),
      cell(critical[key].hiddenSec),
      ...(rank === null ? [] : [cell(mean[key].exposedSec)]),
    ]),
  );
}

function rankTable(
  terms: readonly Term[],
  ranks: StepFacts['explanation']['ranks'],
  stepTimeSec: number,
): Markup {
  return tableBehind(
    'Every stage, term by term',
    ['stage', ...terms.map((t) => t.label)],
    ranks.map(({ rank, time }) => [
      String(rank),
      ...terms.map(({ key }) =>
        time[key].exposedSec > LEAST_SHARE * stepTimeSec ? formatSeconds(time[key].exposedSec) : '–',
      ),
    ]),
  );
}

/** A share as a number with a bar under it. */
export function shareCell(share: number, colour: string): Markup {
  return html`<span class="share" style="--share:${(100 * share).toFixed(2)}%;--colour:${colour}"
    >${formatPercent(share)}</span
  >`;
}
