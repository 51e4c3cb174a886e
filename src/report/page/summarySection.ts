/** What the plan is, what it is predicted to do, and how close that is to the best possible. */
import { formatBytes, formatPercent, formatSeconds, formatSi, formatUsd } from '../../util/format.js';
import { trillionText } from '../explanationTable.js';
import { planDecisions } from '../planTable.js';
import { stackedBar } from './bars.js';
import type { ReportFacts } from './facts.js';
import type { Markup, Section } from './markup.js';
import { html } from './markup.js';

export function summarySection(facts: ReportFacts): Section {
  const { plan, notes } = facts;
  return {
    id: 'summary',
    title: 'Summary',
    body: html`
      ${
        notes.length === 0
          ? null
          : html`<ul class="notes">
              ${notes.map((note) => html`<li>${note}</li>`)}
            </ul>`
      }
      <div class="cards">${cards(facts)}</div>
      ${boundBar(facts)}
      <dl class="decisions">
        ${planDecisions(plan).map(
          ([name, text]) =>
            html`<dt>${name}</dt>
              <dd>${text}</dd>`,
        )}
      </dl>
    `,
  };
}

function cards({ plan, stepTimeInterval }: ReportFacts): Markup[] {
  const p = plan.prediction;
  const unit = plan.sequenceLength > 1 ? 'tokens/s' : 'samples/s';
  const card = (title: string, value: string, more: string): Markup =>
    html`<div class="card">
      <h3>${title}</h3>
      <strong>${value}</strong>
      <p>${more}</p>
    </div>`;
  const interval =
    stepTimeInterval === null
      ? ''
      : `; 80 % of runs within ${formatSeconds(stepTimeInterval.lowSec)} to ${formatSeconds(stepTimeInterval.highSec)}`;
  return [
    card('Step time', formatSeconds(p.stepTimeSec), `${formatSi(p.tokensPerSec)} ${unit}${interval}`),
    card(
      'Against the bound',
      boundText(plan.lowerBoundSec, p.stepTimeSec, plan.optimalInSpace),
      boundWords(plan),
    ),
    card(
      'Utilisation',
      `MFU ${formatPercent(p.mfu)}`,
      `HFU ${formatPercent(p.hfu)}; attention counted ${p.flopConvention === 'causal' ? 'causal' : 'in full'}`,
    ),
    card(
      'Memory',
      formatBytes(p.peakMemoryBytes),
      `of ${formatBytes(p.memoryCapacityBytes)} a device, ${formatPercent(p.peakMemoryBytes / p.memoryCapacityBytes)} full`,
    ),
    card(
      'Energy',
      formatSi(p.energyJoulesPerStep, 'J'),
      `a step${p.costPerStep === null ? '; no price is known' : `, for ${formatUsd(p.costPerStep)}`}`,
    ),
    ...(p.perTrillionTokens === undefined
      ? []
      : [
          card(
            'A trillion tokens',
            tokensText(p.perTrillionTokens.priceUsd, p.perTrillionTokens.kwh),
            trillionText(p.perTrillionTokens),
          ),
        ]),
  ];
}

function tokensText(priceUsd: number | null, kwh: number): string {
  return priceUsd === null ? formatSi(1000 * kwh, 'Wh') : formatUsd(priceUsd);
}

function boundText(lowerBoundSec: number, stepTimeSec: number, isBest: boolean): string {
  if (isBest) return 'best possible';
  return lowerBoundSec > 0 ? `+${formatPercent(stepTimeSec / lowerBoundSec - 1)}` : 'no bound';
}

function boundWords({ lowerBoundSec, planBoundSec, optimalInSpace }: ReportFacts['plan']): string {
  const whole = optimalInSpace ? '; every plan of the space was looked at' : '';
  return `no plan is below ${formatSeconds(lowerBoundSec)}, none of these degrees below ${formatSeconds(planBoundSec)}${whole}`;
}

/** The step as a bar, with the bounds marked on it. */
function boundBar({ plan }: ReportFacts): Markup {
  const { stepTimeSec } = plan.prediction;
  if (!(stepTimeSec > 0)) return html``;
  const bound = Math.min(1, plan.lowerBoundSec / stepTimeSec);
  const own = Math.max(bound, Math.min(1, plan.planBoundSec / stepTimeSec));
  const parts = [
    {
      label: 'no plan of the space is faster than',
      colour: 'var(--good)',
      share: bound,
      text: formatSeconds(plan.lowerBoundSec),
    },
    {
      label: 'no plan of these degrees is faster than',
      colour: 'var(--fair)',
      share: own - bound,
      text: formatSeconds(plan.planBoundSec),
    },
    { label: 'this plan', colour: 'var(--faint)', share: 1 - own, text: formatSeconds(stepTimeSec) },
  ];
  return html`<figure class="bound">
    <div
      role="img"
      aria-label="The step takes ${formatSeconds(stepTimeSec)}; no plan is below ${formatSeconds(plan.lowerBoundSec)}"
    >
      ${stackedBar(parts)}
    </div>
    <figcaption>
      <i style="background:var(--good)"></i>what any plan takes, ${formatSeconds(plan.lowerBoundSec)}
      <i style="background:var(--fair)"></i>what these degrees take, ${formatSeconds(plan.planBoundSec)}
      <i style="background:var(--faint)"></i>this plan, ${formatSeconds(stepTimeSec)}
    </figcaption>
  </figure>`;
}
