/** What stands at the end of a report: a comparison of methods, energy and carbon, and how it was all made. */
import { ENERGY_TERMS } from '../../simulate/terms.js';
import { oneLine } from '../../util/errors.js';
import { formatPercent, formatSeconds, formatSi, formatUsd } from '../../util/format.js';
import { compareChart } from '../compareChart.js';
import { formatValue } from '../compareTable.js';
import { barRows, legend } from './bars.js';
import { termColour } from './colours.js';
import type { ReportFacts } from './facts.js';
import type { Section } from './markup.js';
import { Markup, figure, html, table } from './markup.js';

export function comparisonSection({ facts, runs }: NonNullable<ReportFacts['comparison']>): Section {
  const { objective, seeds } = facts;
  const curves = runs.filter((r) => r.curve.length > 0);
  return {
    id: 'comparison',
    title: 'Methods compared',
    body: html`
      <p>
        ${oneLine(facts.model, 80)} on ${facts.devices} devices of ${oneLine(facts.cluster, 80)}, objective
        ${objective}, ${seeds.length} ${seeds.length === 1 ? 'seed' : 'seeds'}.
        ${
          facts.best === null
            ? ''
            : `Best: ${formatValue(facts.best.value, objective)} by ${facts.best.method}.`
        }
        ${facts.lowerBound === null ? '' : `No plan is below ${formatValue(facts.lowerBound, objective)}.`}
      </p>
      ${facts.comparisons.map(({ by, amount, methods }) =>
        table(
          by === 'seconds' ? `Equal time: ${amount} s a run` : `Equal evaluations: ${amount} a run`,
          ['method', 'median', 'quartiles', 'to best', 'to bound', 'best of all', 'evaluations', 'time'],
          methods.map((m) =>
            m.failure === null
              ? [
                  m.method,
                  formatValue(m.median, objective),
                  `${formatValue(m.lowerQuartile, objective)} – ${formatValue(m.upperQuartile, objective)}`,
                  gap(m.gapToBest),
                  gap(m.gapToBound),
                  `${Math.round(100 * m.wonShare)}%`,
                  String(Math.round(m.evaluations)),
                  formatSeconds(m.wallSec),
                ]
              : [m.method, `did not run: ${m.failure}`, '', '', '', '', '', ''],
          ),
        ),
      )}
      ${
        curves.length === 0
          ? null
          : html`<h3>Convergence</h3>
              <div class="scroll curves" tabindex="0" role="region" aria-label="Convergence curves">
                ${new Markup(compareChart(facts, curves))}
              </div>
              <p class="note">Median and quartiles over the seeds of the best value so far.</p>`
      }
    `,
  };
}

function gap(value: number | null): string {
  return value === null ? '–' : `+${formatPercent(value)}`;
}

const JOULE_PER_KWH = 3.6e6;

export function energySection({ plan, step, cluster }: ReportFacts): Section {
  const { energyJoulesPerStep: joule, costPerStep, perTrillionTokens, stepTimeSec } = plan.prediction;
  const kwh = joule / JOULE_PER_KWH;
  const rows: [string, string][] = [
    ['a step', `${formatSi(joule, 'J')}, ${formatSi(kwh * 1000, 'Wh')}`],
    ['mean power', formatSi(joule / stepTimeSec, 'W')],
    [
      'carbon a step',
      `${formatSi(kwh * cluster.carbonKgPerKwh * 1000, 'g')} CO2e, at ${cluster.carbonKgPerKwh} kg/kWh`,
    ],
    ['cost a step', costPerStep === null ? 'no price is known' : formatUsd(costPerStep)],
    ...(perTrillionTokens === undefined
      ? []
      : ([
          ['energy of 10^12 tokens', formatSi(perTrillionTokens.kwh * 1000, 'Wh')],
          ['carbon of 10^12 tokens', `${formatSi(perTrillionTokens.carbonKg * 1000, 'g')} CO2e`],
          [
            'price of 10^12 tokens',
            perTrillionTokens.priceUsd === null ? 'not known' : formatUsd(perTrillionTokens.priceUsd),
          ],
        ] as [string, string][])),
    ['site', `PUE ${cluster.pue}`],
  ];
  return {
    id: 'energy',
    title: 'Energy and carbon',
    body: html`
      ${step === null ? null : energyParts(step.explanation.energy)}
      ${table('At the meter of the site', ['what', 'how much'], rows)}
    `,
  };
}

function energyParts(energy: NonNullable<ReportFacts['step']>['explanation']['energy']): Markup {
  const shown = ENERGY_TERMS.filter(({ key }) => energy[key] > 5e-4 * energy.totalJoule);
  const parts = shown.map(({ key, label }, i) => ({
    label,
    colour: label.startsWith('devices') ? termColour('compute', i) : termColour('other', i),
    share: energy[key] / energy.totalJoule,
    text: `${formatSi(energy[key], 'J')}, ${formatPercent(energy[key] / energy.totalJoule)}`,
  }));
  return html`
    ${figure(
      'Energy of a step by what draws it; the table below tells the same',
      barRows([{ name: 'a step', parts, text: formatSi(energy.totalJoule, 'J') }]),
      '',
    )}
    ${legend(parts)}
    ${table(
      'What draws it',
      ['part', 'energy', 'share'],
      parts.map(({ label, text }) => [label, ...text.split(', ')]),
    )}
  `;
}

/** The command, and what else is needed to have the plan again. */
export function originSection({ plan, run, programVersion }: ReportFacts): Section {
  const { method, member, seed, evaluations } = plan.foundBy;
  const rows: [string, string][] = [
    [
      'search',
      `${method}${member === method ? '' : ` (${member})`}, seed ${seed}, ${evaluations} plans priced`,
    ],
    ...(run.wallSec === null ? [] : ([['took', formatSeconds(run.wallSec)]] as [string, string][])),
    ...(run.date === null ? [] : ([['when', run.date]] as [string, string][])),
    ...(run.host === null ? [] : ([['where', run.host]] as [string, string][])),
    ['objective', plan.objective],
    ['space', oneLine(plan.space, 400)],
    ['stack profile', plan.stack],
    ...(plan.calibration === undefined
      ? []
      : ([['calibration', plan.calibration.name]] as [string, string][])),
    ['model digest', plan.model.digest],
    ['cluster digest', plan.cluster.digest],
    ['this page', `partition-optimizer ${programVersion}`],
  ];
  return {
    id: 'origin',
    title: 'How it was made',
    body: html`
      ${
        run.command === null
          ? html`<p>The command is not known: no run.json that tells it stands beside the plan.</p>`
          : html`<pre
              class="scroll"
              tabindex="0"
              role="region"
              aria-label="Command"
            ><code>${run.command}</code></pre>`
      }
      <dl class="decisions">
        ${rows.map(
          ([name, text]) =>
            html`<dt>${name}</dt>
              <dd>${text}</dd>`,
        )}
      </dl>
    `,
  };
}
