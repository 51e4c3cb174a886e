/** A report as one HTML file that needs nothing else: no request leaves it. */
import { readFileSync } from 'node:fs';
import { oneLine } from '../../util/errors.js';
import { dataPath } from '../../util/files.js';
import { formatSi } from '../../util/format.js';
import { clusterSection } from './clusterSection.js';
import type { ReportFacts } from './facts.js';
import { goodputSection } from './goodputSection.js';
import { layersSection } from './layersSection.js';
import type { Section } from './markup.js';
import { Markup, html, sectionMarkup } from './markup.js';
import { memorySection } from './memorySection.js';
import { comparisonSection, energySection, originSection } from './otherSections.js';
import { stepSection } from './stepSection.js';
import { summarySection } from './summarySection.js';
import { timelineSection } from './timelineSection.js';

/** The page, and the headings of its sections in order. */
export function reportPage(facts: ReportFacts): { html: string; sections: string[] } {
  const { plan, step, layers, training, comparison } = facts;
  const sections: Section[] = [
    summarySection(facts),
    stepSection(facts),
    ...(step === null ? [] : [timelineSection(facts, step)]),
    memorySection(facts),
    clusterSection(facts),
    ...(layers === null ? [] : [layersSection(layers, plan.degrees.pp)]),
    ...(training === null ? [] : [goodputSection(training)]),
    ...(comparison === null ? [] : [comparisonSection(comparison)]),
    energySection(facts),
    originSection(facts),
  ];
  const title = `${oneLine(plan.model.name, 80)} on ${formatSi(plan.cluster.devices)} devices of ${oneLine(plan.cluster.name, 60)}`;
  const asset = (name: string): Markup => new Markup(readFileSync(dataPath(`report/${name}`), 'utf8').trim());
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Plan: ${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${asset('report.css')}
        </style>
      </head>
      <body>
        <a class="skip" href="#summary">To the summary</a>
        <header>
          <h1>${title}</h1>
          <button type="button" id="theme" aria-label="Colours: as the system">Colours: system</button>
        </header>
        <nav aria-label="Sections">
          ${sections.map(({ id, title: name }) => html`<a href="#${id}">${name}</a>`)}
        </nav>
        <main>${sections.map(sectionMarkup)}</main>
        <script>
          ${asset('report.js')};
        </script>
      </body>
    </html>`;
  return { html: `${page.text}\n`, sections: sections.map((s) => s.title) };
}
